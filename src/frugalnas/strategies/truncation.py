"""The selection of the code released with EEEA-Net: truncation, not NSGA-II.

Termritthikun, Jamtsho, Ieamsaard, Muneesawang, Lee, "EEEA-Net: An early exit evolutionary neural architecture search",
Engineering Applications of Artificial Intelligence 104, 2021; code of August 2024. For comparison with that code; to
search, use NSGA2, which is what the paper describes.

Differences from the paper, all of them found in the released code and kept
- What the code calls crossover probability is the share that survives: of 40 the best int(0.1 * 40) = 4 are kept and
  breed the other 36 (the paper: NSGA-II over parents and children, mating pool of the whole population).
- Dominance compares the first two objectives only, error and params; later ones are recorded without effect.
- Survivors are taken front by front and, within a front, in the order of the population: the crowding distance never
  decides anything.
- A tournament draws 2k different elites, k = elites // 2: the first k for one parent, the others for the second. An
  elite gives way only to one that dominates it, so among equals the first drawn wins.
- A mating gives two complementary children. Each is mutated with probability 0.1 only (the paper: always) ...
- ... and, also with probability 0.1, "inverted": meant to swap two neighbouring pairs of genes, it copies the later
  over the earlier, even across the border of the two cells.
- A child after generation 0 that breaks the limit is not trained and enters the population as if its error were 1.
- Repeats are recognised by the raw genotype: two spellings of one architecture are two individuals.

Differences from the released code
- A repeat is bred again, `attempts` times at most, then accepted (released: for ever; in generation 0 it is skipped,
  and the population stays smaller).
- A gene that the inversion carries out of its domain takes the domain's last value (released: goes on out of range).
- A failed trial is replaced by another child (released: ends the search).
- The generator is the study's; the released stream of random numbers is not reproduced.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from frugalnas.core import Candidate, Genotype, InputError, Space, Trial
from frugalnas.pareto import point, ranks
from frugalnas.variation import bred_anew, mutate_pair, random_viable, uniform_crossover


@dataclass(frozen=True, slots=True)
class _Individual:
    number: int
    genotype: Genotype
    values: tuple[float, ...]  # of the two objectives that dominance compares


@dataclass
class Truncation:
    """Truncation selection as ask and tell. Waits (None) while a generation is complete but not all told.

    `objectives`: error first, then params. `kept`: share of the population that survives and breeds.
    `mutation_probability`, `inversion_probability`: per child. `attempts`: how often a child is bred, at most, to get
    a genotype that was not asked before. `generations`: after so many, generation 0 included, there are no more
    candidates (None: the study's budget decides). Raises InputError for values out of range; fewer than two elites
    cannot mate.
    """

    space: Space
    objectives: tuple[str, ...]
    population: int = 40
    kept: float = 0.1
    mutation_probability: float = 0.1
    inversion_probability: float = 0.1
    attempts: int = 50
    generations: int | None = None
    _elites: list[_Individual] = field(default_factory=list, init=False, repr=False)
    _told: list[_Individual] = field(default_factory=list, init=False, repr=False)
    _untold: int = field(default=0, init=False, repr=False)
    _generation: int = field(default=0, init=False, repr=False)
    _sibling: Candidate | None = field(default=None, init=False, repr=False)
    _asked: set[Genotype] = field(default_factory=set, init=False, repr=False)

    def __post_init__(self) -> None:
        if not 2 <= int(self.population * self.kept) < self.population:
            raise InputError(
                f"population = {self.population}, kept = {self.kept}: {int(self.population * self.kept)} elites, "
                "expected at least 2 and fewer than the population"
            )
        for name, value in (("mutation", self.mutation_probability), ("inversion", self.inversion_probability)):
            if not 0 <= value <= 1:
                raise InputError(f"{name}_probability = {value}: expected a probability in [0, 1]")
        if self.attempts < 1 or (self.generations is not None and self.generations < 1):
            raise InputError(f"attempts = {self.attempts}, generations = {self.generations}: expected 1 or more")
        if not self.objectives:
            raise InputError("objectives is empty: expected the error, and the name of a second value to minimise")

    def ask(self, rng: np.random.Generator) -> Candidate | None:
        """The next candidate, bred with `rng`; None while the trials under way may complete the generation."""
        if self._generation == self.generations or len(self._told) + self._untold >= self._slots:
            return None
        self._untold += 1
        return bred_anew(lambda _: self._breed(rng), tuple, self._asked, self.attempts)

    def tell(self, trial: Trial) -> None:
        """Learn a result; the one that completes a generation selects the next elites. Raises InputError for a done
        trial without a value for each objective.
        """
        compared = self.objectives[:2]
        if trial.status == "done":
            values = point(trial, self.objectives)[:2]
            self._told.append(_Individual(trial.number, trial.candidate.genotype, values))
        elif trial.status == "rejected" and self._generation:
            # a cost that comes after the broken limit is not known: worse than any
            costs = [trial.values.get(name, sys.float_info.max) for name in compared[1:]]
            self._told.append(_Individual(trial.number, trial.candidate.genotype, (1.0, *costs)))
        self._untold -= 1
        if len(self._told) == self._slots:
            self._select()

    @property
    def _slots(self) -> int:
        return self.population - len(self._elites)

    def _breed(self, rng: np.random.Generator) -> Candidate:
        if not self._elites:
            return Candidate(random_viable(rng, self.space))
        if self._sibling is not None:
            sibling, self._sibling = self._sibling, None
            return sibling
        drawn = rng.permutation(len(self._elites)).tolist()
        half = len(self._elites) // 2
        first = _winner([self._elites[index] for index in drawn[:half]])
        second = _winner([self._elites[index] for index in drawn[half : 2 * half]])
        child, sibling_genes = uniform_crossover(rng, first.genotype, second.genotype)
        parents = (first.number, second.number)
        self._sibling = Candidate(self._disturb(rng, sibling_genes), parents=parents)
        return Candidate(self._disturb(rng, child), parents=parents)

    def _disturb(self, rng: np.random.Generator, genotype: Genotype) -> Genotype:
        if rng.random() < self.mutation_probability:
            genotype = mutate_pair(rng, genotype, self.space.domains)
        if rng.random() < self.inversion_probability:
            genotype = _copy_pair(rng, genotype, self.space.domains)
        return genotype

    def _select(self) -> None:
        population = self._elites + sorted(self._told, key=lambda individual: individual.number)
        fronts = ranks([individual.values for individual in population]).tolist()
        order = sorted(range(self.population), key=fronts.__getitem__)  # stable: within a front, as they stand
        self._elites = [population[index] for index in order[: int(self.population * self.kept)]]
        self._told = []
        self._sibling = None
        self._generation += 1


def _winner(contestants: Sequence[_Individual]) -> _Individual:
    best = contestants[0]
    for other in contestants[1:]:
        pairs = list(zip(other.values, best.values, strict=True))
        if all(a <= b for a, b in pairs) and any(a < b for a, b in pairs):
            best = other
    return best


def _copy_pair(rng: np.random.Generator, genotype: Genotype, domains: tuple[int, ...]) -> Genotype:
    """The released inversion: a random pair of genes becomes a copy of the next pair, as far as its domains allow."""
    pairs = len(genotype) // 2
    if pairs < 2:
        return genotype
    at = 2 * int(rng.integers(pairs - 1))
    copied = [
        min(gene, domain - 1) for gene, domain in zip(genotype[at + 2 : at + 4], domains[at : at + 2], strict=True)
    ]
    return (*genotype[:at], *copied, *genotype[at + 2 :])
