"""What is compared: a complete configuration for every method, and the file that says so."""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from frugalnas import __version__, config, store
from frugalnas.compare.outcome import RANDOM
from frugalnas.compare.runs import UNITS, Unit
from frugalnas.core import InputError, nearest
from frugalnas.methods import METHODS
from frugalnas.schema import Tree, construct, filled

FILE = "compare.json"
FORMAT, VERSION = "frugalnas/compare", 1
MOST_SEEDS = 10_000


@dataclass(frozen=True)
class Plan:
    """What is compared: the configuration of each method, by its name, random among them, and seeds 0, 1, ...

    Raises InputError where the configurations are none, or differ in what has to be equal.
    """

    searches: dict[str, dict[str, Any]]
    seeds: int = 5

    def __post_init__(self) -> None:
        if not 1 <= self.seeds <= MOST_SEEDS:
            raise InputError(f"seeds = {self.seeds}: expected 1 to {MOST_SEEDS}")
        if RANDOM not in self.searches:
            raise InputError("the random twin is missing")
        referees = []
        for method, tree in self.searches.items():
            if method not in METHODS:
                raise InputError(f"unknown method {method!r}: {nearest(method, [*METHODS])}")
            if config.complete(tree) != tree or tree["method"] != method:
                raise InputError(f"{method}: no complete configuration of it")
            own = ("method", "preset", "strategy", "estimators", "prescreen")
            referees.append({k: v for k, v in tree.items() if k not in own} | {"referee": tree["estimators"][-1]})
        if any(referee != referees[0] for referee in referees):
            raise InputError("the configurations differ in more than strategies and ladders")
        _ = self.budget

    @property
    def shared(self) -> Tree:
        """The configuration of the random twin, which has only what all have in common."""
        return self.searches[RANDOM]

    @property
    def budget(self) -> tuple[Unit, float]:
        """What ends every run. Raises InputError where it is not one number."""
        given = [(unit, float(self.shared[unit])) for unit in UNITS if self.shared[unit] is not None]
        if len(given) != 1:
            raise InputError(f"{len(given)} budgets: expected one of epochs, trials and minutes")
        if self.table and given[0][0] == "epochs":
            raise InputError("a budget in epochs: nothing is trained with a table, expected trials or minutes")
        return given[0]

    @property
    def table(self) -> Tree | None:
        """The table that answers in place of trainings; None where networks are trained."""
        referee: Tree = self.shared["estimators"][-1]
        return referee if referee["type"] == "table" else None

    @property
    def title(self) -> str:
        """What it is about, for people."""
        others = ", ".join(method for method in self.searches if method != RANDOM)
        where = self.table["path"] if self.table else self.shared["data"]["source"]
        return f"{others or RANDOM} on {Path(where).name}"

    @property
    def referee(self) -> str:
        """The estimator that gave every value that is compared, for people."""
        section = self.shared["estimators"][-1]
        fidelity = {key: value for key, value in (section.get("fidelity") or {}).items() if value is not None}
        details = [f"{key} {value:g}" for key, value in fidelity.items()]
        if self.table:
            details = [self.table["validation"]]
        return f"{section['type']} ({', '.join(details)})" if details else str(section["type"])

    @property
    def folder(self) -> Path:
        """Where its files go unless a place is named: the same plan has the same folder, for any number of seeds."""
        return Path("runs") / f"compare-{zlib.crc32(json.dumps(self.searches).encode()):08x}"

    def search(self, method: str, seed: int) -> Tree:
        """The configuration of one run."""
        return {**self.searches[method], "seed": seed}


def holds_comparison(folder: Path) -> bool:
    """Whether a comparison was begun in `folder`."""
    return (folder / FILE).is_file()


def write(folder: Path, plan: Plan) -> None:
    """Write the plan down for `read`."""
    content = {"format": FORMAT, "version": VERSION, "frugalnas": __version__, "plan": asdict(plan)}
    store.write_atomically(folder / FILE, json.dumps(content, indent=1) + "\n")


def read(folder: Path) -> Plan:
    """What `write` wrote. Raises InputError for a file that it did not write, and for that of another version."""
    try:
        content = json.loads(store.regular(folder / FILE).read_text(encoding="utf-8"))
        if (content["format"], content["version"]) != (FORMAT, VERSION):
            raise InputError(f"format {content['format']!r} {content['version']!r}: expected {FORMAT!r} {VERSION}")
        if content["frugalnas"] != __version__:
            raise InputError(f"written by version {content['frugalnas']} of frugalnas, and this is {__version__}")
        plan: Plan = construct(Plan, filled(Plan, content["plan"], "plan"))
        return plan
    except FileNotFoundError:
        raise InputError(f"{folder} holds no comparison: there is no {FILE} in it") from None
    except (OSError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        reason = error if isinstance(error, InputError) else f"{type(error).__name__} {error}"
        raise InputError(f"{folder / FILE} is of no comparison: {' '.join(str(reason).split())[:300]}") from None
