"""What `frugalnas approximate` was asked for, and the file in its folder that says so."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from frugalnas import __version__
from frugalnas.assign.search import Settings
from frugalnas.assign.space import ordered, twins
from frugalnas.core import InputError
from frugalnas.layers.correction import Correction
from frugalnas.multipliers import Multiplier
from frugalnas.multipliers.library import find
from frugalnas.schema import construct, difference, filled
from frugalnas.store import regular, write_atomically
from frugalnas.tasks.images import DataSource

FILE = "approximate.json"
FORMAT, VERSION = "frugalnas/approximate", 1
TABLES = (".bin", ".npy")  # ends of files with a table alone, which has no power
BUDGET = ("trials", "minutes")  # of the settings: more of it is no other job


@dataclass(frozen=True)
class Job:
    """`model`: path of a model. `multipliers`: see `listed`; () = the usual ones. `signed`: of tables without a header.

    `images`: validation images that the assignments are compared on. `finetune`: epochs of training the chosen network
    after. `activity`: say also what the layers' own operands make of the power. Raises InputError.
    """

    model: str
    data: DataSource
    settings: Settings = field(default_factory=Settings)
    multipliers: tuple[str, ...] = ()
    power_mw: float | None = None
    signed: bool = False
    images: int = 1000
    finetune: int = 0
    activity: bool = False
    correction: Correction = "auto"

    def __post_init__(self) -> None:
        for name, least in (("images", 1), ("finetune", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} = {getattr(self, name)}: expected {least} or more")
        if self.power_mw is not None and not self.power_mw > 0:
            raise InputError(f"power_mw = {self.power_mw}: expected milliwatts, more than 0")


def listed(job: Job) -> tuple[Multiplier, ...]:
    """The multipliers of a job, in both operand orders, the exact one first.

    A word is a name that the library knows, or a file; FILE=MILLIWATTS gives the power that a table alone does not say.
    Raises InputError.
    """
    found = []
    for word in job.multipliers:
        name, sign, power = word.rpartition("=")
        path = Path(name if sign else word)
        if not sign and path.suffix not in TABLES:
            found.append(find(word))
            continue
        if not path.is_file():
            raise InputError(f"--multiplier {word}: there is no file {path}")
        found.append(Multiplier.load(path, signed=job.signed, power_mw=_milliwatts(word, power if sign else None, job)))
    return ordered(twins(found))


def _milliwatts(word: str, given: str | None, job: Job) -> float:
    if given is None and job.power_mw is None:
        raise InputError(f"--multiplier {word}: a table does not say its power, expected {word}=MILLIWATTS")
    try:
        power = float(given) if given is not None else float(job.power_mw or 0)
    except ValueError:
        power = 0.0
    if not 0 < power < 1e6:
        raise InputError(f"--multiplier {word}: the power is {given!r}, expected milliwatts, such as 0.2")
    return power


def placed(words: Sequence[str], folder: Path) -> tuple[str, ...]:
    """The words with whole paths, so that a job can be gone on with from another folder."""
    made = []
    for word in words:
        name, sign, power = word.rpartition("=")
        path = folder / (name if sign else word)
        made.append((f"{path}={power}" if sign else str(path)) if path.is_file() else word)
    return tuple(made)


def holds_job(folder: Path) -> bool:
    """Whether `frugalnas approximate` was begun in `folder`."""
    return (folder / FILE).is_file()


def begin(folder: Path, job: Job) -> None:
    """Write the job down. Raises InputError where the folder has another one, of which only the budget may differ."""
    if holds_job(folder):
        old, new = asdict(read(folder)), asdict(job)
        for tree in (old, new):
            tree["settings"] = {name: value for name, value in tree["settings"].items() if name not in BUDGET}
        if other := difference(old, new):
            raise InputError(f"{folder} holds an assignment with {other}: choose another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}") from None
    content = {"format": FORMAT, "version": VERSION, "frugalnas": __version__, "job": asdict(job)}
    write_atomically(folder / FILE, json.dumps(content, indent=1) + "\n")


def read(folder: Path) -> Job:
    """What `begin` wrote. Raises InputError for a file that it did not write."""
    try:
        content = json.loads(regular(folder / FILE).read_text(encoding="utf-8"))
        if (content["format"], content["version"]) != (FORMAT, VERSION):
            raise InputError(f"format {content['format']!r} {content['version']!r}: expected {FORMAT!r} {VERSION}")
        job: Job = construct(Job, filled(Job, content["job"], "job"))
    except FileNotFoundError:
        raise InputError(f"{folder} holds no assignment: there is no {FILE} in it") from None
    except (OSError, LookupError, TypeError, ValueError, RecursionError) as error:
        reason = error if isinstance(error, InputError) else f"{type(error).__name__} {error}"
        raise InputError(f"{folder / FILE} is of no assignment: {' '.join(str(reason).split())[:300]}") from None
    return job


def budgeted(job: Job, given: Mapping[str, Any]) -> Job:
    """The job with another budget: those of `given` that are not None."""
    changes = {name: value for name, value in given.items() if value is not None}
    return replace(job, settings=replace(job.settings, **changes))
