"""From a configuration to a study: the Python interface, and what is looked at before anything is spent."""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from types import SimpleNamespace

import pytest

import frugalnas
from frugalnas import choose, config, launch, pareto, parts, store
from frugalnas.core import InputError, Objective, Problem, screen
from frugalnas.layers.cost import Count
from frugalnas.objectives.count import COSTS
from frugalnas.report import write_report
from frugalnas.survey import Survey, descend, refuse_impossible, sampled, survey
from table import written
from tiny import OneProcess, images

SMALL = {
    "space": {"channels": 4, "cells": 3},
    "task": {"recipe": {"batch": 16}},
    "estimators": {"0": {"fidelity": {"width": 2, "depth": 3, "samples": 0.5, "resolution": None}}},
    "strategy": {"population": 4},
}


def problem(*assignments):
    tree = config.resolve(layers=[SMALL, *map(config.assignment, assignments)])
    return parts.problem_of(tree)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """One search through the Python interface."""
    folder = tmp_path_factory.mktemp("launch")
    data = str(images(folder / "images.npz"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "executor_of", OneProcess)
        told = []
        found = frugalnas.search(
            data=data, trials=9, limits={"params": 9000}, settings=[SMALL], out=folder / "run", progress=told.append
        )
    assert len(told) == len(found.study.trials) > 9, "progress is told of rejected trials too"
    return found


def test_a_search_gives_its_front_and_its_networks(result):
    assert result.ended == "trials" and result.study.rated == 9
    assert list(result.front) == pareto.front(result.study.trials, ("error", "macs", "params"))
    for trial in result.front:
        found = result.architecture(trial)
        assert found == result.architecture(trial.number) == choose.architecture_of(str(result.folder), trial.number)
        assert found.genotype == trial.candidate.genotype
        assert frugalnas.count(found).params == trial.values["params"] <= 9000
    lines = result.summary().splitlines()
    assert len(lines) == 2 + len(result.front) and lines[0].split() == ["trial", "error", "macs", "params"]
    with pytest.raises(InputError, match="no trial 999"):
        result.architecture(999)


def test_the_default_network_is_the_knee(result):
    knee = pareto.knee(result.front, ("error", "macs", "params"))
    assert result.architecture() == result.architecture(knee) == choose.architecture_of(str(result.folder))


def test_every_trial_is_counted_at_its_final_size_and_trained_smaller(result):
    space = result.study.problem.space
    assert (space.channels, space.cells) == (4, 3)
    proxy = space.at(result.study.problem.estimators[0].fidelity)
    done = [trial for trial in result.study.trials if trial.status == "done"]
    for trial in done:
        assert trial.values["params"] == space.count(trial.candidate.genotype).params
        assert trial.values["params"] > proxy.count(trial.candidate.genotype).params


def test_the_journal_says_everything_that_made_it(result):
    header, events = store.read(result.folder)
    assert header["version"] == frugalnas.__version__
    assert header["facts"] == {"in_channels": 1, "classes": 4, "resolution": 8}
    assert header["config"] == config.complete(header["config"])
    assert store.trials_of(events) == result.study.trials


def test_resuming_by_python_keeps_what_was_found(result, monkeypatch):
    monkeypatch.setattr(launch, "executor_of", OneProcess)
    again = frugalnas.resume(result.folder, trials=10)
    assert again.study.rated == 10 and again.study.trials[: len(result.study.trials)] == result.study.trials


def test_a_survey_sees_what_screening_does():
    work = problem("limits.params=9000")
    found = survey(work, 200)
    genotypes = sampled(work, 200, 0)
    accepted = [not screen(work, genotype)[1] for genotype in genotypes]
    assert found.accepted == pytest.approx(sum(accepted) / 200) and 0 < found.accepted < 1 and found.possible
    assert found.rejected == {"params": 200 - sum(accepted)}
    params = [work.space.count(genotype).params for genotype in genotypes]
    smallest, middle, largest = found.costs["params"]
    assert smallest < min(params) and middle == median(params) and largest > max(params)
    assert found.size == work.space.size


@pytest.mark.parametrize(
    ("accepted", "words"), [(1.0, "100.0%"), (0.0015, "0.1%"), (0.0005, "1 of 2,000"), (0.0, "none of")]
)
def test_a_tiny_share_is_said_in_words(accepted, words):
    found = Survey(10, 2000, {}, accepted, True, {})
    assert words in found.share and ("a tiny share" in found.share) == (accepted < 0.001)


def test_impossible_limits_are_refused_with_the_numbers_of_all_of_them():
    work = problem("limits.params=10", "limits.macs=20")
    with pytest.raises(InputError, match=r"macs <= 20 \(smallest [\d,]+\), params <= 10 \(smallest [\d,]+\)"):
        refuse_impossible(work, 50)


def test_the_smallest_network_is_found_though_no_sample_is_near_it():
    """A chain of max-pools, of which only the last block is joined: no random or uniform genotype is like it."""
    free = problem("limits.params=inf")
    smallest, _, largest = survey(free, 50).costs["params"]
    chain = [("max_pool_3x3", block) for block in range(4) for _ in range(2)]
    assert smallest <= free.space.count(free.space.encode(chain, chain)).params
    uniform = [tuple(min(value, size - 1) for size in free.space.domains) for value in range(9)]
    params = [free.space.count(genotype).params for genotype in [*uniform, *sampled(free, 2000, 7)]]
    assert smallest < min(params) and largest >= max(params)
    refuse_impossible(problem(f"limits.params={smallest}"), 20)
    with pytest.raises(InputError):
        refuse_impossible(problem(f"limits.params={smallest - 1}"), 20)


def test_limits_that_only_a_compromise_meets_are_possible():
    """The network of the fewest parameters breaks the limit on MACs, and the other way round."""

    def count(genotype):
        return Count(params=1 + genotype[0] + abs(genotype[1] - 7), macs=99 - genotype[0] + abs(genotype[1] - 7))

    space = SimpleNamespace(domains=(100, 100), count=count, peak_bytes=lambda genotype: 0)

    def limited(most):
        return Problem(space, (Objective("params", COSTS["params"], most), Objective("macs", COSTS["macs"], most)), ())

    refuse_impossible(limited(50), 5)
    with pytest.raises(InputError, match=r"params <= 49 \(smallest 1\), macs <= 49 \(smallest 0\)"):
        refuse_impossible(limited(49), 5)


@pytest.mark.parametrize("idle", [0, 500])
def test_a_descent_ends_where_no_single_gene_helps(idle):
    """Also in a long genotype, most of whose genes have no effect."""
    space = SimpleNamespace(domains=(*(7,) * idle, 3, 4, 5), canonical=lambda genotype: genotype[-3:])
    looks = []

    def score(genotype):
        looks.append(genotype)
        return sum((gene - 2) ** 2 for gene in genotype[-3:])

    assert descend(score, (1,) * idle + (0, 0, 4), space)[-3:] == (2, 2, 2)
    assert len(looks) <= 3 * 12 + 1


def test_a_space_larger_than_any_float_is_surveyed():
    found = Survey(4 * 10**400, 10, {"params": (1.0, 2.0, 3.0)}, 1.0, True, {})
    assert found.text({}).startswith("4.00e+400 genotypes;") and found.to_json()["genotypes"] == "4.00e+400"
    assert replace(found, size=3**30).to_json()["genotypes"] == 3**30


def test_an_objective_that_is_only_limited_is_not_minimised():
    work = problem('objectives=["error", "params", "macs"]', "limits.peak_bytes=1e9")
    assert work.minimised == ("error", "params", "macs")
    assert [objective.name for objective in work.objectives][-1] == "peak_bytes"


def test_interrupting_names_the_way_on_and_reports(tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "executor_of", OneProcess)

    def interrupt(study):
        if study.rated == 3:
            raise KeyboardInterrupt

    data = str(images(tmp_path / "images.npz"))
    with pytest.raises(KeyboardInterrupt, match=f"go on with: frugalnas resume {tmp_path / 'run'}"):
        frugalnas.search(data=data, trials=9, settings=[SMALL], out=tmp_path / "run", progress=interrupt)
    assert (tmp_path / "run" / "report.html").exists()
    assert frugalnas.resume(tmp_path / "run").study.rated == 9


def test_a_search_on_a_table_goes_on_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "executor_of", OneProcess)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "table.csv")
    data = images(tmp_path / "images.npz")
    rest = {"space": {"type": "nasbench201"}, "objectives": ["error"], "limits": {"params": float("inf")}}
    on_table = {"estimators": [{"type": "table", "path": "table.csv"}], **rest}
    frugalnas.search("random", data=data.name, trials=3, settings=[on_table], out="run")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert frugalnas.resume("../run", trials=5).study.rated == 5


def test_a_ladder_that_the_strategy_would_not_climb_is_refused():
    tree = config.resolve("econas", layers=[{"strategy": {"type": "nsga2"}}])
    with pytest.raises(InputError, match="'nsga2' rates every network on one rung and .* 3: .*hierarchical"):
        parts.strategy_of(tree, parts.problem_of(tree))


def test_images_are_read_anew_by_every_search(tmp_path, monkeypatch):
    """In one Python session, the file of images being another one the second time."""
    monkeypatch.setattr(launch, "executor_of", OneProcess)
    data = images(tmp_path / "images.npz")
    first = frugalnas.search(data=str(data), trials=1, settings=[SMALL], out=tmp_path / "a")
    images(data, seed=1)
    second = frugalnas.search(data=str(data), trials=1, settings=[SMALL], out=tmp_path / "b")
    assert first.study.trials[0].values["loss"] != second.study.trials[0].values["loss"]
    assert store.read(tmp_path / "a")[0]["data"] != store.read(tmp_path / "b")[0]["data"]
    with pytest.raises(InputError, match="have changed since the study"):
        frugalnas.resume(tmp_path / "a", trials=2)


def test_a_study_of_another_version_is_refused_but_shown(result, tmp_path):
    header, events = store.read(result.folder)
    header = {key: value for key, value in header.items() if key != "format"}
    writing = store.Journal.create(tmp_path / "old", header | {"version": "0.0.9"})
    for event in events:
        writing.append(event)
    writing.close()
    with pytest.raises(InputError) as refused:
        frugalnas.resume(tmp_path / "old", trials=20)
    said = str(refused.value)
    assert "version 0.0.9" in said and frugalnas.__version__ in said and "pip install frugalnas==0.0.9" in said
    assert choose.architecture_of(str(tmp_path / "old"), 3) == result.architecture(3)
    assert write_report(tmp_path / "old").header["version"] == "0.0.9"


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["task.recipe.auxiliary=0.4"], "the loss of an auxiliary head needs --set space.auxiliary=true"),
        (['objectives=["error_std", "params"]'], "'error_std', neither a cost nor a value of estimators.0: did you"),
        (["estimators.0.type=random_weights", 'objectives=["error", "error_ci"]'], "value of estimators.0: did you"),
        (
            ['estimators=[{type="train"}, {type="random_weights"}]', 'objectives=["loss", "macs"]'],
            "'loss', neither a cost nor a value of estimators.1",
        ),
    ],
)
def test_what_would_fail_every_trial_is_refused(assignments, message):
    with pytest.raises(InputError) as refused:
        problem(*assignments)
    assert message in str(refused.value)


def test_what_several_draws_give_is_an_objective():
    work = problem('estimators=[{type="random_weights", draws=2}]', 'objectives=["error", "error_ci"]')
    assert work.minimised == ("error", "error_ci")
    assert problem("task.recipe.auxiliary=0.4", "space.auxiliary=true").space.auxiliary


def test_picks_are_spread_along_the_front(result):
    assert list(result.pick(2)) == pareto.evenly_spread(result.front, result.study.problem.minimised, 2)
    assert result.pick(1)[0] == pareto.knee(result.front, result.study.problem.minimised)
