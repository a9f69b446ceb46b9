"""`latency_ms` as an objective or a limit of a search, by its settings."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from frugalnas.core import InputError, Objective
from frugalnas.latency.build import build
from frugalnas.latency.measure import Progress as Progress
from frugalnas.latency.runs import MeasuredCost, installed
from frugalnas.latency.settings import Latency, Runtime
from frugalnas.latency.table import Table
from frugalnas.objectives.latency import LATENCY
from frugalnas.spaces import AnySpace

FILE = "latency.json"  # in the folder of a run
_MADE: dict[tuple[AnySpace, Runtime, int], Table] = {}  # of this device, in this process
_log = logging.getLogger(__name__)


def table_for(settings: Latency, space: AnySpace, progress: Progress | None = None) -> Table | None:
    """The table that the settings name or, without a file, one of this device, which takes about half a minute to make.

    None where latency is measured. Raises InputError for a file that is none or lacks a piece of the space, and where
    the runtime is not installed.
    """
    if settings.source == "measured":
        installed(settings.runtime)
        return None
    if settings.table:
        table = Table.load(Path(settings.table))
        table.check(space)
        return table
    key = space, settings.runtime, settings.threads
    if key not in _MADE:
        if progress is None:
            _log.warning("frugalnas: timing parts of networks on this device, for latency_ms: about half a minute")
        _MADE[key] = build(space, settings.runtime, settings.threads, progress=progress or (lambda share: None))
    return _MADE[key]


def table_in(folder: Path, header: Mapping[str, Any]) -> Table | None:
    """The table that the study in `folder` was begun with; None for one without. Raises InputError for another."""
    if "latency" not in header:
        return None
    table = Table.load(folder / FILE)
    if table.fingerprint != header["latency"]:
        raise InputError(f"{folder / FILE} is not the latency table that the study was begun with: put that one back")
    return table


def objective(settings: Latency, table: Table | None, limit: float, minimise: bool) -> Objective:
    """The objective: by the table, whose margin the limit is lowered by, or measured."""
    if table is None:
        return Objective(LATENCY, MeasuredCost(settings.runtime, settings.threads), limit, minimise)
    margin = table.slower if settings.margin is None else settings.margin
    return Objective(LATENCY, table.cost, limit / (1 + margin), minimise)
