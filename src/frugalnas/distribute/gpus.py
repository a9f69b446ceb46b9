"""Which GPUs this process may use, found without torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from frugalnas.core import InputError

VISIBLE = "CUDA_VISIBLE_DEVICES"
_DRIVER = Path("/proc/driver/nvidia/gpus")  # a folder for each GPU


def visible() -> tuple[str, ...]:
    """Their ids, as in CUDA_VISIBLE_DEVICES, which is respected; () where there are none, or torch is built for CPUs.

    Asks the NVIDIA driver, and where it has no folder, as on Windows, nvidia-smi.
    """
    try:
        built_for_cpus = metadata.version("torch").endswith("+cpu")
    except metadata.PackageNotFoundError:
        built_for_cpus = True
    if built_for_cpus:
        return ()
    if VISIBLE in os.environ:
        ids = [given.strip() for given in os.environ[VISIBLE].split(",")]
        end = next((i for i, given in enumerate(ids) if given in ("", "-1")), len(ids))  # CUDA sees none from there on
        return tuple(ids[:end])
    count = len([*_DRIVER.iterdir()]) if _DRIVER.is_dir() else _listed()
    return tuple(map(str, range(count)))


def _listed() -> int:
    """How many GPUs nvidia-smi names; 0 without it."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    try:
        answer = subprocess.run([program, "--list-gpus"], capture_output=True, text=True, timeout=20, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in answer.stdout.splitlines())


def chosen(gpus: Sequence[int | str] | None) -> tuple[str, ...]:
    """The ids of the GPUs to use: those given, by default all `visible`. Raises InputError for one that is hidden."""
    if gpus is None:
        return visible()
    ids = tuple(str(gpu).strip() for gpu in gpus)
    wrong = next((given for given in ids if not given or "," in given or given.startswith("-")), None)
    if wrong is not None:
        raise InputError(f"gpus: {wrong!r} is no id of a GPU: expected numbers such as 0, or UUIDs")
    if len(set(ids)) < len(ids):
        raise InputError(f"gpus = {', '.join(ids)}: one of them stands there twice; more workers share them in turn")
    if VISIBLE in os.environ:
        shown = [given.strip() for given in os.environ[VISIBLE].split(",") if given.strip()]
        hidden = next((given for given in ids if given not in shown), None)
        if hidden is not None:
            raise InputError(f"gpus: {hidden} is not in {VISIBLE}, which shows {', '.join(shown) or 'none'}")
    return ids
