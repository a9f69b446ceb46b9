"""From a configuration to a study: the Python interface, and what is looked at before anything is spent."""

from __future__ import annotations

import pytest

import frugalnas
from frugalnas import config, launch, pareto, store
from frugalnas.core import InputError, screen
from frugalnas.survey import Survey, refuse_impossible, sampled, survey
from tiny import OneProcess, images

SMALL = {
    "space": {"channels": 4, "cells": 3},
    "task": {"recipe": {"batch": 16}},
    "estimators": {"0": {"fidelity": {"width": 2, "depth": 3, "samples": 0.5, "resolution": None}}},
    "strategy": {"population": 4},
}


def problem(*assignments):
    tree = config.resolve(layers=[SMALL, *map(config.assignment, assignments)])
    return launch.problem_of(tree)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """One search through the Python interface."""
    folder = tmp_path_factory.mktemp("launch")
    data = str(images(folder / "images.npz"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "ProcessPool", OneProcess)
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
        assert found == result.architecture(trial.number) == launch.architecture_of(str(result.folder), trial.number)
        assert found.genotype == trial.candidate.genotype
        assert frugalnas.count(found).params == trial.values["params"] <= 9000
    lines = result.summary().splitlines()
    assert len(lines) == 2 + len(result.front) and lines[0].split() == ["trial", "error", "macs", "params"]
    with pytest.raises(InputError, match="no trial 999"):
        result.architecture(999)


def test_the_default_network_is_the_knee(result):
    knee = pareto.knee(result.front, ("error", "macs", "params"))
    assert result.architecture() == result.architecture(knee) == launch.architecture_of(str(result.folder))


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
    monkeypatch.setattr(launch, "ProcessPool", OneProcess)
    again = frugalnas.resume(result.folder, trials=10)
    assert again.study.rated == 10 and again.study.trials[: len(result.study.trials)] == result.study.trials


def test_a_survey_sees_what_screening_does():
    work = problem("limits.params=9000")
    found = survey(work, 200)
    genotypes = sampled(work, 200, 0)
    accepted = [not screen(work, genotype)[1] for genotype in genotypes[:200]]
    assert found.accepted == pytest.approx(sum(accepted) / 200) and 0 < found.accepted < 1 and found.possible
    assert found.rejected == {"params": 200 - sum(accepted)}
    params = [work.space.count(genotype).params for genotype in genotypes]
    assert (found.costs["params"][0], found.costs["params"][2]) == (min(params), max(params))
    assert found.size == work.space.size


@pytest.mark.parametrize(
    ("accepted", "words"), [(1.0, "100.0%"), (0.0015, "0.1%"), (0.0005, "1 of 2,000"), (0.0, "none of")]
)
def test_a_tiny_share_is_said_in_words(accepted, words):
    found = Survey(10, 2000, {}, accepted, True, {})
    assert words in found.share and ("a tiny share" in found.share) == (accepted < 0.001)


def test_impossible_limits_are_refused_with_the_numbers_of_all_of_them():
    work = problem("limits.params=10", "limits.macs=20")
    with pytest.raises(InputError, match=r"macs <= 20 \(smallest seen [\d,]+\), params <= 10 \(smallest seen [\d,]+\)"):
        refuse_impossible(work, 50)


def test_a_limit_that_only_uniform_genotypes_meet_is_possible():
    free = problem()
    smallest = min(free.space.count(genotype).params for genotype in sampled(free, 0, 0))
    refuse_impossible(problem(f"limits.params={smallest}"), 20)
    with pytest.raises(InputError):
        refuse_impossible(problem(f"limits.params={smallest - 1}"), 20)


def test_an_objective_that_is_only_limited_is_not_minimised():
    work = problem('objectives=["error", "params", "macs"]', "limits.peak_bytes=1e9")
    assert work.minimised == ("error", "params", "macs")
    assert [objective.name for objective in work.objectives][-1] == "peak_bytes"


def test_interrupting_names_the_way_on_and_reports(tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "ProcessPool", OneProcess)

    def interrupt(study):
        if study.rated == 3:
            raise KeyboardInterrupt

    data = str(images(tmp_path / "images.npz"))
    with pytest.raises(KeyboardInterrupt, match=f"go on with: frugalnas resume {tmp_path / 'run'}"):
        frugalnas.search(data=data, trials=9, settings=[SMALL], out=tmp_path / "run", progress=interrupt)
    assert (tmp_path / "run" / "report.html").exists()
    assert frugalnas.resume(tmp_path / "run").study.rated == 9
