"""Multipliers for a trained network: which approximate one each layer can do with, within a limit of the error."""

from frugalnas.assign.approximate import approximate
from frugalnas.assign.estimate import Subject
from frugalnas.assign.outcome import Approximated
from frugalnas.assign.search import Settings
from frugalnas.assign.space import Assignments, Layer, default_multipliers, ordered, twins

__all__ = [
    "Approximated",
    "Assignments",
    "Layer",
    "Settings",
    "Subject",
    "approximate",
    "default_multipliers",
    "ordered",
    "twins",
]
