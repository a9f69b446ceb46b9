"""How long a study took: the entries of `times.jsonl`, pid and host of each session, seconds of each trial."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from frugalnas.store.files import regular
from frugalnas.store.lines import Event

TIMES = "times.jsonl"
MOST_TIME = 2**12  # bytes of a line


def times(folder: Path) -> list[Event]:
    """The entries of `times.jsonl`; lines that are torn, or that no study writes, are passed over."""
    return [*entries_in(folder)]


def times_in(folder: Path) -> tuple[dict[int, float], float]:
    """By `times.jsonl` the seconds that each trial took on its worker, and those that the study has run."""
    seconds, elapsed = {}, 0.0
    for entry in entries_in(folder):
        elapsed = max(elapsed, entry.get("elapsed", 0.0))
        if "tell" in entry:
            seconds[entry["tell"]] = entry["seconds"]
    return seconds, float(elapsed)


def elapsed_in(entries: Iterable[Event]) -> float:
    """Seconds that a study has run by the entries of its `times.jsonl`, over all its sessions."""
    return float(max((entry["elapsed"] for entry in entries if "elapsed" in entry), default=0.0))


def entries_in(folder: Path) -> Iterator[Event]:
    with suppress(OSError), regular(folder / TIMES).open(encoding="utf-8", errors="replace") as file:
        yield from entries_of(iter(lambda: file.readline(MOST_TIME), ""))


def entries_of(lines: Iterable[str]) -> Iterator[Event]:
    """The entries of lines of `times.jsonl`; those that are torn, or that no study writes, are passed over."""
    for line in lines:
        with suppress(ValueError, RecursionError):
            entry = json.loads(line)
            if isinstance(entry, dict) and _sound(entry):
                yield entry


def _sound(entry: Event) -> bool:
    """Whether an entry is as `Journal` writes it: numbers, and with a pid the name of a host."""
    numbers = {name: value for name, value in entry.items() if name != "host"}
    host = isinstance(entry.get("host", ""), str) and entry.get("host", "").isprintable()
    pairs = ("pid" in numbers) == ("host" in entry) and ("tell" in numbers) == ("seconds" in numbers)
    return host and pairs and all(type(value) in (int, float) and 0 <= value < 1e12 for value in numbers.values())


def last_session(folder: Path) -> str:
    said = "owner unknown"
    for entry in entries_in(folder):
        if "pid" in entry:
            said = f"pid {entry['pid']} on {entry['host']}"
    return said
