"""Devices by name. A name can be checked anywhere; whether the device is there, only where it is to be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frugalnas.core import InputError, nearest

if TYPE_CHECKING:
    import torch

EVERYWHERE = ("auto", "cpu")
_NAMES = (*EVERYWHERE, "cuda", "cuda:0", "mps")


def check_name(name: str) -> None:
    """Raise InputError, with the nearest, for what is the name of no device: "auto", "cpu", "cuda", "cuda:N", "mps"."""
    if name not in _NAMES and not (name.startswith("cuda:") and name[5:].isdecimal()):
        raise InputError(f"unknown device {name!r}: {nearest(name, _NAMES)}")


def check_presence(name: str) -> None:
    """Raise InputError as `device_of`; of where it runs, which may be a worker."""
    device_of(name)


def device_of(name: str) -> torch.device:
    """The device that `name` means here. Raises InputError for an unknown or absent one."""
    import torch

    check_name(name)
    gpus = tuple(f"cuda:{i}" for i in range(torch.cuda.device_count()))
    if name == "auto":
        return torch.device("cuda" if gpus else "cpu")
    present = ("cpu", *(("cuda", *gpus) if gpus else ()), *(("mps",) if torch.backends.mps.is_available() else ()))
    if name not in present:
        raise InputError(f"device {name!r} is not on this machine, which has {', '.join(present)}")
    return torch.device(name)
