"""The methods' pages: every preset makes its parts, and those named after a publication have its numbers."""

from __future__ import annotations

import numpy as np
import pytest

from frugalnas import config, launch
from frugalnas.core import Fidelity, screen
from frugalnas.estimators.train import Train
from frugalnas.methods import METHODS
from frugalnas.strategies.nsga2 import NSGA2
from frugalnas.strategies.truncation import Truncation
from frugalnas.survey import sampled
from tiny import SMALL, OneProcess, images, run

PRESETS = [(name, preset) for name, method in METHODS.items() for preset in method.PRESETS]


def parts(method, preset, source="fashion-mini", *assignments):
    layers = [*map(config.assignment, assignments), config.options(data=str(source))]
    tree = config.resolve(method, preset, layers=layers)
    problem = launch.problem_of(tree)
    return tree, problem, launch.strategy_of(tree, problem)


@pytest.mark.parametrize(("method", "preset"), PRESETS)
def test_every_preset_completes_and_makes_its_parts(method, preset):
    tree, problem, strategy = parts(method, preset)
    assert (tree["method"], tree["preset"]) == (method, preset)
    assert config.complete(tree) == tree
    assert problem.minimised == tuple(tree["objectives"]) and problem.minimised[0] == "error"
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


@pytest.mark.parametrize(("beta", "name"), [("3M", "A"), ("4M", "B"), ("5M", "C"), ("inf", "EA")])
def test_beta_is_a_limit_on_the_parameters_of_the_final_network(beta, name):
    tree = config.resolve("eeea", "paper", layers=[config.limit(f"params={beta}")])
    problem = launch.problem_of(tree)
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
    monkeypatch.setattr(launch, "ProcessPool", OneProcess)
    small = [text.replace("16", "32") for text in SMALL]
    data = images(tmp_path / "images.npz", side=16 if preset == "reference" else 8)
    command = ["search", "--method", method, "--preset", preset, "--data", data, "--out", tmp_path / "run"]
    assert run(*command, "--trials", 5, "--limit", "params=1M", *small) == 0
    assert "5 networks rated" in capsys.readouterr().out
