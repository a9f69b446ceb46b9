"""Where else a running search is told of, besides its journal: TensorBoard and MLflow, through their libraries."""

from __future__ import annotations

from frugalnas.loggers.record import Logger, Point, Told, logged
from frugalnas.loggers.to_mlflow import Mlflow
from frugalnas.loggers.to_tensorboard import TensorBoard

LOGGERS: dict[str, type[Logger]] = {"tensorboard": TensorBoard, "mlflow": Mlflow}

__all__ = ["LOGGERS", "Logger", "Mlflow", "Point", "TensorBoard", "Told", "logged"]
