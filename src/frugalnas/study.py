"""The loop: ask, screen, rate, tell; journalled, so that a study resumes by replay."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress

from frugalnas import snapshot
from frugalnas.core import Candidate, InputError, MachineError, Problem, Strategy, Trial, evaluate, rng_for, screen
from frugalnas.distribute import Executor
from frugalnas.history import History, Key
from frugalnas.replay import replay
from frugalnas.store import Journal, ask_event, tell_event

Rated = tuple[Trial, float]
MOST_FAILURES = 200  # in a row, of a search that no number of trials ends
LEAST, BETWEEN = 1000, 5000  # candidates that are worth a snapshot at the end of a session, and within it


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
    `rated` counts the trials that were rated, `looked` those that were only looked at (see `Problem.looks`); more such
    counts are in `history`. Raises
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
        self.history = History(problem, seed) if journal is None else replay(journal, problem, strategy, seed)
        self._rating: dict[Key, Future[Rated]] = {}
        self._journal = journal
        self._born = time.monotonic()
        self._whole = True
        self._kept = self.history.asked  # candidates in the last snapshot, or replayed since

    @property
    def trials(self) -> list[Trial]:
        """In the order told."""
        return self.history.trials

    @property
    def rated(self) -> int:
        """How many trials were rated; one that repeats another counts."""
        return self.history.rated

    @property
    def looked(self) -> int:
        """How many trials were only looked at."""
        return self.history.looked

    @property
    def images(self) -> float:
        """Training images that rating the trials took."""
        return self.history.images

    @property
    def front(self) -> list[Trial]:
        """The non-dominated trials so far, by the first objective."""
        return self.history.front

    @property
    def under_way(self) -> dict[int, Candidate]:
        """What was asked and is not told yet, by trial number."""
        return dict(self.history.untold)

    def seed_of(self, number: int) -> int:
        """The seed that trial `number` is rated with: that of the first trial of its training."""
        return self.history.seed_of(number)

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
        looks, so many fail in a row that the search might never end, and, as MachineError, when the
        journal or what a worker leaves in the run folder cannot be written.
        """
        self.history.check_rejections(self.max_rejections)
        latest: deque[Trial] = deque(maxlen=MOST_FAILURES)  # of this session
        pending: dict[int, Future[Rated]] = {}
        untold = deque(self.history.untold)  # asked for earlier
        tell = self._teller(progress)
        try:
            while True:
                enough = ""
                while untold or self._room(pending, executor.window):
                    if self._left(minutes) == 0:
                        return self._out_of_time(pending, tell)
                    if trials is not None and self.rated + sum(map(self.history.counts, pending)) >= trials:
                        enough = "trials"
                    elif images is not None and self.images >= images:
                        enough = "images"
                    if enough:
                        break
                    number = untold.popleft() if untold else self._ask()
                    if number is None:
                        break
                    self._start(number, executor, pending, tell)
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
            self._rating.clear()
            self._keep(LEAST)

    def _left(self, minutes: float | None) -> float | None:
        return None if minutes is None else max(0.0, minutes * 60 - self.seconds)

    def _out_of_time(self, pending: dict[int, Future[Rated]], tell: Callable[[Trial, float], None]) -> str:
        """Tell what is finished and waits for its turn, before all else is given up."""
        for number in sorted(number for number, future in pending.items() if future.done()):
            tell(*self._outcome(number, pending.pop(number)))
        return "minutes"

    def _room(self, pending: Collection[int], window: int) -> bool:
        """Whether there is room for one more. Looks have room of their own, as trainings beside them are told later."""
        looks = sum(not self.history.counts(number) for number in pending)
        return max(looks, len(pending) - looks) < window

    def _finished(self, pending: dict[int, Future[Rated]], timeout: float | None) -> list[int]:
        """The next trials to tell: the oldest, or without `ordered` all that are finished; [] when time is up.

        A look is told before any training that is under way beside it, which would hold up all that follow.
        """
        if self.ordered:
            oldest = min(pending, key=lambda number: (self.history.counts(number), number))
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
            candidate = self.strategy.ask(rng_for(self.seed, self.history.asked))
            if candidate is None:
                return None
            if self._journal:
                self._journal.append(ask_event(self.history.asked, candidate))
            return self.history.ask(candidate)

    def _start(
        self,
        number: int,
        executor: Executor,
        pending: dict[int, Future[Rated]],
        tell: Callable[[Trial, float], None],
    ) -> None:
        """Tell a candidate beyond a limit at once, answer a repeated one from the record, have any other rated."""
        candidate = self.history.untold[number]
        costs, broken = screen(self.problem, candidate.genotype)
        if broken:
            tell(Trial(number, candidate, "rejected", costs, broken), 0.0)
            self.history.check_rejections(self.max_rejections)
            return
        key, told = self.history.key(number), self.history.answer(number)
        if told:
            pending[number] = Future()
            pending[number].set_result((told, 0.0))
            return
        if key not in self._rating:
            seed = self.seed_of(number)
            self._rating[key] = executor.submit(evaluate, self.problem, number, candidate, costs, seed)
        pending[number] = self._rating[key]

    def _outcome(self, number: int, future: Future[Rated]) -> Rated:
        """What the executor says of a candidate; an equal one's answer is told as this one's own."""
        candidate, told = self.history.untold[number], self.history.answer(number)
        try:
            trial, seconds = future.result()
        except InputError as error:  # nothing can be rated there any more; what is under way is, after a resume
            raise MachineError(f"{error}; {self._journal.way_on}" if self._journal else str(error)) from None
        except Exception as error:
            if told is None:
                costs, _ = screen(self.problem, candidate.genotype)
                return Trial(number, candidate, "failed", costs, f"{type(error).__name__}: {error}"), 0.0
            trial, seconds = told, 0.0  # the equal one's failure, told before: as a resume would find it
        if trial.number == number:
            return trial, seconds
        trial = told or trial  # as a resume would find it
        reason = f"same as trial {trial.number}" + (f": {trial.reason}" if trial.reason else "")
        return Trial(number, candidate, trial.status, trial.values, reason), 0.0

    def _teller(self, progress: Callable[[Study], None] | None) -> Callable[[Trial, float], None]:
        def tell(trial: Trial, seconds: float) -> None:
            trial = self.history.at_cost(trial)
            with self._step():
                if self._journal:
                    self._journal.append(tell_event(trial), durable=trial.status != "rejected")
                    if trial.status != "rejected":
                        self._journal.time(trial.number, seconds)
                self._learn(trial)
            self._keep(max(BETWEEN, self.history.asked // 10))  # so that all of them take time in proportion
            if progress:
                progress(self)

        return tell

    def _learn(self, trial: Trial) -> None:
        self._rating.pop(self.history.key(trial.number), None)
        self.history.tell(trial)
        self.strategy.tell(trial)

    def _keep(self, least: int) -> None:
        """Leave a snapshot where at least so many candidates were asked since the last one."""
        asked, journal = self.history.asked, self._journal
        if journal is not None and self._whole and asked - self._kept >= least:
            self._kept = asked
            events = asked + len(self.trials)
            with suppress(InputError):  # on a full disk a resume takes longer
                snapshot.write(journal.folder, self.history, self.strategy, events, journal.checksum)


def _check_failures(latest: Collection[Trial]) -> None:
    if len(latest) == MOST_FAILURES and all(trial.status == "failed" for trial in latest):
        ((reason, _),) = Counter(trial.reason for trial in latest).most_common(1)
        raise InputError(f"{len(latest)} candidates in a row have failed, most often: {reason}")
