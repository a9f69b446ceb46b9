"""What a study has asked and been told, and what follows from it: repeats, seeds, what was paid for, the front."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from frugalnas.core import (
    IMAGES,
    OWN_IMAGES,
    Candidate,
    Genotype,
    InputError,
    Problem,
    Trainable,
    Trial,
    trial_seed,
)
from frugalnas.pareto import front

Architecture = tuple[Genotype, int | None]  # canonical, and where weights are shared the trial, as each is another
Key = tuple[Architecture, int]  # and the rung


class History:
    """The candidates that a study asked for and the trials that it was told, whatever tells them.

    `trials` are in the order told, `untold` what was asked and is not told, by number. `candidates` are all that were
    asked, by number, and `architectures` their canonical genotypes. `rated` and `looked` count the trials that were
    rated and those that were only looked at, `statuses` all by status, `rungs` the done ones by rung; `images` are
    those that rating them took. See `Study` for what repeats mean.

    Of a trial it holds the trial, the architecture and where to find it again; of a rejected one not the last.
    """

    def __init__(self, problem: Problem, seed: int) -> None:
        self.problem, self.seed = problem, seed
        self.trials: list[Trial] = []
        self.untold: dict[int, Candidate] = {}
        self.candidates: list[Candidate] = []
        self.architectures: list[Genotype] = []
        self.rated = self.looked = 0
        self.statuses: Counter[str] = Counter()
        self.rungs: Counter[int] = Counter()
        self.images = 0.0
        self._rejected = 0  # the last trials in a row
        self._shares = isinstance(problem.space, Trainable)
        self._told: dict[Key, Trial] = {}
        self._first: dict[Architecture, int] = {}  # the first trial of each training
        self._paid: set[Key] = set()  # trainings that several may share, by rung, once told
        self._front: tuple[int, list[Trial]] = 0, []  # of how many trials

    @property
    def asked(self) -> int:
        """How many candidates."""
        return len(self.candidates)

    def ask(self, candidate: Candidate, canonical: Genotype | None = None) -> int:
        """Note a candidate, whose canonical genotype may be known, as under way; its number."""
        number, genotype = self.asked, candidate.genotype
        canonical = self.problem.space.canonical(genotype) if canonical is None else canonical
        self.candidates.append(candidate)
        self.architectures.append(genotype if canonical == genotype else canonical)  # one tuple will do
        self.untold[number] = candidate
        self._first.setdefault(self._training(number), number)
        return number

    def tell(self, trial: Trial) -> None:
        """Note what became of a candidate under way. Raises KeyError where there is none of its number."""
        candidate = self.untold.pop(trial.number)
        self.trials.append(trial)
        self.statuses[trial.status] += 1
        if trial.status == "rejected":
            self._rejected += 1
            training = self._training(trial.number)
            if self._first.get(training) == trial.number:  # which was none
                del self._first[training]
            return
        self._rejected = 0
        self.rungs[candidate.rung] += trial.status == "done"
        counts = candidate.rung >= self.problem.looks
        self.rated, self.looked = self.rated + counts, self.looked + (not counts)
        key = self.key(trial.number)
        if key in self._told:  # a repeat of another
            return
        self.images += trial.values.get(IMAGES, 0.0)
        self._told[key] = trial
        if self._shares and IMAGES in trial.values:
            self._paid.add((self._training(trial.number), candidate.rung))

    def counts(self, number: int) -> bool:
        """Whether a trial under way counts as a rated one, and is no look."""
        return self.untold[number].rung >= self.problem.looks

    def key(self, number: int) -> Key:
        """The architecture of a candidate, and the rung: those with the same one have the same answer."""
        return self._architecture(number), self.candidates[number].rung

    def answer(self, number: int) -> Trial | None:
        """The trial that a candidate repeats, if one is told."""
        return self._told.get(self.key(number))

    def seed_of(self, number: int) -> int:
        """The seed that trial `number` is rated with: that of the first trial of its training."""
        return trial_seed(self.seed, self._first.get(self._training(number), number))

    def at_cost(self, trial: Trial) -> Trial:
        """The trial without the images of a training that another one, told before, has paid for."""
        if not self._shares or IMAGES not in trial.values or self.answer(trial.number):
            return trial
        if (self._training(trial.number), trial.candidate.rung) not in self._paid:
            return trial
        return replace(trial, values={**trial.values, IMAGES: trial.values.get(OWN_IMAGES, 0.0)})

    @property
    def front(self) -> list[Trial]:
        """The non-dominated trials, by the first objective; found among the last front and what was told since."""
        seen, before = self._front
        told = self.trials[seen:]
        if told:
            rated = [trial for trial in told if trial.candidate.rung >= self.problem.looks]
            self._front = seen + len(told), front([*before, *rated], self.problem.minimised)
        return [*self._front[1]]

    def check_rejections(self, most: int) -> None:
        """Raise InputError, which counts by limit, where the last `most` trials were all rejected."""
        if self._rejected < max(1, most):
            return
        limits = {objective.name: objective.limit for objective in self.problem.objectives}
        broken = [(trial.broken, trial.values[trial.broken]) for trial in self.trials[-self._rejected :]]
        parts = [
            f"{count:,} by {name} <= {limits[name]:,.6g} (smallest seen {min(v for n, v in broken if n == name):,.6g})"
            for name, count in Counter(name for name, _ in broken).most_common()
        ]
        raise InputError(f"{len(broken):,} candidates in a row were rejected, {', '.join(parts)}: raise the limit")

    def _architecture(self, number: int) -> Architecture:
        return self.architectures[number], None if self.candidates[number].inherits is None else number

    def _training(self, number: int) -> Architecture:
        """What is trained for a candidate: the architecture, or all that `trained` of its space makes one of."""
        canonical, own = self._architecture(number)
        return (self.problem.space.trained(canonical) if self._shares else canonical), own  # type: ignore[attr-defined]
