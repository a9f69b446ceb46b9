"""How a search comes by the latency of a network: the section `latency` of a configuration. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from frugalnas.core import InputError

Source = Literal["table", "measured"]
Runtime = Literal["torch", "onnxruntime"]


@dataclass(frozen=True)
class Latency:
    """Where `latency_ms` comes from: the milliseconds of one inference of one image.

    `source`: "table" adds up the pieces of a network from a table; "measured" builds and times every network that is
    within the other limits, in the process that asks, which wants a free core. `table`: the file of a table, by
    `frugalnas latency build` or by a kit on another device; without one, a table of this device is made before the
    search. `runtime` and `threads` are those of what is timed here; a table from a file has its own. `margin`: a limit
    holds for (1 + margin) x the latency of a table; without one, it is by how much the slowest held-out network of
    the table was slower than predicted. A measured latency has none. Raises InputError for values out of range.
    """

    source: Source = "table"
    table: str = ""
    runtime: Runtime = "torch"
    threads: int = 1
    margin: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.threads <= 1024:
            raise InputError(f"latency.threads = {self.threads}: expected a whole number from 1 to 1024")
        if self.margin is not None and not 0 <= self.margin <= 10:
            raise InputError(f"latency.margin = {self.margin}: expected a share from 0 to 10, such as 0.05")
        if self.source == "measured" and self.table:
            raise InputError(f"latency.table = {self.table!r}: only latency.source='table' reads one")
