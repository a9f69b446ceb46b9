"""What a followed study shows, as plain values: no page, no files."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np

from frugalnas import pareto, store
from frugalnas.core import InputError, Trial
from frugalnas.drawing import svg_of, text_of
from frugalnas.record import Record
from frugalnas.report.effort import MOST_OBJECTIVES, duration
from frugalnas.report.multiplier_map import loads_of, svg_of_loads
from frugalnas.report.page import space_of
from frugalnas.report.text import amount
from frugalnas.spaces.multiplied import Assigning
from frugalnas.watch.follow import Followed

Life = Literal["waiting", "running", "finished", "interrupted", "unreadable"]
DEEPEST, MOST_RUNS, MOST_ENTRIES = 4, 500, 20_000  # of folders that are looked through
RECENT = 50  # trials that the present speed is taken from


def runs_in(paths: Sequence[Path]) -> list[Path]:
    """The folders of studies in `paths` and below them, the last changed first; at most MOST_RUNS. Follows no links."""
    found: dict[Path, float] = {}
    left = MOST_ENTRIES
    for path in paths:
        queue = [(path, 0)]
        while queue and left > 0:
            folder, depth = queue.pop(0)
            with suppress(OSError):
                found[folder] = (folder / store.JOURNAL).stat().st_mtime
            if depth == DEEPEST:
                continue
            try:
                below = sorted(each for each in folder.iterdir() if not each.name.startswith("."))
            except OSError:
                continue
            left -= len(below)
            queue += [(each, depth + 1) for each in below if each.is_dir() and not each.is_symlink()]
    return sorted(found, key=lambda folder: (-found[folder], folder))[:MOST_RUNS]


def life_of(study: Followed) -> tuple[Life, str]:
    """Whether a study runs, and what there is to say of that."""
    if study.trouble:
        return "unreadable", study.trouble
    if not study.header or study.session is None:
        return "waiting", f"{study.folder} holds no study yet: this page waits for it"
    pid, host = study.session
    if study.closed:
        if not study.untold or share_of(study) == 1:
            return "finished", f"after {duration(study.elapsed)}"
        return "interrupted", f"after {duration(study.elapsed)}; go on with: frugalnas resume {study.folder}"
    if host != socket.gethostname():
        quiet = duration(study.age() - study.elapsed)
        return "running", f"or stopped: pid {pid} on {host}, which cannot be asked from here; quiet for {quiet}"
    if not _alive(pid, study.folder / store.TIMES):
        gone = f"pid {pid} is gone without a word after {duration(study.elapsed)}"
        return "interrupted", f"{gone}; go on with: frugalnas resume {study.folder}"
    return "running", f"pid {pid} on {host}, for {duration(study.age())}"


def _alive(pid: int, file: Path) -> bool:
    """Whether the process that wrote last to `file` is there; a younger one of the same number is another."""
    import psutil

    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and bool(process.create_time() <= file.stat().st_mtime + 2)
    except psutil.AccessDenied:
        return True
    except (psutil.Error, OSError, OverflowError, ValueError):
        return False


def _budgets(study: Followed) -> dict[str, tuple[float, float]]:
    """What is spent of each budget that the configuration has, and the whole."""
    config, images = study.config, study.header.get("images")
    trials, minutes, epochs = (_positive(config.get(name)) for name in ("trials", "minutes", "epochs"))
    train = _positive(images.get("train")) if isinstance(images, Mapping) else None
    pairs = {
        "trials": (float(study.counts["done"] + study.counts["failed"]), trials),
        "minutes": (study.elapsed, minutes and 60 * minutes),
        "epochs": (study.images, epochs and train and epochs * train),
    }
    return {name: (spent, whole) for name, (spent, whole) in pairs.items() if whole}


def _positive(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) and 0 < value < 1e15 else None


def share_of(study: Followed) -> float | None:
    """How much of its nearest budget a study has spent, in [0, 1]; None without one that its files tell of.

    A budget that was given to `frugalnas resume` is in no file.
    """
    shares = [spent / whole for spent, whole in _budgets(study).values()]
    return min(1.0, max(shares)) if shares else None


def left_of(study: Followed) -> float | None:
    """Seconds until the nearest budget is spent at the present speed; None where that cannot be said."""
    speed, budgets = speed_of(study), _budgets(study)
    told = study.counts["done"] + study.counts["failed"]
    left = []
    if "minutes" in budgets:
        left.append(budgets["minutes"][1] - study.age())
    for spent, whole in (budgets[name] for name in ("trials", "epochs") if name in budgets):
        if speed and spent:
            left.append((whole - spent) / spent * told / speed * 60)
    return min(left) if left and min(left) > 0 else None


def speed_of(study: Followed) -> float | None:
    """Networks rated in a minute, lately; None where too few were."""
    ages = study.told_at[study.rated_before :][-RECENT - 1 :]
    return 60 * (len(ages) - 1) / (ages[-1] - ages[0]) if len(ages) > 2 and ages[-1] > ages[0] else None


def rates_of(study: Followed, bins: int = 60) -> tuple[list[float], list[float]]:
    """Networks rated in a minute over the age of the study: ends of equal spans in minutes, and the rates."""
    if not study.told_at or study.elapsed <= 0:
        return [], []
    number = max(1, min(bins, len(study.told_at) // 3))
    counts, edges = np.histogram(np.array(study.told_at), number, (0.0, study.elapsed))
    width = study.elapsed / number / 60
    return (edges[1:] / 60).tolist(), (counts / width).tolist()


def growth_of(study: Followed) -> list[tuple[int, float, float]]:
    """Rated networks, seconds, and the share of the box that the front dominated then; see `report.effort.Growth`."""
    if len(study.rated_numbers) < 2 or len(study.objectives) > MOST_OBJECTIVES:
        return []
    steps = study.steps if len(study.objectives) < MOST_OBJECTIVES else [*study.steps[:-1:5], study.steps[-1]]
    curve = [(step.rated, step.seconds, study.share(step)) for step in steps]
    return [*curve, (study.counts["done"], study.elapsed, curve[-1][2])]


def figures_of(study: Followed) -> list[tuple[str, str]]:
    """The few numbers that stand at the top, as names and words."""
    count, speed, left = study.counts, speed_of(study), left_of(study)
    running = life_of(study)[0] == "running"
    return [
        ("networks rated", f"{count['done']:,}"),
        *([("looked at before", f"{len(study.looks):,}")] if study.looks else []),
        ("on the front", f"{len(study.archive.members):,}"),
        ("rejected before training", f"{count['rejected']:,}"),
        ("failed", f"{count['failed']:,}"),
        ("networks per minute", "–" if speed is None else f"{speed:,.3g}"),
        ("wall time", duration(study.age() if running else study.elapsed)),
        *([("left, about", "–" if left is None else duration(left))] if running else []),
    ]


def work_of(study: Followed) -> list[tuple[str, str]]:
    """What the workers do and did, as names and words."""
    spent = [seconds for seconds in study.seconds.values() if seconds > 0]
    if not spent:
        return []
    rows = [
        ("a network, on its worker", f"{median(spent):,.3g} s (median), {max(spent):,.3g} s (longest)"),
        ("time of the workers", duration(sum(spent))),
    ]
    if study.elapsed > 0:
        rows.append(("workers busy, on average", f"{sum(spent) / study.elapsed:.2f}"))
    executor = study.config.get("executor")
    if isinstance(executor, Mapping) and isinstance(executor.get("type"), str):
        workers = executor.get("workers")
        words = f"{workers:,}" if type(workers) is int else "one per core"
        rows.insert(0, ("workers", f"{words} ({executor['type']})"))
    return rows


def rungs_of(study: Followed) -> list[tuple[str, str, str]]:
    """Rung, what rates there, and how many networks it has rated; [] where there is only one."""
    estimators = study.config.get("estimators")
    kinds = (
        [e.get("type") if isinstance(e, Mapping) else "" for e in estimators] if isinstance(estimators, list) else []
    )
    first = 1 if study.config.get("prescreen") else 0
    ladder = max([len(kinds) - first, *(rung + 1 for rung in study.rungs)], default=0)
    names = [f"{kinds[rung + first]}" if rung + first < len(kinds) else "" for rung in range(min(ladder, 50))]
    return [(f"rung {rung}", name, f"{study.rungs[rung]:,}") for rung, name in enumerate(names)] if ladder > 1 else []


@dataclass(frozen=True)
class Portrait:
    """One trial for people. `rows`: name, amount, and the value itself. `drawings`: an SVG and the same in words."""

    number: int
    standing: str
    rows: tuple[tuple[str, str, float], ...]
    genotype: tuple[int, ...]
    drawings: tuple[tuple[str, str], ...]


def portrait_of(study: Followed, number: int) -> Portrait | None:
    """All there is to see of a trial that was told; None for another number."""
    trial = study.trials.get(number)
    if trial is None:
        return None
    names = dict.fromkeys([*(name for name in study.objectives if name in trial.values), *trial.values])
    rows = tuple((name, amount(name, trial.values[name]), trial.values[name]) for name in names)
    return Portrait(
        number,
        _standing(study, trial),
        rows,
        trial.candidate.genotype,
        tuple(_drawings(study, trial.candidate.genotype)),
    )


def _standing(study: Followed, trial: Trial) -> str:
    words: list[str] = [trial.status]
    if any(member.number == trial.number for member in study.archive.members):
        words = ["on the front"]
        if knee_of(study) == trial.number:
            words.append("its knee")
    elif trial.status == "done":
        words = ["rated, not on the front"]
    if trial.number in study.looks:
        words = ["only looked at" if trial.status == "done" else f"only looked at, {trial.status}"]
    elif len(study.rungs) > 1:
        words.append(f"rung {trial.candidate.rung}")
    if trial.reason:
        words.append(trial.reason)
    if trial.candidate.parents:
        words.append(f"parents: {', '.join(map(str, trial.candidate.parents[:8]))}")
    if trial.number in study.seconds:
        words.append(f"{study.seconds[trial.number]:,.3g} s on its worker")
    return "; ".join(words)


def knee_of(study: Followed) -> int | None:
    """The number of the front's knee."""
    members = study.archive.members
    return pareto.knee(members, study.objectives).number if members else None


def _drawings(study: Followed, genotype: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    """The cells of a network, and its multipliers where the space chooses any; none where it cannot be made here."""
    try:
        space = space_of(Record(study.folder, study.header, (), {}, 0.0))
        if space is None:
            return
        cells = [({name: cell}) for name, cell in space.describe(genotype).items()]
        loads = loads_of(space, genotype) if isinstance(space, Assigning) else ()
    except (InputError, LookupError, TypeError, ValueError, ArithmeticError, AttributeError):
        return
    yield from ((svg_of(cell), text_of(cell)) for cell in cells)
    if loads:
        yield svg_of_loads(loads), "\n".join(f"{load.name}: {load.multiplier}" for load in loads)
