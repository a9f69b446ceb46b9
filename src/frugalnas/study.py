"""The loop: ask, screen, rate, tell; journalled, so that a study resumes by replay."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import replace

from frugalnas.core import (
    IMAGES,
    OWN_IMAGES,
    Candidate,
    Genotype,
    InputError,
    Problem,
    Strategy,
    Trainable,
    Trial,
    evaluate,
    rng_for,
    screen,
    trial_seed,
)
from frugalnas.distribute import Executor
from frugalnas.pareto import front
from frugalnas.store import Event, Journal, ask_event, candidate_of, tell_event, trial_of

Rated = tuple[Trial, float]
_Architecture = tuple[Genotype, int | None]  # canonical, and where weights are shared the trial, as each is another
MOST_FAILURES = 200  # in a row, of a search that no number of trials ends


class Study:
    """One search: a problem, a strategy and what has been told so far.

    With a `journal`, every ask and tell is recorded, and the events it already holds are first played through
    `strategy`, which must be new: a study resumes where it was. `ordered` tells rated trials in the order asked, which
    makes the journal independent of timing; without it they are told as they finish. Candidates beyond a limit are
    told at once, and after `max_rejections` of them in a row the study stops.

    `trials` are in the order told, `images` the training images that rating them took. All rungs of an architecture
    are rated with the seed of its first trial, so that a training can go on from one rung to the next, and so are all
    architectures that a `Trainable` space trains alike: the first of them that is told pays for the training, the
    others have only their `own_images`. A candidate that inherits shared weights is rated anew each time it comes.
    `rated` counts the trials that were rated, `looked` those that were only looked at (see `Problem.looks`). Raises
    InputError where the journal was made with another seed or configuration; the seed that it was begun with is `seed`
    in its header's `config`, or in the header itself.
    """

    def __init__(
        self,
        problem: Problem,
        strategy: Strategy,
        *,
        seed: int = 0,
        journal: Journal | None = None,
        ordered: bool = True,
        max_rejections: int = 10_000,
    ) -> None:
        self.problem, self.strategy, self.seed = problem, strategy, seed
        self.ordered, self.max_rejections = ordered, max_rejections
        self.trials: list[Trial] = []
        self.rated = self.looked = 0
        self._asked = 0
        self._untold: dict[int, Candidate] = {}
        self._known: dict[tuple[_Architecture, int], Trial | Future[Rated]] = {}
        self._first: dict[_Architecture, int] = {}  # the first trial of each training
        self._shares = isinstance(problem.space, Trainable)
        self._paid: set[tuple[_Architecture, int]] = set()  # trainings that several may share, by rung, once told
        self.images = 0.0
        self._rejected_in_a_row: list[Trial] = []
        self._journal = journal
        self._born = time.monotonic()
        self._whole = True
        if journal is not None:
            self._check_seed(journal.header)
            self._replay(journal.events)

    @property
    def front(self) -> list[Trial]:
        """The non-dominated trials so far, by the first objective."""
        rated = (trial for trial in self.trials if trial.candidate.rung >= self.problem.looks)
        return front(rated, self.problem.minimised)

    @property
    def under_way(self) -> dict[int, Candidate]:
        """What was asked and is not told yet, by trial number."""
        return dict(self._untold)

    @property
    def seconds(self) -> float:
        """How long the study has run, over all its sessions."""
        return self._journal.age if self._journal else time.monotonic() - self._born

    def run(
        self,
        executor: Executor,
        *,
        trials: int | None = None,
        minutes: float | None = None,
        images: float | None = None,
        progress: Callable[[Study], None] | None = None,
    ) -> str:
        """Search until `trials` are rated (rejected ones and looks are free), the study is `minutes` old, or the trials
        told have trained on `images`; all are totals, and the last candidates under way are still rated.

        Returns why it ended: the name of that budget, or "finished" (the strategy has nothing more to ask). `progress`
        is called after each told trial. Raises InputError when limits reject everything, when without `trials`, or with
        looks, so many fail in a row that the search might never end, and when the journal cannot be written.
        """
        self._check_rejections()
        latest: deque[Trial] = deque(maxlen=MOST_FAILURES)  # of this session
        pending: dict[int, Future[Rated]] = {}
        untold = deque(self._untold)  # asked for earlier
        tell = self._teller(progress)
        try:
            while True:
                enough = ""
                while untold or self._room(pending, executor.window):
                    if self._left(minutes) == 0:
                        return self._out_of_time(pending, tell)
                    if trials is not None and self.rated + sum(map(self._counts, pending)) >= trials:
                        enough = "trials"
                    elif images is not None and self.images >= images:
                        enough = "images"
                    if enough:
                        break
                    number = untold.popleft() if untold else self._ask()
                    if number is None:
                        break
                    self._start(number, self._untold[number], executor, pending, tell)
                if not pending:
                    return enough or "finished"
                finished = self._finished(pending, self._left(minutes))
                if not finished:
                    return self._out_of_time(pending, tell)
                for number in finished:
                    trial, seconds = self._outcome(number, pending.pop(number))
                    tell(trial, seconds)
                    latest.append(trial)
                    if trials is None or self.problem.looks:
                        _check_failures(latest)
        finally:
            for future in pending.values():
                future.cancel()
            self._known = {key: known for key, known in self._known.items() if isinstance(known, Trial)}

    def _left(self, minutes: float | None) -> float | None:
        return None if minutes is None else max(0.0, minutes * 60 - self.seconds)

    def _out_of_time(self, pending: dict[int, Future[Rated]], tell: Callable[[Trial, float], None]) -> str:
        """Tell what is finished and waits for its turn, before all else is given up."""
        for number in sorted(number for number, future in pending.items() if future.done()):
            tell(*self._outcome(number, pending.pop(number)))
        return "minutes"

    def _room(self, pending: Collection[int], window: int) -> bool:
        """Whether there is room for one more. Looks have room of their own, as trainings beside them are told later."""
        looks = sum(not self._counts(number) for number in pending)
        return max(looks, len(pending) - looks) < window

    def _counts(self, number: int) -> bool:
        """Whether a trial under way counts as a rated one, and is no look."""
        return self._untold[number].rung >= self.problem.looks

    def _finished(self, pending: dict[int, Future[Rated]], timeout: float | None) -> list[int]:
        """The next trials to tell: the oldest, or without `ordered` all that are finished; [] when time is up.

        A look is told before any training that is under way beside it, which would hold up all that follow.
        """
        if self.ordered:
            oldest = min(pending, key=lambda number: (self._counts(number), number))
            return [oldest] if wait([pending[oldest]], timeout).done else []
        done = wait(pending.values(), timeout, FIRST_COMPLETED).done
        return [number for number, future in pending.items() if future in done]

    @contextmanager
    def _step(self) -> Iterator[None]:
        """The strategy, the record and this study change together; after half a step they no longer fit each other."""
        if not self._whole:
            again = f": continue with 'frugalnas resume {self._journal.folder}'" if self._journal else ""
            raise InputError(f"this study broke off in the midst of a step and cannot be run on{again}")
        self._whole = False
        yield
        self._whole = True

    def _ask(self) -> int | None:
        with self._step():
            candidate = self.strategy.ask(rng_for(self.seed, self._asked))
            if candidate is None:
                return None
            number = self._asked
            if self._journal:
                self._journal.append(ask_event(number, candidate))
            self._note_asked(number, candidate)
        return number

    def _note_asked(self, number: int, candidate: Candidate) -> None:
        self._asked += 1
        self._untold[number] = candidate
        self._first.setdefault(self._training(number, candidate), number)

    def _architecture(self, number: int, candidate: Candidate) -> _Architecture:
        return self.problem.space.canonical(candidate.genotype), None if candidate.inherits is None else number

    def _training(self, number: int, candidate: Candidate) -> _Architecture:
        """What is trained for a candidate: the architecture, or all that `trained` of its space makes one of."""
        canonical, own = self._architecture(number, candidate)
        return (self.problem.space.trained(canonical) if self._shares else canonical), own  # type: ignore[attr-defined]

    def seed_of(self, number: int, candidate: Candidate) -> int:
        """The seed that trial `number` is rated with: that of the first trial of its training."""
        return trial_seed(self.seed, self._first[self._training(number, candidate)])

    def _at_cost(self, trial: Trial) -> Trial:
        """The trial without the images of a training that another one, told before, has paid for."""
        if not self._shares or IMAGES not in trial.values:
            return trial
        repeats = isinstance(self._known.get(self._key(trial.number, trial.candidate)), Trial)
        if repeats or (self._training(trial.number, trial.candidate), trial.candidate.rung) not in self._paid:
            return trial
        return replace(trial, values={**trial.values, IMAGES: trial.values.get(OWN_IMAGES, 0.0)})

    def _start(
        self,
        number: int,
        candidate: Candidate,
        executor: Executor,
        pending: dict[int, Future[Rated]],
        tell: Callable[[Trial, float], None],
    ) -> None:
        """Tell a candidate beyond a limit at once, answer a repeated one from the record, have any other rated."""
        costs, broken = screen(self.problem, candidate.genotype)
        if broken:
            tell(Trial(number, candidate, "rejected", costs, broken), 0.0)
            self._check_rejections()
            return
        key = self._key(number, candidate)
        known = self._known.get(key)
        if known is None:
            seed = self.seed_of(number, candidate)
            known = self._known[key] = executor.submit(evaluate, self.problem, number, candidate, costs, seed)
        if isinstance(known, Trial):
            answer: Future[Rated] = Future()
            answer.set_result((known, 0.0))
            known = answer
        pending[number] = known

    def _outcome(self, number: int, future: Future[Rated]) -> Rated:
        """What the executor says of a candidate; an equal one's answer is told as this one's own."""
        candidate = self._untold[number]
        try:
            trial, seconds = future.result()
        except InputError:  # nothing can be rated there any more: what is under way is rated again after a resume
            raise
        except Exception as error:
            known = self._known.get(self._key(number, candidate))
            if isinstance(known, Trial):  # the equal one's failure, told before: as a resume would find it
                trial, seconds = known, 0.0
            else:
                costs, _ = screen(self.problem, candidate.genotype)
                return Trial(number, candidate, "failed", costs, f"{type(error).__name__}: {error}"), 0.0
        if trial.number == number:
            return trial, seconds
        told = self._known.get(self._key(number, candidate))
        trial = told if isinstance(told, Trial) else trial  # as a resume would find it
        reason = f"same as trial {trial.number}" + (f": {trial.reason}" if trial.reason else "")
        return Trial(number, candidate, trial.status, trial.values, reason), 0.0

    def _teller(self, progress: Callable[[Study], None] | None) -> Callable[[Trial, float], None]:
        def tell(trial: Trial, seconds: float) -> None:
            trial = self._at_cost(trial)
            with self._step():
                if self._journal:
                    self._journal.append(tell_event(trial), durable=trial.status != "rejected")
                    if trial.status != "rejected":
                        self._journal.time(trial.number, seconds)
                self._learn(trial)
            if progress:
                progress(self)

        return tell

    def _learn(self, trial: Trial) -> None:
        del self._untold[trial.number]
        self.trials.append(trial)
        if trial.status == "rejected":
            self._rejected_in_a_row.append(trial)
        else:
            counts = trial.candidate.rung >= self.problem.looks
            self.rated, self.looked = self.rated + counts, self.looked + (not counts)
            self._rejected_in_a_row.clear()
            key = self._key(trial.number, trial.candidate)
            if not isinstance(self._known.get(key), Trial):  # no repeat of another
                self.images += trial.values.get(IMAGES, 0.0)
                self._known[key] = trial
                if self._shares and IMAGES in trial.values:
                    self._paid.add((self._training(trial.number, trial.candidate), trial.candidate.rung))
        self.strategy.tell(trial)

    def _key(self, number: int, candidate: Candidate) -> tuple[_Architecture, int]:
        return self._architecture(number, candidate), candidate.rung

    def _check_rejections(self) -> None:
        if len(self._rejected_in_a_row) < max(1, self.max_rejections):
            return
        limits = {objective.name: objective.limit for objective in self.problem.objectives}
        broken = [(name, trial.values[name]) for trial in self._rejected_in_a_row for name in [trial.broken]]
        parts = [
            f"{count:,} by {name} <= {limits[name]:,.6g} (smallest seen {min(v for n, v in broken if n == name):,.6g})"
            for name, count in Counter(name for name, _ in broken).most_common()
        ]
        raise InputError(f"{len(broken):,} candidates in a row were rejected, {', '.join(parts)}: raise the limit")

    def _check_seed(self, header: Event) -> None:
        given = header.get("config", header)
        if isinstance(given, dict) and given.get("seed", self.seed) != self.seed:
            raise InputError(
                f"the journal does not fit: it was begun with seed {given['seed']!r}, this study has seed {self.seed}"
            )

    def _replay(self, events: list[Event]) -> None:
        for line, event in enumerate(events, start=2):
            try:
                if "ask" in event:
                    self._replay_ask(event["ask"], candidate_of(event))
                else:
                    self._replay_tell(trial_of(event, self._untold[event["tell"]]))
            except InputError:
                raise
            except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
                raise InputError(f"journal line {line} is not a valid event: {type(error).__name__} {error}") from None

    def _replay_ask(self, number: int, recorded: Candidate) -> None:
        candidate = self.strategy.ask(rng_for(self.seed, self._asked))
        if number != self._asked or candidate != recorded:
            raise InputError(
                f"the journal does not fit: as trial {number} it recorded {recorded}, this code and configuration ask "
                f"for {candidate} as trial {self._asked}; resume with the version and settings that began the study"
            )
        self._note_asked(number, recorded)

    def _replay_tell(self, trial: Trial) -> None:
        costs = [objective.name for objective in self.problem.objectives if objective.cost]
        if trial.status == "rejected" and trial.broken not in costs:
            raise ValueError(f"rejected by {trial.broken!r}, which has no limit")
        expected = self.problem.expected(trial.candidate.rung)
        if trial.status == "done" and not all(name in trial.values for name in expected):
            raise ValueError(f"done, with values only for {', '.join(trial.values)}")
        self._learn(trial)


def _check_failures(latest: Collection[Trial]) -> None:
    if len(latest) == MOST_FAILURES and all(trial.status == "failed" for trial in latest):
        ((reason, _),) = Counter(trial.reason for trial in latest).most_common(1)
        raise InputError(f"{len(latest)} candidates in a row have failed, most often: {reason}")
