"""Pre-screening: who goes on, what the inner strategy hears, and a study in which looks count for nothing."""

from __future__ import annotations

import csv
import io
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pytest

from frugalnas import launch, store
from frugalnas.core import Candidate, InputError, Objective, Problem, Promoting, Trial, rng_for
from frugalnas.distribute import InProcess
from frugalnas.record import load
from frugalnas.store import Journal
from frugalnas.strategies.aging import Aging
from frugalnas.strategies.hierarchical import Hierarchical
from frugalnas.strategies.nsga2 import NSGA2
from frugalnas.strategies.prescreened import Prescreened, prefers
from frugalnas.strategies.random import RandomSearch
from frugalnas.study import Study
from test_cli import complaint
from tiny import SMALL, OneProcess, images, run
from toy import Digits, Listed, Noisy, total

RNG = np.random.default_rng(0)


@dataclass(frozen=True)
class Glimpse:
    """A rating that says a little about the error: the first genes only."""

    values = ("rating", "images")
    genes: int = 4
    sign: int = -1

    def evaluate(self, candidate, space, seed):
        return {"rating": float(self.sign * sum(sorted(candidate.genotype)[-self.genes :])), "images": 1.0}


@dataclass(frozen=True)
class Rung(Noisy):
    """Another error on each rung, and images."""

    values = ("error", "images")

    def evaluate(self, candidate, space, seed):
        return {name: value + candidate.rung for name, value in super().evaluate(candidate, space, seed).items()} | {
            "images": 10.0
        }


def work(rungs=1, limit=float("inf"), several=True, look=None, genes=8):
    """Minimise `error`, and `total`, over digits, with a look before."""
    objectives = (Objective("error"), Objective("total", total, limit, several))
    return Problem(Digits(genes, 4), objectives, (look or Glimpse(), *(Rung() for _ in range(rungs))), 1)


def around(inner, problem, **settings):
    costs = tuple(each.name for each in problem.objectives if each.cost)
    return Prescreened(inner, problem.space, problem.minimised, ("rating",), costs, {"total": total}, **settings)


INNER = {
    "nsga2": lambda work: NSGA2(work.space, work.minimised, population=6, offspring=3),
    "aging": lambda work: Aging(work.space, work.minimised, population=5, sample=3),
    "random": lambda work: RandomSearch(work.space),
    "hierarchical": lambda work: Hierarchical(
        work.space, work.minimised, 3, population=6, promotions=(3, 1), children=(2, 1, 1)
    ),
}


def study_of(name, *, seed=0, journal=None, candidates=4, **settings):
    problem = work(3 if name == "hierarchical" else 1, **settings)
    strategy = around(INNER[name](problem), problem, candidates=candidates, least=8, model="ridge")
    return Study(problem, strategy, seed=seed, journal=journal)


class Ahead(InProcess):
    window = 5


def look(number, candidate, rating):
    return Trial(number, candidate, "done", {"total": 0.0, "rating": rating, "images": 1.0})


class TestAGroup:
    def test_the_best_goes_on_and_each_loser_is_told_as_soon_as_it_has_lost(self):
        inner = Listed((0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3))
        strategy = around(inner, work(several=False, genes=2), candidates=3)
        first = [strategy.ask(RNG) for _ in range(3)]
        assert [candidate.rung for candidate in first] == [0, 0, 0]
        strategy.tell(look(0, first[0], 5.0))
        assert inner.told == []
        strategy.tell(look(1, first[1], 3.0))
        (loser,) = inner.told
        assert (loser.number, loser.status, loser.candidate) == (0, "rejected", Candidate((0, 1)))
        assert loser.reason == "prescreened: rating 5 against 3 of trial 1" and loser.values["rating"] == 5.0
        strategy.tell(look(2, first[2], 4.0))
        assert [trial.number for trial in inner.told] == [0, 2]
        best = strategy.ask(RNG)
        assert best == Candidate((0, 2), rung=1)
        assert strategy.ask(RNG) == Candidate((1, 1))  # of the next group
        strategy.tell(Trial(3, best, "done", {"error": 0.1, "total": 2.0}))
        assert inner.told[-1] == Trial(3, Candidate((0, 2)), "done", {"error": 0.1, "total": 2.0})

    def test_equal_ratings_leave_the_earlier_one(self):
        inner = Listed((0, 1), (0, 2))
        strategy = around(inner, work(several=False, genes=2), candidates=2)
        asked = [strategy.ask(RNG) for _ in range(2)]
        for number, candidate in enumerate(asked):
            strategy.tell(look(number, candidate, 1.0))
        assert strategy.ask(RNG) == Candidate((0, 1), rung=1)

    def test_it_is_closed_when_the_inner_strategy_waits_and_nothing_is_being_looked_at(self):
        inner = Listed((0, 1), (0, 2))
        strategy = around(inner, work(several=False, genes=2), candidates=10)
        asked = [strategy.ask(RNG) for _ in range(2)]
        strategy.tell(look(0, asked[0], 1.0))
        assert strategy.ask(RNG) is None  # the other is being looked at
        strategy.tell(look(1, asked[1], 0.0))
        assert strategy.ask(RNG) == Candidate((0, 2), rung=1)
        assert strategy.ask(RNG) is None

    @pytest.mark.parametrize("status", ["failed", "rejected"])
    def test_who_breaks_a_limit_or_fails_at_the_look_is_told_as_that_and_is_no_member(self, status):
        inner = Listed((0, 1), (0, 2), (0, 3))
        strategy = around(inner, work(several=False, genes=2), candidates=2)
        asked = [strategy.ask(RNG) for _ in range(3)]
        strategy.tell(look(0, asked[0], 1.0))
        broken = Trial(1, asked[1], status, {"total": 9.0}, "total 9 > 8")
        strategy.tell(broken)
        assert inner.told == [broken] and strategy.ask(RNG) is None
        strategy.tell(look(2, asked[2], 0.0))
        assert strategy.ask(RNG) == Candidate((0, 3), rung=1)

    def test_what_the_inner_strategy_promotes_or_asks_again_is_passed_on(self):
        class Given(Listed):
            def ask(self, rng):
                return self.left.pop(0) if self.left else None

        asked = [Candidate((0, 1)), Candidate((0, 2)), Candidate((1, 0)), Candidate((0, 2), rung=1, parents=(1,))]
        strategy = around(Given(*asked), work(2, several=False, genes=2), candidates=2)
        for number, rating in enumerate((1.0, 0.0)):
            strategy.tell(look(number, strategy.ask(RNG), rating))
        assert strategy.ask(RNG) == Candidate((0, 2), rung=1)
        again = strategy.ask(RNG)
        assert again == Candidate((1, 0))  # it was looked at, and not trained: it may be the better one now
        strategy.tell(look(3, again, 1.0))
        promoted = strategy.ask(RNG)
        assert promoted == Candidate((0, 2), rung=2, parents=(1,))
        strategy.tell(Trial(4, promoted, "done", {"error": 0.5}))
        assert strategy.inner.told[-1].candidate == asked[3]
        strategy = around(Given(asked[0], asked[1], Candidate((2, 0))), work(several=False, genes=2), candidates=2)
        for number, rating in enumerate((1.0, 0.0)):
            strategy.tell(look(number, strategy.ask(RNG), rating))
        assert [strategy.ask(RNG) for _ in range(2)] == [Candidate((0, 2), rung=1), Candidate((2, 0), rung=1)]


class TestWhatIsBetter:
    def test_one_objective_is_compared_as_it_is(self):
        assert prefers((0.1,), (0.2,), []) and not prefers((0.2,), (0.1,), []) and not prefers((0.1,), (0.1,), [])

    def test_several_by_the_front_that_they_would_be_on_then_by_the_first(self):
        front = [(0.1, 9.0), (0.5, 1.0)]
        assert prefers((0.3, 3.0), (0.2, 9.5), front)  # the other is dominated
        assert prefers((0.2, 5.0), (0.3, 3.0), front)  # neither is
        assert prefers((0.3, 3.0), (0.2, 5.0), [(0.2, 4.0)])
        assert prefers((0.3, 4.0), (0.3, 5.0), [])

    def test_a_surrogate_takes_over_from_a_rating_that_is_wrong(self):
        """The rating prefers the worst networks; what is trained says so, and the surrogate hears it."""
        problem = work(several=False, look=Glimpse(sign=1))
        strategy = around(RandomSearch(problem.space), problem, candidates=8, least=10, model="ridge")
        study = Study(problem, strategy, seed=1)
        study.run(InProcess(), trials=10)
        wrong = [trial.values["error"] for trial in study.trials if trial.candidate.rung]
        study.run(InProcess(), trials=40)
        right = [trial.values["error"] for trial in study.trials if trial.candidate.rung][15:]
        looked = [1 / (1 + sum(trial.candidate.genotype)) for trial in study.trials if not trial.candidate.rung]
        assert np.mean(wrong) - 1 > np.mean(looked) > np.mean(right) - 1

    @pytest.mark.parametrize(("least", "by"), [(8, "predicted error"), (200, "rating")])
    def test_the_reason_says_by_what(self, least, by):
        told = []

        class Heard(RandomSearch):
            def tell(self, trial):
                told.append(trial)

        problem = work()
        study = Study(problem, around(Heard(problem.space), problem, candidates=3, least=least))
        study.run(InProcess(), trials=12)
        reasons = [trial.reason for trial in told if trial.status == "rejected"]
        assert reasons[0].startswith("prescreened: rating -") and reasons[-1].startswith(f"prescreened: {by} ")

    def test_more_candidates_find_better_networks(self):
        best = {}
        for candidates in (2, 12):
            errors = []
            for seed in range(3):
                study = study_of("random", seed=seed, candidates=candidates, several=False)
                study.run(InProcess(), trials=25)
                errors.append(np.mean([trial.values["error"] for trial in study.trials if trial.candidate.rung]))
            best[candidates] = np.mean(errors)
        assert best[12] < best[2]


@pytest.mark.parametrize("name", INNER)
class TestInAStudy:
    def test_looks_are_free_and_recorded(self, name):
        study = study_of(name)
        assert study.run(InProcess(), trials=20) == "trials"
        trained = [trial for trial in study.trials if trial.candidate.rung]
        assert study.rated == len(trained) == 20 and study.looked == len(study.trials) - 20
        assert study.looked > 20
        assert all(
            "rating" in trial.values and "error" not in trial.values for trial in study.trials if trial not in trained
        )
        assert study.front and all(trial.candidate.rung for trial in study.front)

    def test_a_study_cut_anywhere_goes_on_to_the_same_journal(self, name, tmp_path):
        def searched(folder, cut=None, executor=InProcess):
            path = folder / store.JOURNAL
            if not path.exists():
                Journal.create(folder, {"seed": 5}).close()
            if cut is not None:
                path.write_bytes(path.read_bytes()[:cut])
            journal = Journal(folder)
            study_of(name, seed=5, journal=journal, limit=14.0).run(executor(), trials=24)
            journal.close()
            return path.read_bytes()

        for executor in (InProcess, Ahead):
            folder = tmp_path / executor.__name__
            whole = searched(folder, executor=executor)
            assert b'"rejected"' in whole
            for cut in np.linspace(200, len(whole) - 1, 8).astype(int).tolist():
                assert searched(folder, cut, executor) == whole

    def test_limits_and_failures_do_not_stop_it(self, name):
        @dataclass(frozen=True)
        class Unsteady(Glimpse):
            def evaluate(self, candidate, space, seed):
                if seed % 4 == 0:
                    raise RuntimeError("out of luck")
                return super().evaluate(candidate, space, seed)

        study = study_of(name, look=Unsteady(), limit=16.0)
        assert study.run(Ahead(), trials=20) == "trials"
        looks = {trial.status for trial in study.trials if trial.candidate.rung == 0}
        assert looks == {"done", "failed", "rejected"}


def test_an_inner_strategy_of_few_places_is_never_starved():
    problem = work()
    for places in (1, 2, 3):
        inner = NSGA2(problem.space, problem.minimised, population=4, offspring=places)
        study = Study(problem, around(inner, problem, candidates=10))
        assert study.run(InProcess(), trials=30) == "trials"
        assert study.looked >= 30


def test_it_promotes_where_the_inner_strategy_does():
    problem = work(3)
    inner = INNER["hierarchical"](problem)
    strategy = around(inner, problem, candidates=3)
    study = Study(problem, strategy)
    study.run(InProcess(), trials=20)
    assert isinstance(strategy, Promoting) and inner.promotable
    assert {t.number: t.candidate.rung for t in strategy.promotable} == {
        t.number: t.candidate.rung + 1 for t in inner.promotable
    }
    assert {trial.candidate.rung for trial in study.trials} == {0, 1, 2, 3}
    assert list(around(RandomSearch(problem.space), problem).promotable) == []


def test_a_strategy_that_ends_ends_it():
    problem = work()
    inner = NSGA2(problem.space, problem.minimised, population=5, generations=2)
    study = Study(problem, around(inner, problem, candidates=3))
    assert study.run(InProcess()) == "finished"
    assert study.rated == 10 and not study.under_way


def test_looks_that_always_fail_end_the_study_with_the_reason():
    @dataclass(frozen=True)
    class Blind(Glimpse):
        def evaluate(self, candidate, space, seed):
            raise RuntimeError("no light")

    study = study_of("random", look=Blind())
    with pytest.raises(InputError, match="200 candidates in a row have failed, most often: RuntimeError: no light"):
        study.run(InProcess(), trials=5)


def test_a_look_is_told_while_a_training_is_under_way():
    """With trials told in the order asked, one training would else hold up all looks that come after it."""
    told = threading.Event()

    @dataclass(frozen=True)
    class Long(Rung):
        def evaluate(self, candidate, space, seed):
            if not told.wait(60):
                raise RuntimeError("no look was told")
            return super().evaluate(candidate, space, seed)

    class Threads(InProcess):
        window = 2

        def __init__(self):
            self.pool = ThreadPoolExecutor(2)

        def submit(self, function, /, *arguments):
            return self.pool.submit(function, *arguments)

    problem = replace(work(), estimators=(Glimpse(), Long()))
    study = Study(problem, around(RandomSearch(problem.space), problem, candidates=3))

    def progress(study):
        if study.looked == 6:
            told.set()

    executor = Threads()
    assert study.run(executor, trials=3, progress=progress) == "trials"
    executor.pool.shutdown()
    assert all(trial.status == "done" for trial in study.trials)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"candidates": 1}, "prescreen.candidates = 1: expected 2 or more, to choose one of them"),
        ({"least": 7}, "prescreen.least = 7: expected 8 trained networks or more"),
        ({"ratings": ()}, "prescreen.estimator gives no value"),
        ({"costs": ("error", "total")}, "every objective is known without training"),
    ],
)
def test_refuses_what_nothing_can_be_chosen_by(settings, message):
    problem = work()
    given = {"ratings": ("rating",), "costs": ("total",)} | settings
    with pytest.raises(InputError, match=message):
        Prescreened(RandomSearch(problem.space), problem.space, problem.minimised, **given)


LOOK = '{type="random_weights", images=40, calibration=20, fidelity={width=2, depth=3}}'


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """Searches run in this process, in an empty folder with good images."""
    monkeypatch.setattr(launch, "executor_of", OneProcess)
    monkeypatch.chdir(tmp_path)
    images(tmp_path / "good.npz")


def searching(*more, out="run"):
    sets = ("--set", f"prescreen.estimator={LOOK}", "--set", "strategy.population=3")
    return ["search", "--data", "good.npz", "--out", out, *SMALL, *sets, *more]


def test_the_command_line_looks_and_trains_and_says_so(alone, tmp_path, capsys):
    assert run(*searching("--prescreen", 4, "--trials", 3)) == 0
    record = load(tmp_path / "run")
    looks = len(record.looks)
    assert looks >= 3 and f"{looks} looks, 3 networks rated" in capsys.readouterr().out
    assert len([trial for trial in record.trials if trial.status == "done"]) == 3
    assert all(trial.candidate.rung == 0 for trial in record.front)
    rows = list(csv.DictReader((tmp_path / "run" / "trials.csv").open()))
    assert len(rows) == len(record.trials) + looks
    assert [row["rung"] for row in rows].count("look") == looks
    assert not any(int(row["front"]) for row in rows if row["rung"] == "look")
    assert "looks, to choose which networks to train" in (tmp_path / "run" / "report.html").read_text()
    assert run("report", "run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["looks"] == looks
    assert run("resume", "run", "--trials", 5) == 0
    record = load(tmp_path / "run")
    assert len([trial for trial in record.trials if trial.status == "done"]) == 5 and len(record.looks) > looks
    assert run("show", "run") == run("show", "run", "--trial", record.looks[0].number) == 0


def test_the_same_seed_writes_the_same_journal_however_often_it_goes_on(alone, tmp_path):
    assert run(*searching("--prescreen", 3, "--trials", 4)) == 0
    assert run(*searching("--prescreen", 3, "--trials", 2, out="parts")) == 0
    assert run("resume", "parts", "--trials", 4) == 0

    def events(folder):
        return store.read(tmp_path / folder)[1]

    assert events("run") == events("parts")


def test_a_terminal_sees_looks_and_trainings(alone, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert run(*searching("--prescreen", 3, "--trials", 3)) == 0
    assert "looks, 3 rated, " in terminal.getvalue()


def test_a_look_that_gives_no_rating_has_failed():
    inner = Listed((0, 1), (0, 2))
    strategy = around(inner, work(several=False, genes=2), candidates=2)
    strategy.tell(Trial(0, strategy.ask(RNG), "done", {"images": 1.0}))
    assert [(trial.status, trial.reason) for trial in inner.told] == [("failed", "the look gave no rating")]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--prescreen", 0), "prescreen.candidates = 0: expected 2 or more"),
        (("--prescreen", -1), "prescreen.candidates = -1: expected 2 or more"),
        (("--set", "prescreen.candidate=3"), "unknown key 'prescreen.candidate': did you mean 'candidates'?"),
        (("--set", "prescreen.least=3"), "prescreen.least = 3: expected 8 trained networks or more"),
        (("--set", "prescreen.model=forest"), "prescreen.model = 'forest': expected one of ridge, trees, ensemble"),
        (("--set", "prescreen.inner=3"), "prescreen.inner cannot be set"),
        (("--set", "prescreen=4"), "prescreen = 4: expected a table"),
        (("--set", "prescreen.estimator.type=trian"), "prescreen.estimator.type = 'trian': did you mean 'train'?"),
        (
            ("--prescreen", 4, "--set", "strategy.type=truncation", "--set", "strategy.population=20"),
            "prescreen: not with strategy.type = 'truncation', as it takes a network that is not trained for one of "
            "error 1: expected random, nsga2, aging, hierarchical",
        ),
        (("--prescreen", 4, "--set", 'objectives=["params"]'), "every objective is known without training"),
    ],
)
def test_a_wrong_setting_ends_before_anything_is_made(alone, tmp_path, capsys, more, message):
    assert message in complaint(capsys, *searching(*more, "--trials", 3))
    assert not (tmp_path / "run").exists()


def test_a_method_whose_networks_share_weights_is_refused(alone, tmp_path, capsys):
    said = complaint(
        capsys,
        "search",
        "--method",
        "relativenas",
        "--data",
        "good.npz",
        "--prescreen",
        4,
        "--out",
        "run",
        "--set",
        f"prescreen.estimator={LOOK}",
    )
    assert "prescreen: not with strategy.type = 'slow_fast', as its networks learn from each other in pairs" in said
    assert not (tmp_path / "run").exists()


def test_the_best_of_a_group_is_asked_with_any_generator():
    """Whom it chooses is no matter of chance: only the inner strategy draws."""
    problem = work()
    chosen = []
    for generator in (1, 2):
        strategy = around(Listed((0, 1, 0, 0), (2, 1, 0, 0)), work(genes=4), candidates=2)
        for number in range(2):
            candidate = strategy.ask(rng_for(generator, number))
            strategy.tell(look(number, candidate, -float(sum(candidate.genotype))))
        chosen.append(strategy.ask(rng_for(generator, 2)))
    assert chosen[0] == chosen[1] == Candidate((2, 1, 0, 0), rung=1)
    assert problem.looks == 1
