"""What a study of proxies is asked for, as the configuration of a search: its ladder has every fidelity to be compared.

The rungs are the proxies in the order of the grid, then the reference, then the reference once more. Each is a training
of its own, with its own initial weights and order of images, so that two rungs agree by what they measure and not by
luck that they share; how far the reference agrees with its repetition is what noise leaves to any proxy.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import asdict, dataclass

import numpy as np

from frugalnas import config, parts
from frugalnas.core import Fidelity, InputError
from frugalnas.ladder import name_of, parse
from frugalnas.objectives.count import COSTS
from frugalnas.schema import Tree, construct
from frugalnas.variation import random_viable

METHOD = "proxies"
LEAST_NETWORKS = 4  # of which an order says anything at all
NETWORKS, REFERENCE, GRID = 16, "c2r2s1e4", "c2,c4 x r2,r4 x s1,s2 x e1"  # a quarter of an hour on two cores
REPETITIONS = 2  # of the reference
_SAMPLES = 50  # random networks that the work of a fidelity is estimated from
_PARTS = "crse"
_EXAMPLE = '"c0,c2,c4 x r0,r2 x s0 x e1,e3"'


@dataclass(frozen=True)
class Outlook:
    """What a study will take. `images`: training images of all trainings, each counted in every epoch.

    `notes`: what is odd about the fidelities, a line each.
    """

    networks: int
    proxies: tuple[str, ...]
    reference: str
    images: int
    notes: tuple[str, ...]

    @property
    def trainings(self) -> int:
        return self.networks * (len(self.proxies) + REPETITIONS)

    def text(self) -> str:
        """The same for people."""
        return (
            f"{self.networks} random networks, each trained with {len(self.proxies)} proxies and twice with the "
            f"reference {self.reference}: {self.trainings} trainings on {self.images:,} images"
        )


def names_in(grid: str) -> tuple[str, ...]:
    """All fidelities of a grid such as "c0,c2 x r0,r2 x s0 x e1,e3", in the order of its lists; c, r or s may be left
    out and are then 0. Raises InputError for any other text.
    """
    indices: dict[str, list[str]] = {}
    for factor in re.split(r"\s*[x×]\s*", grid.strip()):
        entries = [entry.strip() for entry in factor.split(",")]
        for entry in entries:
            if not re.fullmatch(r"[crse][0-9]{1,6}", entry):
                raise InputError(f"grid {grid!r}: {entry!r} is no index of c, r, s or e; expected such as {_EXAMPLE}")
        part = entries[0][0]
        if any(entry[0] != part for entry in entries) or part in indices:
            raise InputError(f"grid {grid!r}: expected one list for each of c, r, s and e, such as {_EXAMPLE}")
        indices[part] = entries
    if "e" not in indices:
        raise InputError(f"grid {grid!r} has no epochs: expected such as {_EXAMPLE}")
    return tuple(map("".join, itertools.product(*(indices.get(part, [f"{part}0"]) for part in _PARTS))))


def study_of(tree: Tree, networks: int = NETWORKS, reference: str = REFERENCE, grid: str = GRID) -> Tree:
    """The configuration of the study, on the space, data, task, limits and time of `tree`, which is that of a search.

    A proxy that comes twice, as rounding makes it equal to another or to the reference, is left out. Reads the training
    images, for their resolution. Raises InputError.
    """
    if networks < LEAST_NETWORKS:
        raise InputError(
            f"networks = {networks}: expected {LEAST_NETWORKS} or more, better 20, to see an order of them"
        )
    size = size_of(tree)
    wanted, proxies = fidelity_of(reference, *size), [fidelity_of(name, *size) for name in names_in(grid)]
    proxies = [proxy for proxy in dict.fromkeys(proxies) if proxy != wanted]
    if not proxies:
        raise InputError(f"grid {grid!r} has only the reference {reference}: expected cheaper fidelities")
    rungs = [*proxies, *[wanted] * REPETITIONS]
    return config.complete(
        tree
        | {
            "method": METHOD,
            "preset": f"{tree['method']} {tree['preset']}",
            "objectives": ["error", "macs", "params"],
            "strategy": {"type": "every_rung", "networks": networks},
            "estimators": [
                {"type": "train", "fidelity": asdict(fidelity), "repeat": rung} for rung, fidelity in enumerate(rungs)
            ],
            "trials": None,
            "epochs": None,
        }
    )


def size_of(tree: Tree) -> tuple[int, int]:
    """Channels and pixels that the indices c and r are counted from. Raises InputError for a space without channels."""
    space = parts.space_of(tree)
    if "channels" not in tree["space"]:
        raise InputError(f"networks of the space {tree['space']['type']!r} have no channels: expected another space")
    return tree["space"]["channels"], space.resolution


def fidelity_of(name: str, channels: int, resolution: int) -> Fidelity:
    """As `ladder.parse`, with an epoch or more. Raises InputError."""
    fidelity = parse(name, channels, resolution)
    if not fidelity.epochs:
        raise InputError(f"fidelity {name!r}: expected an epoch or more")
    return fidelity


def is_study(tree: Tree) -> bool:
    """Whether a configuration is that of a study of proxies."""
    return bool(tree["method"] == METHOD)


def fidelities_of(tree: Tree) -> list[Fidelity]:
    """The rungs of a study. Raises InputError where `tree` is the configuration of something else."""
    rungs, strategy = tree["estimators"], tree["strategy"]
    trained = len(rungs) > REPETITIONS and all(rung["type"] == "train" for rung in rungs)
    if strategy["type"] != "every_rung" or strategy["networks"] is None or not trained:
        raise InputError(f"the method is {tree['method']!r}: expected a study of proxies")
    return [construct(Fidelity, rung["fidelity"]) for rung in rungs]


def names_of(tree: Tree, size: tuple[int, int]) -> list[str]:
    """The rungs of a study in EcoNAS' notation. `size`: see `size_of`."""
    return [name_of(fidelity, *size) for fidelity in fidelities_of(tree)]


def outlook(tree: Tree) -> Outlook:
    """What the study that `tree` asks for will take, and what is odd about it. Reads the training images."""
    space, names, rungs = parts.space_of(tree), names_of(tree, size_of(tree)), fidelities_of(tree)
    rng = np.random.default_rng(0)
    genotypes = [random_viable(rng, space) for _ in range(_SAMPLES)]
    train = parts.task_of(tree).counts()["train"]
    works = [
        _images(rung, train) * sum(COSTS["macs"](space.at(rung), genotype) for genotype in genotypes) for rung in rungs
    ]
    notes = [
        f"the proxy {name} takes {work / works[-1]:.3g} times the work of the reference {names[-1]}: expected less"
        for name, work in zip(names[:-REPETITIONS], works, strict=False)
        if work >= works[-1]
    ]
    return Outlook(
        tree["strategy"]["networks"], tuple(names[:-REPETITIONS]), names[-1], images_of(tree, train), tuple(notes)
    )


def images_of(tree: Tree, train: int) -> int:
    """The training images, of which there are `train`, that all trainings of a study see, each in every epoch."""
    networks: int = tree["strategy"]["networks"]
    return networks * sum(_images(rung, train) for rung in fidelities_of(tree))


def _images(fidelity: Fidelity, train: int) -> int:
    return fidelity.epochs * round(fidelity.samples * train)
