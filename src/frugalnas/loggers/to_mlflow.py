"""MLflow, by its client: one run for a study, however often it is resumed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from frugalnas.core import InputError
from frugalnas.loggers.record import Point, Told
from frugalnas.store import write_atomically

STORE, FILE = "mlflow", "mlflow.json"  # in the run folder: where no other store is named, and which run it is
EXPERIMENT = "frugalnas"
_BATCH, _PARAMS, _LETTERS = 1000, 100, 500  # what one request may hold, and a parameter
_TOLD = "study/told"


class Mlflow:
    """Metrics by the number of told trials, where MLFLOW_TRACKING_URI says, else in `mlflow/` of the run folder."""

    def __init__(self, folder: Path) -> None:
        if find_spec("mlflow") is None:
            raise InputError("--mlflow needs MLflow: pip install 'frugalnas[mlflow]'")
        for name in (STORE, FILE):
            if (folder / name).is_symlink():  # in a folder from somebody else it may lead anywhere
                raise InputError(f"{folder / name} is a link")
        self.folder = folder
        self._client: Any = None
        self._run = ""

    def open(self, told: Told) -> int:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # a search tells nobody that it was not told to
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if not uri:
            # Without SQLAlchemy, which the small MLflow lacks, a store of plain files is all there is.
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
            uri = (self.folder / STORE).absolute().as_uri()
        from mlflow import MlflowClient

        self._client = MlflowClient(tracking_uri=uri)
        self._run, there = self._found(uri)
        if self._run:
            self._client.update_run(self._run, status="RUNNING")
            return there
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        known = self._client.get_experiment_by_name(name)
        experiment = known.experiment_id if known else self._client.create_experiment(name)
        self._run = self._client.create_run(experiment, run_name=told.name).info.run_id
        write_atomically(self.folder / FILE, json.dumps({"tracking_uri": uri, "run_id": self._run}) + "\n")
        self._log_settings(told)
        return 0

    def _found(self, uri: str) -> tuple[str, int]:
        """The run that an earlier session began there, and how many told trials it has; "" without one."""
        from mlflow.exceptions import MlflowException

        try:
            noted = json.loads((self.folder / FILE).read_bytes())
            run = noted["run_id"]
            if noted["tracking_uri"] != uri or not re.fullmatch(r"[0-9a-f]{32}", run):
                return "", 0
            return run, int(self._client.get_run(run).data.metrics.get(_TOLD, 0))
        except (OSError, ValueError, LookupError, TypeError, RecursionError, MlflowException):
            return "", 0

    def _log_settings(self, told: Told) -> None:
        from mlflow.entities import Param

        params = [Param(name, str(value)[:_LETTERS]) for name, value in told.settings.items()]
        for start in range(0, len(params), _PARAMS):
            self._client.log_batch(self._run, params=params[start : start + _PARAMS])

    def write(self, points: Sequence[Point]) -> None:
        from mlflow.entities import Metric

        metrics = [
            Metric(name, value, int(1000 * point.time), point.told)
            for point in points
            for name, value in (*point.values.items(), (_TOLD, float(point.told)))
        ]
        for start in range(0, len(metrics), _BATCH):
            self._client.log_batch(self._run, metrics=metrics[start : start + _BATCH])

    def close(self, front: str, ended: bool) -> None:
        self._client.set_tag(self._run, "mlflow.note.content", front)
        self._client.set_terminated(self._run, "FINISHED" if ended else "KILLED")
