"""What can be put right of a network whose multipliers shift its sums; see `layers.approximated.correct`."""

from __future__ import annotations

from typing import Literal, get_args

from frugalnas.core import InputError, nearest

Correction = Literal["auto", "statistics", "bias", "both", "none"]


def check_correction(correction: str) -> None:
    """Raise InputError, with the nearest, for what is no `Correction`."""
    if correction not in get_args(Correction):
        raise InputError(f"unknown correction {correction!r}: {nearest(correction, get_args(Correction))}")
