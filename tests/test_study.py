"""The loop: early exit, repeats, failures, budgets, order, and resume by replay."""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest

from frugalnas import store
from frugalnas.core import Candidate, InputError, Objective, Problem, Trial, rng_for, trial_seed
from frugalnas.distribute import InProcess, ProcessPool, TimeLimit
from frugalnas.store import Journal
from frugalnas.strategies.nsga2 import NSGA2
from frugalnas.strategies.random import RandomSearch
from frugalnas.study import Study
from toy import Digits, Listed, Noisy, Troubled, problem, total


def searched(folder, trials, *, seed=0, limit=14.0, cut=None, ordered=True, executor=None, estimator=None):
    """Run or resume a small NSGA-II study; returns it and its journal's bytes."""
    path = folder / store.JOURNAL
    if not path.exists():
        Journal.create(folder, {"seed": seed}).close()
    if cut is not None:
        path.write_bytes(path.read_bytes()[:cut])
    work = problem(limit, estimator)
    journal = Journal(folder)
    study = Study(work, NSGA2(work.space, work.minimised, population=8), seed=seed, journal=journal, ordered=ordered)
    study.run(executor or InProcess(), trials=trials)
    journal.close()
    return study, path.read_bytes()


def test_rejected_candidates_are_never_estimated_and_do_not_count():
    class Counting(Noisy):
        def evaluate(self, candidate, space, seed):
            assert sum(candidate.genotype) <= 9, "the early exit came after the expensive part"
            return super().evaluate(candidate, space, seed)

    work = problem(9, Counting())
    study = Study(work, RandomSearch(work.space))
    assert study.run(InProcess(), trials=20) == "trials"
    statuses = [trial.status for trial in study.trials]
    assert statuses.count("done") == 20 and statuses.count("rejected") > 20 and "failed" not in statuses
    rejected = next(trial for trial in study.trials if trial.status == "rejected")
    assert rejected.reason == f"total {sum(rejected.candidate.genotype)} > 9" and "error" not in rejected.values


def test_limits_that_reject_everything_stop_with_numbers():
    work = problem(-1)
    study = Study(work, RandomSearch(work.space), max_rejections=50)
    with pytest.raises(InputError, match=r"50 candidates in a row .* 50 by total <= -1 \(smallest seen \d+"):
        study.run(InProcess(), trials=20)


def test_a_repeated_architecture_is_answered_from_the_record():
    strategy = Listed((0, 1), (1, 0), (2, 2), (0, 1))
    study = Study(problem(genes=2), strategy)
    assert study.run(InProcess()) == "finished"
    first, same, other, again = study.trials
    assert first.values == same.values == again.values != other.values
    assert same.reason == again.reason == "same as trial 0" and first.reason == other.reason == ""


@dataclass(frozen=True)
class Seeds:
    """Gives the seed that it was handed, and counts images."""

    images: float = 10.0

    def evaluate(self, candidate, space, seed):
        return {"error": float(seed % 2**40), "images": self.images}


class Given:
    """Asks for the candidates that it is given."""

    def __init__(self, *candidates):
        self.left = list(candidates)

    def ask(self, rng):
        return self.left.pop(0) if self.left else None

    def tell(self, trial):
        pass


def rated(*candidates, **budget):
    work = problem(genes=2)
    study = Study(Problem(work.space, work.objectives, (Seeds(), Seeds(100.0))), Given(*candidates))
    return study, study.run(InProcess(), **budget)


def test_another_rung_is_no_repeat_and_has_the_seed_of_the_first_trial_of_its_architecture():
    study, _ = rated(Candidate((1, 1)), Candidate((0, 1)), Candidate((1, 0), rung=1))
    other, low, high = study.trials
    assert not high.reason and low.values["error"] == high.values["error"] != other.values["error"]


def test_a_candidate_that_inherits_shared_weights_is_rated_anew_with_a_seed_of_its_own():
    study, _ = rated(*(Candidate((0, 1), inherits=version) for version in (0, 0, 1)))
    assert len({trial.values["error"] for trial in study.trials}) == 3
    assert not any(trial.reason for trial in study.trials)
    assert study.images == 30


def test_what_is_inherited_is_in_the_journal(tmp_path):
    journal = Journal.create(tmp_path, {"seed": 0})
    candidates = [Candidate((0, 1), inherits=0), Candidate((0, 2))]
    work = problem(genes=2)
    Study(work, Given(*candidates), journal=journal).run(InProcess())
    journal.close()
    journal = Journal(tmp_path)
    assert [event.get("inherits") for event, _ in journal.recorded() if "ask" in event] == [0, None]
    assert [trial.candidate for trial in Study(work, Given(*candidates), journal=journal).trials] == candidates
    journal.close()


def test_a_budget_of_images_counts_those_of_the_told_trials_and_no_repeats():
    candidates = [Candidate((0, 0)), Candidate((0, 0)), Candidate((0, 1)), Candidate((0, 1), rung=1), Candidate((1, 1))]
    study, ended = rated(*candidates, images=120)
    assert ended == "images" and study.images == 120 and len(study.trials) == 4
    assert rated(*candidates, images=1000)[1] == "finished"


class Failing(Listed):
    """Asks for genotypes that fail, and as the second for one that does not."""

    asked = 0

    def ask(self, rng):
        self.asked += 1
        return Candidate((self.asked != 2, self.asked))


@pytest.mark.parametrize("budget", [{"images": 1.0}, {"minutes": 60.0}, {}])
def test_a_search_that_only_fails_ends_where_no_number_of_trials_ends_it(tmp_path, budget):
    """Failures bring a budget of images no nearer, and one of time would fill the disk with them."""
    journal = Journal.create(tmp_path, {})
    work = problem(estimator=Troubled(), genes=2, base=7)
    study = Study(work, Failing(), journal=journal)
    with pytest.raises(InputError, match="200 candidates in a row have failed, most often: RuntimeError: no such la"):
        study.run(InProcess(), **budget)
    assert len(study.trials) == 202 and study.trials[1].status == "done"
    with pytest.raises(InputError, match="200 candidates in a row"):
        study.run(InProcess(), **budget)  # which tries again: the reason may be gone
    assert study.run(InProcess(), trials=500) == "trials"
    journal.close()


@pytest.mark.parametrize(
    ("gene", "reason"),
    [(1, "RuntimeError: no such layer"), (2, "error is nan"), (5, "the estimator gave no value for error")],
)
def test_a_failing_trial_is_recorded_and_the_search_goes_on(gene, reason):
    study = Study(problem(estimator=Troubled(), genes=1, base=7), Listed((gene,), (0,)))
    study.run(InProcess())
    failed, done = study.trials
    assert (failed.status, failed.reason, done.status) == ("failed", reason, "done")
    assert failed.values["total"] == gene and all(value == value for value in failed.values.values())


def test_worker_deaths_and_time_limits_fail_one_trial(tmp_path):
    estimator = Troubled(str(tmp_path / "died once"))
    study = Study(problem(estimator=estimator, genes=1, base=7), Listed((4,), (3,), (6,), (0,)))
    pool = ProcessPool(2, time_limit_s=2.0)
    try:
        study.run(pool)
    finally:
        pool.close()
    killed, slow, once, fine = study.trials
    assert killed.status == "failed" and killed.reason.startswith("WorkerDied: exit code -9")
    assert (slow.status, slow.reason) == ("failed", "TimeLimit: stopped after 2 s")
    assert once.status == fine.status == "done"
    assert killed.values == {"total": 4.0}


def test_every_trial_has_its_own_seed():
    seeds = {trial_seed(seed, number) for seed in range(20) for number in range(50)}
    draws = {rng_for(seed, number).random() for seed in range(20) for number in range(50)}
    assert len(seeds) == len(draws) == 1000
    assert trial_seed(3, 4) == trial_seed(3, 4)


def test_same_seed_same_journal_and_other_seed_another(tmp_path):
    _, first = searched(tmp_path / "a", 40)
    _, second = searched(tmp_path / "b", 40)
    _, third = searched(tmp_path / "c", 40, seed=1)
    assert first == second
    assert first.splitlines()[1:] != third.splitlines()[1:]


def test_resuming_after_a_cut_anywhere_gives_the_same_bytes(tmp_path):
    _, whole = searched(tmp_path / "whole", 30)
    start = whole.index(b"\n") + 1
    for number, size in enumerate(range(start, len(whole), 211)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / store.JOURNAL).write_bytes(whole)
        assert searched(folder, 30, cut=size)[1] == whole


def test_a_pool_writes_the_same_journal_as_one_process(tmp_path):
    """Out-of-order finishes (the estimator sleeps by its seed) do not show in ordered mode."""
    twins = []
    for name in ("a", "b"):
        pool = ProcessPool(2)
        try:
            twins.append(searched(tmp_path / name, 24, executor=pool, estimator=Noisy(0.01))[1])
        finally:
            pool.close()
    assert twins[0] == twins[1]


def test_free_order_tells_as_they_finish_and_replays_its_own_record(tmp_path):
    class Backwards:
        """Finishes the newest first."""

        window = 3

        def __init__(self):
            self.waiting = []

        def submit(self, function, /, *arguments):
            future = Future()
            self.waiting.append((future, function, arguments))
            if len(self.waiting) == self.window:
                for future_, function_, arguments_ in reversed(self.waiting[1:]):
                    future_.set_result(function_(*arguments_))
                del self.waiting[1:]
            return future

        def close(self):
            pass

    (tmp_path / "run").mkdir()
    study, record = searched(tmp_path / "run", 8, ordered=False, executor=InProcess())
    work = problem(genes=2)
    free = Study(work, Listed((0, 1), (0, 2), (0, 3)), ordered=False)
    executor = Backwards()
    with pytest.raises(StopIteration):
        free.run(executor, progress=lambda study: next(iter(())) if len(study.trials) == 2 else None)
    assert [trial.number for trial in free.trials] == [1, 2]
    assert searched(tmp_path / "run", 8, ordered=False)[1] == record


def test_budgets_are_totals_when_resumed(tmp_path):
    study, _ = searched(tmp_path, 10)
    study, before = searched(tmp_path, 10)
    assert study.rated == 10
    study, after = searched(tmp_path, 16)
    assert study.rated == 16 and after.startswith(before)


def test_wall_time_is_a_total_too(tmp_path):
    searched(tmp_path, 4)
    with (tmp_path / store.TIMES).open("a") as file:
        file.write('{"elapsed": 3600.0}\n')
    work = problem(14.0)
    journal = Journal(tmp_path)
    study = Study(work, NSGA2(work.space, work.minimised, population=8), journal=journal)
    assert study.run(InProcess(), minutes=59) == "minutes" and study.rated == 4
    journal.close()


def test_minutes_end_a_running_candidate():
    study = Study(problem(estimator=Troubled(), genes=1, base=7), Listed((3,)))
    pool = ProcessPool(1)
    start = time.monotonic()
    try:
        assert study.run(pool, minutes=2 / 60) == "minutes"
    finally:
        pool.close()
    assert study.trials == [] and time.monotonic() - start < 30


def test_another_configuration_is_named(tmp_path):
    searched(tmp_path, 10)
    journal = Journal(tmp_path)
    with pytest.raises(InputError, match="the journal does not fit: as trial 0 it recorded"):
        Study(problem(14.0), Listed((9, 9)), journal=journal)
    journal.close()


@pytest.mark.parametrize("header", [{"seed": 3}, {"config": {"seed": 3}, "version": "0"}])
def test_another_seed_is_named_even_where_the_strategy_draws_nothing(tmp_path, header):
    journal = Journal.create(tmp_path, header)
    Study(problem(genes=2), Listed((0, 1), (1, 2)), seed=3, journal=journal).run(InProcess(), trials=1)
    journal.close()
    journal = Journal(tmp_path)
    with pytest.raises(InputError, match="begun with seed 3, this study has seed 4"):
        Study(problem(genes=2), Listed((0, 1), (1, 2)), seed=4, journal=journal)
    assert Study(problem(genes=2), Listed((0, 1), (1, 2)), seed=3, journal=journal).rated == 1
    journal.close()


ASK = {"ask": 0, "genotype": [0, 1], "rung": 0, "parents": []}
TELL = {"tell": 0, "status": "done", "values": {"total": 1.0, "error": 0.5}, "reason": ""}


@pytest.mark.parametrize(
    ("line", "events"),
    [
        (2, [TELL]),
        (2, [{"ask": 0}]),
        (2, [ASK | {"genotype": [[0], 1]}]),
        (3, [ASK, TELL | {"tell": [0]}]),
        (3, [ASK, TELL | {"values": {}}]),
        (3, [ASK, TELL | {"values": {"error": 10**400}}]),
        (3, [ASK, TELL | {"status": "rejected", "values": {}}]),
        (3, [ASK, TELL | {"status": "rejected", "values": {"nothing": 1.0}}]),
        (3, [ASK, TELL | {"status": "lost"}]),
        (4, [ASK, TELL, TELL]),
    ],
)
def test_events_that_make_no_sense_are_refused(tmp_path, line, events):
    journal = Journal.create(tmp_path, {})
    for event in events:
        journal.append(event)
    journal.close()
    journal = Journal(tmp_path)
    with pytest.raises(InputError, match=f"journal line {line} is not a valid event") as refused:
        Study(problem(genes=2), Listed((0, 1)), journal=journal)
    assert "\n" not in str(refused.value)
    journal.close()


@pytest.mark.parametrize("error", [IndexError("pop from an empty list"), ValueError("no such front")])
def test_a_strategy_that_chokes_on_a_forged_value_ends_in_one_line(tmp_path, error):
    class Choking(Listed):
        def tell(self, trial):
            raise error

    journal = Journal.create(tmp_path, {})
    for event in (ASK, TELL):
        journal.append(event)
    journal.close()
    journal = Journal(tmp_path)
    with pytest.raises(InputError, match=f"journal line 3 is not a valid event: {type(error).__name__}"):
        Study(problem(genes=2), Choking((0, 1)), journal=journal)
    journal.close()


class Wide:
    """Answers at once, as a pool of `window` would; candidates with more than one 3 take too long."""

    window = 4

    def submit(self, function, /, *arguments):
        future = Future()
        if arguments[2].genotype.count(3) > 1:
            future.set_exception(TimeLimit("stopped after 2 s"))
        else:
            future.set_result(function(*arguments))
        return future

    def close(self):
        pass


def lines_of(record):
    return [at + 1 for at, byte in enumerate(record) if byte == ord("\n")]


def test_a_repeat_of_a_pending_failure_reads_the_same_after_a_resume(tmp_path):
    def listed(folder):
        journal = Journal(folder)
        strategy = Listed((3, 0, 3), (0, 3, 3), (1, 1, 1), (3, 3, 0), (2, 2, 2), (3, 3, 0))
        study = Study(problem(genes=3), strategy, journal=journal)
        study.run(Wide())
        journal.close()
        return study, (folder / store.JOURNAL).read_bytes()

    Journal.create(tmp_path / "whole", {}).close()
    study, whole = listed(tmp_path / "whole")
    reasons = [trial.reason for trial in study.trials]
    assert reasons[0] == "TimeLimit: stopped after 2 s"
    assert reasons[1] == reasons[3] == reasons[5] == "same as trial 0: TimeLimit: stopped after 2 s"
    for size in lines_of(whole):
        (tmp_path / str(size)).mkdir()
        (tmp_path / str(size) / store.JOURNAL).write_bytes(whole[:size])
        assert listed(tmp_path / str(size))[1] == whole


def test_a_study_that_rejected_too_much_asks_nothing_when_resumed(tmp_path):
    def rejected(folder):
        work = problem(-1)
        journal = Journal(folder)
        with pytest.raises(InputError, match="12 candidates in a row"):
            Study(work, RandomSearch(work.space), journal=journal, max_rejections=12).run(InProcess(), trials=20)
        journal.close()
        return (folder / store.JOURNAL).read_bytes()

    Journal.create(tmp_path / "whole", {}).close()
    whole = rejected(tmp_path / "whole")
    for size in lines_of(whole):
        (tmp_path / str(size)).mkdir()
        (tmp_path / str(size) / store.JOURNAL).write_bytes(whole[:size])
        assert rejected(tmp_path / str(size)) == whole


@pytest.mark.parametrize("rated", [1, 5, 9])
def test_a_smaller_budget_rates_nothing_that_was_pending(tmp_path, rated):
    _, whole = searched(tmp_path / "whole", 20, executor=Wide())
    folder = tmp_path / "stopped"
    folder.mkdir()
    done = 0
    for size in lines_of(whole):
        done += b'"done"' in (told := whole[:size].splitlines()[-1]) or b'"failed"' in told
        if done == rated:
            break
    study, before = searched(folder_with(folder, whole[:size]), 1, executor=Wide())
    assert before == whole[:size] and study.rated == rated and study.under_way
    assert searched(folder, 20, executor=Wide())[1] == whole
    study, _ = searched(folder_with(folder, before), rated + 1, executor=Wide())
    assert study.rated == rated + 1


def folder_with(folder, record):
    (folder / store.JOURNAL).write_bytes(record)
    return folder


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
@pytest.mark.parametrize("step", [Journal.append, Journal.time, NSGA2.ask, NSGA2.tell])
@pytest.mark.parametrize("call", [3, 8, 19])
def test_a_study_that_broke_off_in_a_step_is_not_run_on_and_resumes(tmp_path, monkeypatch, error, step, call):
    _, whole = searched(tmp_path / "whole", 20)
    calls = [0]
    if step is Journal.time:
        call //= 2

    def interrupted(self, *arguments, **settings):
        result = step(self, *arguments, **settings)
        calls[0] += 1
        if calls[0] == call:
            raise error
        return result

    work = problem(14.0)
    journal = Journal.create(tmp_path / "run", {"seed": 0})
    study = Study(work, NSGA2(work.space, work.minimised, population=8), journal=journal)
    owner = Journal if step in (Journal.append, Journal.time) else NSGA2
    with monkeypatch.context() as patch:
        patch.setattr(owner, step.__name__, interrupted)
        with pytest.raises(type(error)):
            study.run(InProcess(), trials=20)
    before = (tmp_path / "run" / store.JOURNAL).read_bytes()
    with pytest.raises(InputError, match="cannot be run on: continue with 'frugalnas resume"):
        study.run(InProcess(), trials=20)
    journal.close()
    assert (tmp_path / "run" / store.JOURNAL).read_bytes() == before
    assert searched(tmp_path / "run", 20)[1] == whole


def test_ctrl_c_leaves_a_study_that_resumes(tmp_path):
    _, whole = searched(tmp_path / "whole", 20)
    folder = tmp_path / "stopped"
    work = problem(14.0)
    journal = Journal.create(folder, {"seed": 0})
    study = Study(work, NSGA2(work.space, work.minimised, population=8), journal=journal)

    def interrupt(study: Study) -> None:
        if study.rated == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study.run(InProcess(), trials=20, progress=interrupt)
    journal.close()
    assert searched(folder, 20)[1] == whole


def test_a_study_in_memory_can_be_run_on():
    work = problem(14.0)
    one = Study(work, NSGA2(work.space, work.minimised, population=8))
    one.run(InProcess(), trials=11)
    one.run(InProcess(), trials=20)
    two = Study(work, NSGA2(work.space, work.minimised, population=8))
    two.run(InProcess(), trials=20)
    assert one.trials == two.trials


def test_the_front_is_what_nothing_dominates():
    study = Study(problem(), Listed(*[(n,) * 8 for n in range(4)], (0, 0, 0, 0, 0, 0, 0, 1)))
    study.run(InProcess())
    values = [(trial.values["error"], trial.values["total"]) for trial in study.front]
    assert values == sorted(values) and len(values) == 5
    study.trials.append(Trial(9, Candidate((3,) * 8), "failed", {"error": -1.0, "total": -1.0}))
    assert [(trial.values["error"], trial.values["total"]) for trial in study.front] == values


def test_a_limit_needs_a_cost():
    with pytest.raises(InputError, match="no cost that is known before training"):
        Objective("error", limit=0.2)
    assert Objective("total", total, 3.0).limit == 3.0


def test_objectives_that_are_only_limited_are_not_minimised():
    work = Problem(Digits(), (Objective("error"), Objective("total", total, 9.0, minimise=False)), (Noisy(),))
    assert work.minimised == ("error",)


class Threads:
    """An executor of threads, so that a test can hold up one candidate until others were rated."""

    def __init__(self, window: int) -> None:
        self.window, self._pool = window, ThreadPoolExecutor(8)

    def submit(self, function, *arguments):
        return self._pool.submit(function, *arguments)

    def close(self):
        self._pool.shutdown()


class Calling:
    """An estimator that is a function of the genotype."""

    values = ("error",)

    def __init__(self, function) -> None:
        self.evaluate = lambda candidate, space, seed: {"error": function(candidate.genotype)}


def test_looks_go_on_while_trainings_are_under_way():
    """Two trainings end only when six looks are over, of which two at a time are under way beside them."""
    looked, over, pair = [], threading.Event(), threading.Barrier(2, timeout=5)

    def look(genotype):
        pair.wait()
        looked.append(genotype)
        if len(looked) == 6:
            over.set()
        return 0.5

    def train(genotype):
        return 0.1 if over.wait(20) else math.nan

    asked = [Candidate((i,) * 8, 1) for i in range(2)] + [Candidate((1, i, 2, 3, 3, 3, 3, 3)) for i in range(4)]
    asked += [Candidate((2, i, 2, 2, 3, 3, 3, 3)) for i in range(2)]
    two = replace(problem(), estimators=(Calling(look), Calling(train)), looks=1)
    study, executor = Study(two, Listed(*asked)), Threads(3)
    assert study.run(executor) == "finished"
    executor.close()
    assert [trial.candidate.rung for trial in study.trials] == [0] * 6 + [1] * 2
    assert [trial.status for trial in study.trials] == ["done"] * 8 and (study.looked, study.rated) == (6, 2)


def test_what_is_finished_when_time_is_up_is_told():
    """The first of two is held up, so that the second waits for its turn until the end."""
    over = threading.Event()

    def rate(genotype):
        return float(not over.wait(20)) if genotype[0] == 0 else 0.5

    study, executor = Study(problem(estimator=Calling(rate)), Listed((0,) * 8, (1,) * 8)), Threads(2)
    assert study.run(executor, minutes=0.5 / 60) == "minutes"
    over.set()
    executor.close()
    assert [(trial.number, trial.values["error"]) for trial in study.trials] == [(1, 0.5)]
    assert set(study.under_way) == {0}


@dataclass(frozen=True)
class Circuits(Digits):
    """Of the digits, whose order counts, the last one plays no part in training."""

    def canonical(self, genotype):
        return genotype

    def trained(self, genotype):
        return (*genotype[:-1], 0)


@dataclass(frozen=True)
class Approximated:
    """As `Seeds`, of an estimator whose training serves all circuits, and which trains a little for each of them."""

    own: float | None = None

    def evaluate(self, candidate, space, seed):
        values = {"error": float(seed % 2**40) + candidate.genotype[-1], "images": 10.0 + (self.own or 0.0)}
        return values | ({} if self.own is None else {"own_images": self.own})


SHARED = [(0, 1), (1, 0), (0, 2), (0, 1), (0, 2), (1, 1), (2, 2)]


def shared(executor, *, own=None, journal=None, asked=SHARED, trials=None):
    work = Problem(Circuits(2), (Objective("error"),), (Approximated(own), Approximated(own)))
    study = Study(work, Listed(*asked), journal=journal)
    study.run(executor, trials=trials)
    return study


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("own", [None, 3.0])
def test_candidates_that_are_trained_alike_have_one_seed_and_pay_once(own, ahead):
    study = shared(Threads(3) if ahead else InProcess(), own=own)
    extra = own or 0.0
    seeds = [trial.values["error"] - trial.candidate.genotype[-1] for trial in study.trials]
    assert seeds == [float(trial_seed(0, number) % 2**40) for number in (0, 1, 0, 0, 0, 1, 6)]
    images = [trial.values["images"] for trial in study.trials]
    assert images == [10 + extra, 10 + extra, extra, 10 + extra, extra, extra, 10 + extra]
    assert [trial.reason for trial in study.trials] == ["", "", "", "same as trial 0", "same as trial 2", "", ""]
    assert study.images == 3 * 10 + 5 * extra


def test_each_rung_of_a_shared_training_is_paid_for():
    asked = [Candidate((0, 1)), Candidate((0, 1), rung=1), Candidate((0, 2), rung=1)]
    assert [trial.values["images"] for trial in shared(InProcess(), asked=asked).trials] == [10, 10, 0]


def test_a_study_of_shared_trainings_resumes_to_the_same_journal_wherever_it_is_cut(tmp_path):
    def begun(folder, cut=None):
        if cut is None:
            Journal.create(folder, {"seed": 0}).close()
        else:
            folder.mkdir()
            (folder / store.JOURNAL).write_bytes(whole[:cut])
        journal = Journal(folder)
        study = shared(Threads(2), own=3.0, journal=journal)
        journal.close()
        return study, (folder / store.JOURNAL).read_bytes()

    study, whole = begun(tmp_path / "whole")
    ends = [place for place, byte in enumerate(whole) if byte == ord("\n")]
    for cut in [*(end + 1 for end in ends), *(end - 5 for end in ends[1:])]:
        again, journal = begun(tmp_path / str(cut), cut)
        assert journal == whole and again.images == study.images == 3 * 10 + 5 * 3
