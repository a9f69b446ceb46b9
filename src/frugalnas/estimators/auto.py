"""A rating without training: several scores of an untrained network vote, each by the place that it gives the network.

Scores of a network have scales of their own, so they vote by ranks. As a network is rated on its own here, the ranks
are those among `references`: networks drawn at random from the same space, rated once. Of m references, of which k
are worse, the network takes place p = k + 1/2 or so (between two it is interpolated, beyond the ends it goes on
towards 0 and m + 1), and the rating is the mean over the scores of -log(p / (m + 1)): 0 is best, and one bad place
weighs more than one good place. This is AZ-NAS' aggregation of ranks with a fixed population:

Lee, Ham: "AZ-NAS: Assembling Zero-Cost Proxies for Network Architecture Search", CVPR 2024, arXiv 2403.19232, eq. 13.

Which scores vote was chosen by measurements on three tables of trained networks, see docs/estimators.md; no trained
network is needed to use it.

Differences from the paper
- A network's rating depends on it, the space, the images and the seed of the data, but on no other candidate.
- Other scores vote.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from frugalnas.core import Candidate, Fidelity, Genotype, InputError, Space
from frugalnas.layers.initialise import draw_seed
from frugalnas.scores import BATCH, check_scores
from frugalnas.store import regular, write_atomically
from frugalnas.tasks import memory
from frugalnas.tasks.classification import Classification
from frugalnas.variation import random_viable

FILE = "references.json"
LEAST = 4  # references, among which a place says anything
REPEATS = 100  # in a row, after which a space is taken to have no more networks
Column = tuple[float, ...]


@dataclass(frozen=True)
class Auto:
    """The vote of `scores`, as the value `rating`, and the scores themselves, negated.

    `fidelity`: size of the network and resolution of the images; its epochs play no part. `images` in the batch that a
    score looks at, None = what is usual for it. `references`: random networks that places are taken among; rating them
    takes as long as rating so many candidates, once in a run: with `folder` they are kept there for other workers and
    sessions. A score that is not finite takes the last place. Raises InputError for an unknown score and for numbers
    out of range.
    """

    task: Classification = field(default_factory=Classification)
    fidelity: Fidelity = field(default_factory=Fidelity)
    scores: tuple[str, ...] = ("meco", "naswot", "freedom")
    images: int | None = None
    references: int = 16
    folder: Path | None = None

    def __post_init__(self) -> None:
        check_scores(self.scores, "auto.scores")
        for name, least in (("images", 4), ("references", LEAST)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"auto.{name} = {value}: expected {least} or more")

    @property
    def values(self) -> tuple[str, ...]:
        return ("rating", *self.scores)

    def evaluate(self, candidate: Candidate, space: Space, seed: int) -> dict[str, float]:
        """`rating`, 0 or more, and the negated scores that are finite."""
        known = self._known(space)
        found = self._scores(space, candidate.genotype, seed)
        rating = -sum(math.log(place(found[name], known[name])) for name in self.scores) / len(self.scores)
        return {"rating": rating} | {name: -value for name, value in found.items() if math.isfinite(value)}

    def _known(self, space: Space) -> Mapping[str, Column]:
        """The scores of the references: those of this process, of the run folder, or new ones."""
        alone = replace(self, folder=None)
        file = self.folder and self.folder / FILE
        if file is None:
            return _rated(alone, space)
        key = f"{alone} {space}"
        known = _read(file, key, self.scores)
        if known is None:
            known = _rated(alone, space)
            with suppress(OSError, InputError):  # on a full disk the next worker rates them again
                write_atomically(file, json.dumps({"of": key, "scores": known}).encode())
        return known

    def rate_references(self, space: Space) -> dict[str, Column]:
        """The scores of random networks of the space, different ones as far as it has so many."""
        rng = np.random.default_rng(self.task.data.seed)
        drawn: dict[Genotype, None] = {}
        repeats = 0
        while len(drawn) < self.references and repeats < REPEATS:
            genotype = space.canonical(random_viable(rng, space))
            repeats = repeats + 1 if genotype in drawn else 0
            drawn[genotype] = None
        seeds = (draw_seed(self.task.data.seed, number) for number in range(len(drawn)))
        rows = [self._scores(space, genotype, seed) for genotype, seed in zip(drawn, seeds, strict=True)]
        return {name: tuple(row[name] for row in rows) for name in self.scores}

    def _scores(self, space: Space, genotype: Genotype, seed: int) -> dict[str, float]:
        from frugalnas.scores.rating import rate

        pixels, labels = self.task.sample("train", self.fidelity, self.images or BATCH)
        batch = self.task.normalisation()(pixels), labels
        sized = space.at(self.fidelity)
        return rate(self.scores, space, sized, genotype, self.task.attach, batch, seed, most=self.images)


def place(score: float, references: Sequence[float]) -> float:
    """The place of a score among those of m references as a share in (0, 1): rank / (m + 1), larger is better.

    Ranks are interpolated between references, of which equal ones share theirs. Beyond the best one the rank goes on
    from m towards m + 1, below the worst from 1 towards 0, by the distance in units of the spread of the references.
    What is not finite counts as below all that is.
    """
    known = np.sort([each for each in references if math.isfinite(each)])
    below, size = len(references) - len(known), len(references) + 1
    if not math.isfinite(score) or not len(known):
        return 0.5 / size
    low, high = float(known[0]), float(known[-1])
    spread = high - low or max(abs(high), 1.0)
    if score > high:
        beyond = (score - high) / spread
        return (len(references) + beyond / (1 + beyond)) / size
    if score < low:
        return (below + 1 / (1 + (low - score) / spread)) / size
    levels, first, numbers = np.unique(known, return_index=True, return_counts=True)
    return float(below + np.interp(score, levels, first + (numbers + 1) / 2)) / size


@memory.derived(most=4)
def _rated(estimator: Auto, space: Space) -> Mapping[str, Column]:
    return estimator.rate_references(space)


def _read(file: Path, key: str, names: Sequence[str]) -> Mapping[str, Column] | None:
    """What a file says that was written for the same estimator and space; None for anything else."""
    try:
        content = json.loads(regular(file).read_bytes())
        columns = {name: tuple(map(float, content["scores"][name])) for name in names}
        return columns if content["of"] == key else None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
