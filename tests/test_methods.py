"""The methods' pages: every preset makes its parts, and those named after a publication have its numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from frugalnas import config, launch
from frugalnas.core import Fidelity, screen
from frugalnas.estimators.approximate import Approximate
from frugalnas.estimators.random_weights import RandomWeights
from frugalnas.estimators.train import Train
from frugalnas.ladder import name_of
from frugalnas.methods import METHODS
from frugalnas.multipliers.library import find
from frugalnas.parts import problem_of, strategy_of
from frugalnas.record import load
from frugalnas.strategies.aging import Aging
from frugalnas.strategies.hierarchical import Hierarchical
from frugalnas.strategies.nsga2 import NSGA2
from frugalnas.strategies.one_plus_lambda import OnePlusLambda
from frugalnas.strategies.truncation import Truncation
from frugalnas.survey import sampled
from tiny import OneProcess, images, run

PRESETS = [(name, preset) for name, method in METHODS.items() for preset in method.PRESETS]


def parts(method, preset, source="fashion-mini", *assignments):
    layers = [*map(config.assignment, assignments), config.options(data=str(source))]
    tree = config.resolve(method, preset, layers=layers)
    problem = problem_of(tree)
    return tree, problem, strategy_of(tree, problem)


def small(method, preset):
    """Options that make the networks of a preset, on every rung, small enough for a test."""
    tree = config.resolve(method, preset)
    options = {"space.channels": 4, "space.cells": 3, "task.recipe.batch": 32}
    for place, rung in enumerate(tree["estimators"]):
        epochs = min(rung["fidelity"]["epochs"], len(tree["estimators"]))
        sizes = {"width": 2, "depth": 3, "resolution": 8 if rung["fidelity"]["resolution"] else None, "epochs": epochs}
        options |= {f"estimators.{place}.fidelity.{name}": value for name, value in sizes.items() if value is not None}
        if rung.get("stop"):
            options[f"estimators.{place}.stop"] = place + 1
    if tree["prescreen"]:
        sizes = {"width": 2, "depth": 3, "resolution": 8}
        options |= {f"prescreen.estimator.fidelity.{name}": value for name, value in sizes.items()}
    known = [name for name in options if name != "space.cells" or "cells" in tree["space"]]
    return [word for name in known for word in ("--set", f"{name}={options[name]}")]


@pytest.mark.parametrize(("method", "preset"), PRESETS)
def test_every_preset_completes_and_makes_its_parts(method, preset):
    tree, problem, strategy = parts(method, preset)
    assert (tree["method"], tree["preset"]) == (method, preset)
    assert config.complete(tree) == tree
    assert problem.minimised == tuple(tree["objectives"]) and problem.minimised[0] == (
        "freedom" if preset == "untrained" else "error"
    )
    assert (problem.space.in_channels, problem.space.classes, problem.space.resolution) == (1, 10, 28)
    assert problem.space.auxiliary == (problem.estimators[0].task.recipe.auxiliary > 0), "a loss without its head"
    assert strategy.ask(np.random.default_rng(0)) is not None
    assert tree["trials"] or tree["minutes"], "a search that would never end"


def test_the_paper_preset_has_the_numbers_of_the_paper():
    """EEEA-Net, sections 3.1, 3.2 and 4.1.1, table 2; 36 channels as its published counts have."""
    tree, problem, strategy = parts("eeea", "paper")
    space, (train,) = problem.space, problem.estimators
    assert len(space.operations) == 9 and space.operations[-2:] == ("inv_res_3x3", "inv_res_5x5")
    assert (space.blocks, space.inputs, space.concat, space.channels, space.cells) == (5, "narrow", "loose", 36, 20)
    assert isinstance(train, Train) and train.fidelity == Fidelity(epochs=1, width=32, depth=8)
    recipe = train.task.recipe
    assert (recipe.batch, recipe.lr, recipe.momentum, recipe.weight_decay) == (128, 0.05, 0.9, 3e-4)
    assert (recipe.cutout, recipe.drop_path, recipe.nesterov) == (16, 0.2, False)
    assert isinstance(strategy, NSGA2) and strategy.population == 40 and strategy.offspring is None
    assert (strategy.crossover, strategy.mutation, strategy.mutation_probability) == ("uniform", "pair", 1.0)
    assert strategy.weights == (1 / 3, 1 / 3, 1 / 3)
    assert set(problem.minimised) == {"error", "macs", "params"}
    assert tree["limits"] == {"params": 5e6} and tree["trials"] == 40 * 30


def test_the_reference_preset_has_the_numbers_of_the_released_code():
    tree, problem, strategy = parts("eeea", "reference")
    space, (train,) = problem.space, problem.estimators
    assert len(space.operations) == 10 and space.operations[7] == "conv_7x1_1x7"
    assert (space.blocks, space.inputs, space.concat, space.channels, space.cells) == (4, "narrow", "all", 36, 20)
    assert len(space.domains) == 32 and f"{space.size:.1e}" == "3.3e+21"
    assert train.fidelity == Fidelity(epochs=1, width=16, depth=8)
    recipe = train.task.recipe
    assert (recipe.batch, recipe.lr, recipe.momentum, recipe.weight_decay) == (128, 0.025, 0.9, 5e-4)
    assert (recipe.nesterov, recipe.clip, recipe.cutout, recipe.auxiliary) == (True, 5.0, 16, 0.4)
    assert isinstance(strategy, Truncation) and strategy.population == 40 and strategy.kept == 0.1
    assert (strategy.mutation_probability, strategy.inversion_probability) == (0.1, 0.1)
    assert problem.minimised[:2] == ("error", "params"), "its dominance compares these two only"
    assert tree["limits"] == {"params": 5e6} and tree["trials"] == 1084


def test_econas_has_the_numbers_of_its_paper():
    """Zhou et al. 2020 and the released code: c4r4s0e60, 20 epochs a rung, 100 cycles."""
    tree, problem, strategy = parts("econas", "paper", "fashion-mini", "data.resolution=32")
    space, rungs = problem.space, problem.estimators
    assert space.operations == (
        *("none", "max_pool_3x3", "avg_pool_3x3", "skip_connect"),
        *("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"),
    )
    assert (space.blocks, space.inputs, space.concat, space.channels, space.cells) == (4, "full", "unused", 36, 20)
    assert f"{space.size:.1e}" == "5.8e+22"
    assert {name_of(rung.fidelity, space.channels, 32) for rung in rungs} == {"c4r4s0e60"}
    assert [(rung.start, rung.stop) for rung in rungs] == [(0, 20), (20, 40), (40, None)]
    recipe = rungs[0].task.recipe
    assert (recipe.batch, recipe.lr, recipe.momentum, recipe.weight_decay, recipe.clip) == (384, 0.1, 0.9, 3e-4, 5.0)
    assert (recipe.cutout, recipe.drop_path, recipe.auxiliary, recipe.lr_end) == (0, 0.0, 0.0, 0.0)
    assert isinstance(strategy, Hierarchical) and strategy.population == 16 and strategy.cycles == 100
    assert (strategy.promotions, strategy.children, strategy.share) == ((8, 4), (6, 5, 5), 0.25)
    assert strategy.age_limit == 10 and tree["trials"] == 2797 and problem.minimised == ("error",)


def test_econas_on_a_laptop_trains_on_about_as_many_images_as_eeea():
    tree, problem, strategy = parts("econas", "laptop")
    other, reference, _ = parts("eeea", "laptop")
    assert [(rung.start, rung.stop) for rung in problem.estimators] == [(0, 1), (1, 2), (2, None)]
    assert replace(problem.estimators[-1].fidelity, epochs=1) == reference.estimators[-1].fidelity
    assert problem.space == reference.space and tree["limits"] == other["limits"]
    assert 0.9 < tree["trials"] / other["trials"] <= 1


def test_nsganet_has_the_settings_of_its_authors():
    tree, problem, strategy = parts("nsganet", "paper")
    space, (train,) = problem.space, problem.estimators
    assert (space.blocks, space.inputs, space.concat) == (5, "full", "loose") and len(space.domains) == 40
    assert space.domains[:8] == (9, 2, 9, 2, 9, 3, 9, 3) and f"{space.size:.1e}" == "3.3e+30"
    assert train.fidelity == Fidelity(epochs=20, width=16, depth=8)
    recipe = train.task.recipe
    assert (recipe.batch, recipe.lr, recipe.weight_decay, recipe.clip, recipe.cutout) == (128, 0.025, 3e-4, 5.0, 0)
    assert isinstance(strategy, NSGA2) and (strategy.population, strategy.offspring, strategy.generations) == (
        40,
        20,
        30,
    )
    assert (strategy.crossover, strategy.crossover_probability) == ("two_point", 0.9)
    assert (strategy.mutation, strategy.eta, strategy.gene_probability) == ("polynomial", 3.0, None)
    assert strategy.exploit_from is None and tree["trials"] == 620 and problem.minimised == ("error", "macs")


def test_the_macro_preset_searches_over_phases_of_six_nodes():
    tree, problem, strategy = parts("nsganet", "macro")
    assert problem.space.domains == (2,) * 48 and problem.space.decoder == "residual"
    assert (strategy.population, strategy.offspring, strategy.parts, tree["trials"]) == (40, 40, 3, 1200)
    assert problem.estimators[0].fidelity == Fidelity(epochs=25, width=16)


def test_amoebanet_has_the_numbers_of_its_paper():
    tree, problem, strategy = parts("amoebanet", "paper")
    assert isinstance(strategy, Aging) and tree["trials"] == 20_000
    assert (strategy.population, strategy.sample, strategy.identity_probability, strategy.attempts) == (
        100,
        25,
        0.05,
        1,
    )
    assert problem.estimators[0].fidelity == Fidelity(epochs=25, width=24, depth=11)
    assert (problem.space.blocks, len(problem.space.operations)) == (5, 8)
    reductions = [11 // 3, 2 * 11 // 3]
    assert [reductions[0], reductions[1] - reductions[0] - 1, 10 - reductions[1]] == [3, 3, 3], "N = 3 normal cells"


@pytest.mark.parametrize(
    ("method", "own"),
    [("nsganet", set()), ("amoebanet", set()), ("econas", {"estimators", "trials"}), ("rwe", {"prescreen"})],
)
def test_laptop_presets_differ_from_eeea_in_how_they_search_only(method, own):
    one, other = config.resolve(method, "laptop"), config.resolve("eeea", "laptop")
    assert {key for key in one if one[key] != other[key]} - {"method", "strategy"} == own


@pytest.mark.parametrize("preset", ["paper", "darts", "macro"])
def test_rwe_rates_by_the_error_of_a_trained_last_layer(preset):
    """Hu et al. 2021 and 2023: only the linear classifier is trained; two objectives; NSGA-Net's search."""
    tree, problem, strategy = parts("rwe", preset)
    (rwe,) = problem.estimators
    assert isinstance(rwe, RandomWeights) and rwe.values == ("error",)
    assert (rwe.features, rwe.pool, rwe.head, rwe.images) == ("last", 1, "sgd", 0)
    assert problem.minimised == ("error", "macs") and not tree["limits"]
    search, _, twin = parts("nsganet", "macro" if preset == "macro" else "paper")
    assert isinstance(strategy, NSGA2) and tree["strategy"] == search["strategy"]
    assert (strategy.population, strategy.offspring) == (twin.population, twin.offspring)
    if preset == "darts":
        assert (problem.space.blocks, len(problem.space.operations), problem.space.concat) == (4, 7, "all")
    else:
        assert tree["space"] == search["space"]


def test_rwe_on_a_laptop_looks_at_ten_networks_for_each_that_it_trains():
    tree, problem, _ = parts("rwe", "laptop")
    look, train = problem.estimators
    assert problem.looks == 1 and tree["prescreen"]["candidates"] == 10
    assert isinstance(look, RandomWeights) and look.values == ("freedom",) and isinstance(train, Train)
    assert replace(look.fidelity, samples=train.fidelity.samples) == train.fidelity, "at the size that is trained"


@pytest.mark.parametrize(("preset", "block"), [("paper", "conv"), ("resset", "residual")])
def test_cgpcnn_has_the_numbers_of_its_paper_and_code(preset, block):
    """Suganuma et al. 2017: 5 x 30 nodes, 10 levels back, 10 to 50 active ones, (1 + 2), 0.05, 50 epochs, 1000."""
    tree, problem, strategy = parts("cgpcnn", preset)
    space = problem.space
    assert (space.rows, space.cols, space.levels_back, space.active) == (5, 30, 10, (10, 50))
    assert Counter(space.functions) == {block: 6, "max_pool": 1, "avg_pool": 1, "sum": 1, "concat": 1}
    assert [space.channels * width for width in space.widths] == [32, 64, 128] and space.kernels == (3, 5)
    assert (space.strides, space.multipliers) == ((1,), ())
    assert isinstance(strategy, OnePlusLambda) and (strategy.offspring, strategy.gene_probability) == (2, 0.05)
    assert problem.estimators[0].fidelity == Fidelity(epochs=50) and tree["trials"] == 1000
    assert problem.estimators[0].task.recipe.batch == 128 and problem.minimised == ("error",)


def test_evoapprox_on_a_laptop_and_its_control_differ_in_the_multipliers_only():
    search, control = (config.resolve("evoapprox", preset) for preset in ("laptop", "exact"))
    assert {key for key in search if search[key] != control[key]} == {"preset", "space"}
    assert {key for key in search["space"] if search["space"][key] != control["space"][key]} == {"multipliers"}
    assert control["space"]["multipliers"] == ["8s-0-0-0"]


def test_evoapprox_chooses_from_the_published_multipliers():
    tree, problem, strategy = parts("evoapprox", "paper")
    powers = [find(name).power_mw for name in problem.space.multipliers]
    assert len(powers) == 13 and powers == sorted(powers, reverse=True)
    assert all(find(name).power_source == "published" for name in problem.space.multipliers)
    assert (problem.space.rows, problem.space.cols, problem.space.levels_back, problem.space.active) == (
        *(5, 30, 10),
        (10, 50),
    )
    assert isinstance(strategy, NSGA2) and (strategy.population, strategy.mutation) == (8, "forced")
    assert strategy.crossover_probability == 0 and tree["trials"] == 8 + 8 * 20
    assert isinstance(problem.estimators[0], Approximate) and problem.minimised == ("error", "params", "energy")
    few = [find(name).power_mw for name in parts("evoapprox", "laptop")[1].space.multipliers]
    assert few == sorted(few, reverse=True) and few[-1] < few[0] / 6


@pytest.mark.parametrize(("beta", "name"), [("3M", "A"), ("4M", "B"), ("5M", "C"), ("inf", "EA")])
def test_beta_is_a_limit_on_the_parameters_of_the_final_network(beta, name):
    tree = config.resolve("eeea", "paper", layers=[config.limit(f"params={beta}")])
    problem = problem_of(tree)
    limit = {objective.name: objective.limit for objective in problem.objectives}["params"]
    assert limit == float(beta.replace("M", "e6"))
    genotypes = sampled(problem, 60, 1)
    for genotype in genotypes:
        params = problem.space.count(genotype).params
        assert bool(screen(problem, genotype)[1]) == (params > limit)
        assert (
            params == problem.space.count(genotype).params > problem.space.at(Fidelity(depth=8)).count(genotype).params
        )


@pytest.mark.parametrize("preset", METHODS["random"].PRESETS)
def test_the_random_twin_differs_in_the_strategy_only(preset):
    twin, search = config.resolve("random", preset), config.resolve("eeea", preset)
    assert {key for key in search if search[key] != twin[key]} == {"method", "strategy"}


@pytest.mark.parametrize(("method", "preset"), PRESETS)
def test_every_preset_searches(tmp_path, monkeypatch, capsys, method, preset):
    monkeypatch.setattr(launch, "executor_of", OneProcess)
    data = images(tmp_path / "images.npz", side=16 if preset == "reference" else 8)
    command = ["search", "--method", method, "--preset", preset, "--data", data, "--out", tmp_path / "run"]
    assert run(*command, "--trials", 5, "--limit", "params=1M", *small(method, preset)) == 0
    assert "5 networks rated" in capsys.readouterr().out


@pytest.mark.parametrize("method", ["econas", "nsganet", "amoebanet"])
def test_laptop_presets_search_to_their_end(tmp_path, monkeypatch, capsys, method):
    monkeypatch.setattr(launch, "executor_of", OneProcess)
    data = images(tmp_path / "images.npz", count=40)
    command = ["search", "--method", method, "--data", data, "--out", tmp_path / "run", "--limit", "params=1M"]
    assert run(*command, *small(method, "laptop"), "--set", "space.blocks=1") == 0
    record = load(tmp_path / "run")
    settings = record.header["config"]
    assert len(record.trials) == settings["trials"] and not record.header["config"]["minutes"]
    assert len(record.front) >= 1 and {trial.candidate.rung for trial in record.front} == {
        len(settings["estimators"]) - 1
    }
    assert f"{settings['trials']} networks rated" in capsys.readouterr().out
