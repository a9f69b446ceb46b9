"""What a fit is asked for, and the file in its folder that says so and how far it is."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from frugalnas import __version__, config, store
from frugalnas.choose import limits_of
from frugalnas.core import InputError, nearest
from frugalnas.schema import Tree, as_table, construct, difference, filled
from frugalnas.tasks.recipe import RECIPES, Recipe

FILE = "fit.json"
FORMAT, VERSION = "frugalnas/fit", 1
SEARCH_SHARE = 0.45  # of the minutes; the training gets nearly all the rest


@dataclass(frozen=True)
class Plan:
    """What a fit is asked for.

    `search`: the complete configuration of the search with its budget. `minutes` of everything, None for no limit.
    `epochs` of the final training; None: as long as the minutes last. `recipe` is that of the training, `pick` are the
    words of `choose`, `formats` those of `export`. Raises InputError for words that it does not know, and where nothing
    ends the search or the training.
    """

    search: Tree
    minutes: float | None
    epochs: int | None
    recipe: Recipe
    pick: str
    formats: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise InputError(f"minutes = {self.minutes}: expected more than 0")
        if self.minutes is None and None in (self.search["trials"], self.epochs):
            raise InputError("nothing ends the fit: expected minutes, or trials and epochs")
        if self.formats:
            from frugalnas.export import FORMATS

            for name in self.formats:
                if name not in FORMATS:
                    raise InputError(f"unknown format {name!r}: {nearest(name, [*FORMATS])}")
        limits_of(self.pick)

    @property
    def folder(self) -> Path:
        """Where its files go unless a place is named: the same plan has the same folder."""
        name = Path(self.search["data"]["source"]).stem
        return Path("runs") / f"fit-{name}-{zlib.crc32(json.dumps(asdict(self)).encode()):08x}"


def plan(
    method: str | None = None,
    preset: str | None = None,
    file: Path | None = None,
    layers: Sequence[Mapping[str, Any]] = (),
    *,
    minutes: float | None = None,
    trials: int | None = None,
    epochs: int | None = None,
    recipe: str = "short",
    pick: str = "most-accurate",
    formats: Sequence[str] = (),
) -> Plan:
    """A plan for a search as `config.resolve` completes it, with `trials` and its share of `minutes` as its budget.

    `recipe` is a name in RECIPES; a table `recipe` in one of the `layers` changes some of its keys. Raises InputError
    as `config.resolve` and `Plan` do.
    """
    if recipe not in RECIPES:
        raise InputError(f"unknown recipe {recipe!r}: {nearest(recipe, [*RECIPES])}")
    budget = {"trials": trials, "minutes": None if minutes is None else SEARCH_SHARE * minutes}
    rest = [{key: value for key, value in layer.items() if key != "recipe"} for layer in layers]
    tree = config.placed(config.resolve(method, preset, file, [budget, *rest]))
    how = asdict(RECIPES[recipe].recipe)
    for layer in layers:
        how |= as_table(layer.get("recipe", {}), "recipe")
    return Plan(tree, minutes, epochs, construct(Recipe, filled(Recipe, how, "recipe")), pick, tuple(formats))


def holds_fit(folder: Path) -> bool:
    """Whether a fit was begun in `folder`."""
    return (folder / FILE).is_file()


def write(folder: Path, plan: Plan, done: Mapping[str, Any], seconds: float) -> None:
    """Write down the plan, what the stages said that are over, and how long they took."""
    content = {"format": FORMAT, "version": VERSION, "frugalnas": __version__, "plan": asdict(plan)}
    content |= {"seconds": round(seconds, 3), "done": done}
    store.write_atomically(folder / FILE, json.dumps(content, indent=1) + "\n")


def read(folder: Path) -> tuple[Plan, dict[str, dict[str, Any]], float]:
    """What `write` wrote. Raises InputError for a file that it did not write."""
    try:
        content = json.loads(store.regular(folder / FILE).read_text(encoding="utf-8"))
        if (content["format"], content["version"]) != (FORMAT, VERSION):
            raise InputError(f"format {content['format']!r} {content['version']!r}: expected {FORMAT!r} {VERSION}")
        plan = construct(Plan, filled(Plan, content["plan"], "plan"))
        if config.complete(plan.search) != plan.search:
            raise InputError("plan.search is no complete configuration")
        done = {name: dict(said) for name, said in content["done"].items()}
        if "pick" in done and type(done["pick"]["trial"]) is not int:
            raise InputError(f"the trial that was picked is {done['pick']['trial']!r}")
        return plan, done, float(content["seconds"])
    except FileNotFoundError:
        raise InputError(f"{folder} holds no fit: there is no {FILE} in it") from None
    except (OSError, LookupError, TypeError, ValueError, RecursionError) as error:
        reason = error if isinstance(error, InputError) else f"{type(error).__name__} {error}"
        raise InputError(f"{folder / FILE} is of no fit: {' '.join(str(reason).split())[:300]}") from None


def refuse_another(folder: Path, plan: Plan) -> None:
    """Raise InputError, which names a difference, where the fit in `folder` is of another plan."""
    if other := difference(asdict(read(folder)[0]), asdict(plan)):
        raise InputError(
            f"{folder} holds a fit with {other}: choose another --out, or go on with it by: frugalnas resume {folder}"
        )
