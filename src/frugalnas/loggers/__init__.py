"""Where else a running search is told of, besides its journal: TensorBoard and MLflow, through their libraries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from frugalnas.loggers.record import telling
from frugalnas.loggers.to_mlflow import Mlflow
from frugalnas.loggers.to_tensorboard import TensorBoard
from frugalnas.study import Study

__all__ = ["Mlflow", "TensorBoard", "logged"]

Progress = Callable[[Study], None]


@contextmanager
def logged(
    folder: Path, tree: Mapping[str, Any], progress: Progress | None, tensorboard: bool, mlflow: bool
) -> Iterator[Progress | None]:
    """What to call after each told trial of the study in `folder`: `progress`, and before it the loggers asked for.

    Raises InputError where the library of one is missing. What else goes wrong with a logger is one warning.
    """
    kinds = {"TensorBoard": TensorBoard if tensorboard else None, "MLflow": Mlflow if mlflow else None}
    loggers = {name: kind(folder) for name, kind in kinds.items() if kind}
    if not loggers:
        yield progress
        return
    with telling(loggers, folder.resolve().name, tree) as tell:

        def told(study: Study) -> None:
            tell(study)
            if progress:
                progress(study)

        yield told
