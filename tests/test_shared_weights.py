"""Shared weights: the supernet, the set that is written back, the estimator between them, searches that are killed."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

import frugalnas
from frugalnas import config, launch, parts
from frugalnas.core import Candidate, Fidelity, InputError, trial_seed
from frugalnas.estimators.shared_weights import SharedWeights
from frugalnas.estimators.train import Train
from frugalnas.layers.cell import CellNetwork
from frugalnas.layers.supernet import Supernet
from frugalnas.spaces.cell import OPERATION_LISTS, CellSpace
from frugalnas.strategies.slow_fast import SlowFast
from frugalnas.tasks.classification import Classification
from frugalnas.tasks.data import DataSource
from frugalnas.tasks.recipe import Recipe
from frugalnas.variation import random_genotype
from frugalnas.weights import FOLDER, SHARED, WeightSet, inherited, leave_snapshot
from tiny import OneProcess, images

SIZE = {"channels": 4, "cells": 3, "resolution": 8}
SPACE = CellSpace(("sep_conv_3x3", "max_pool_3x3", "skip_connect"), 2, "full", "all", **SIZE)
ONE = (0, 0, 1, 1, 0, 2, 2, 0) * 2  # no edge twice
TWO = (0, 1, 1, 1, 0, 2, 2, 0) * 2
TWICE = (0, 0, 0, 0, 1, 1, 0, 2) * 2


def logits(network, training=False):
    torch.manual_seed(3)
    network.train(training)
    return network(torch.randn(6, 3, 8, 8))


# --- the supernet


def test_the_supernet_of_the_paper_has_as_many_weights_as_published():
    """7 operations on 14 edges a cell, 16 channels, 8 cells, CIFAR-10."""
    space = CellSpace(OPERATION_LISTS["relativenas"], 4, "full", "all", channels=16, cells=8)
    supernet = Supernet(0)
    edges = [list(product(range(7), range(2 + block))) for block in range(4)]
    for turn in range(18):
        half = [edges[block][(2 * turn + place) % len(edges[block])] for block in range(4) for place in range(2)]
        supernet.path(space.network(tuple(gene for edge in half * 2 for gene in edge)))
    assert supernet.params == 1_987_194


@pytest.mark.parametrize("genotype", [ONE, TWICE, (2, 0, 1, 1, 2, 1, 2, 2) * 2], ids=["different", "twice", "skips"])
@pytest.mark.parametrize("auxiliary", [False, True])
def test_a_path_is_the_network_of_the_same_weights(genotype, auxiliary):
    space = replace(SPACE, auxiliary=auxiliary)
    path = Supernet(1).path(space.network(genotype)).network
    network = space.build(genotype)
    network.load_state_dict(path.state_dict())
    assert torch.equal(logits(path), logits(network))
    path.drop_path = network.drop_path = 0.3
    first, second = logits(path, True), logits(network, True)
    assert all(map(torch.equal, first, second)) if auxiliary else torch.equal(first, second)


def test_two_equal_edges_are_one_operation():
    path = Supernet(1).path(SPACE.network(TWICE)).network
    for cell in path.cells:
        assert cell.blocks[0].edges[0] is cell.blocks[0].edges[1]
    own = sum(weight.numel() for weight in path.parameters())
    assert own < sum(weight.numel() for weight in SPACE.build(TWICE).parameters())


def test_a_path_trains_nothing_but_its_own():
    supernet = Supernet(2)
    other, path = (supernet.path(SPACE.network(genotype)) for genotype in (TWO, ONE))
    assert sum(w.numel() for w in path.network.parameters()) == SPACE.count(ONE).params
    before = {name: tensor.clone() for name, tensor in other.tensors().items()}
    optimiser = torch.optim.SGD(path.network.parameters(), 0.1)
    logits(path.network, True).square().sum().backward()
    optimiser.step()
    changed = {name for name, tensor in other.tensors().items() if not torch.equal(tensor, before[name])}
    assert changed and changed <= path.tensors().keys()
    assert other.tensors().keys() - path.tensors().keys()
    assert {name for name in changed if ".blocks." in name} == {
        name for name in other.tensors().keys() & path.tensors().keys() if ".blocks." in name
    }


def test_first_weights_follow_from_the_seed_whoever_came_before():
    one, two = Supernet(5), Supernet(5)
    two.path(SPACE.network(TWO))
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    tensors = [supernet.path(SPACE.network(ONE)).tensors() for supernet in (one, two)]
    assert torch.equal(torch.rand(1), expected), "the global generator is left alone"
    assert tensors[0].keys() == tensors[1].keys()
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
    others = Supernet(6).path(SPACE.network(ONE)).tensors()
    assert any(not torch.equal(tensors[0][name], others[name]) for name in others)
    edges = [
        weight for name, weight in tensors[0].items() if name.startswith("cells.0.") and name.endswith(".1.weight")
    ]
    first, second = (weight for weight in edges if weight.shape == (4, 1, 3, 3))
    assert not torch.equal(first, second), "places with the same layers differ"
    for tensor in tensors[0].values():
        tensor.zero_()
    assert any(one.first(name).any() for name in tensors[0])


def test_where_widths_differ_layers_of_the_same_size_are_shared():
    space = replace(SPACE, concat="loose")
    supernet = Supernet(0)
    chain, flat = ((0, 0, 0, 1, 0, 2, 1, 1) * 2, (0, 0, 0, 1, 0, 1, 1, 1) * 2)
    for genotype in (chain, flat, chain):
        path = supernet.path(space.network(genotype)).network
        network = space.build(genotype)
        network.load_state_dict(path.state_dict())
        assert torch.equal(logits(path), logits(network))


# --- the set


def written(folder, count=None):
    with inherited(folder, count) as weights:
        return weights


def tensors(**values):
    return {name: np.full((2, 3), value, dtype=np.float32) for name, value in values.items()}


def pair(folder, seed, fast, slow):
    leave_snapshot(folder, trial_seed(seed, 0), tensors(**fast))
    leave_snapshot(folder, trial_seed(seed, 1), tensors(**slow))


def value(folder, count, name):
    with inherited(folder, count) as weights:
        found = weights.get(name)
    return None if found is None else float(found[0, 0])


def test_the_rule_of_the_update(tmp_path):
    weight_set = WeightSet(tmp_path, 0)
    weight_set.begin(50)
    pair(tmp_path, 0, {"shared": 1, "a": 1, "b": 1}, {"shared": 2, "a": 2, "c": 2})
    weight_set.write_back(1, 0, 1, 0)
    assert [value(tmp_path, 1, name) for name in ("shared", "a", "b", "c", "d")] == [1, 1, 1, 2, None]
    pair(tmp_path, 0, {"shared": 3, "d": 3}, {"shared": 4, "b": 4})
    weight_set.write_back(2, 1, 0, 0)
    assert [value(tmp_path, 2, name) for name in ("shared", "a", "b", "c", "d")] == [4, 1, 4, 2, 3]
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == [SHARED], "snapshots leave when they are merged"
    weight_set.write_back(3, None, None, 1)
    with inherited(tmp_path, 3) as weights:
        assert (weights.state.written, weights.state.generation, weights.state.generations) == (3, 1, 50)


def test_what_was_written_back_is_passed_over_and_a_repeat_gives_the_same_file(tmp_path):
    for folder in (tmp_path / "one", tmp_path / "two"):
        weight_set = WeightSet(folder, 0)
        weight_set.begin(2)
        pair(folder, 0, {"a": 1}, {"a": 2, "b": 2})
        if folder.name == "two":
            content = [path.read_bytes() for path in (folder / FOLDER).iterdir()]
        weight_set.write_back(1, 0, 1, 0)
    again = WeightSet(tmp_path / "two", 0)
    again.begin(2)
    pair(tmp_path / "two", 0, {"a": 7}, {"b": 7})  # left over, had the first process been killed here
    again.write_back(1, 0, 1, 0)
    files = [{path.name: path.read_bytes() for path in (tmp_path / name / FOLDER).iterdir()} for name in ("one", "two")]
    assert files[0] == files[1] and len(files[0]) == 1
    assert content


def test_in_the_end_nothing_stays_but_the_set(tmp_path):
    """A worker that a time limit ends may leave a snapshot that nobody takes up, or half of one."""
    weight_set = WeightSet(tmp_path, 0)
    weight_set.begin(2)
    pair(tmp_path, 0, {"a": 1}, {"a": 2})
    (tmp_path / FOLDER / f".{trial_seed(0, 1):016x}.safetensors.99").write_text("half of it")
    weight_set.write_back(1, 0, None, 1)
    assert len([*(tmp_path / FOLDER).iterdir()]) == 3, "others may be under way"
    weight_set.write_back(2, None, None, 2)
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == [SHARED]


def test_arrays_are_stored_as_they_are_read(tmp_path):
    WeightSet(tmp_path, 0).begin(1)
    across = np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1)
    leave_snapshot(tmp_path, trial_seed(0, 0), {"across": across, "count": np.array(3)})
    weight_set = WeightSet(tmp_path, 0)
    weight_set.begin(1)
    weight_set.write_back(1, 0, None, 1)
    with inherited(tmp_path, 1) as weights:
        assert (weights.get("across") == across).all() and weights.get("count").shape == ()


def damage(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: damage(folder / SHARED), "does not match its checksum"),
        (lambda folder: (folder / SHARED).write_bytes(b"no tensors"), "is damaged"),
        (lambda folder: (folder / SHARED).unlink(), "seen 0 write-backs and what number 1 needs is gone"),
        (lambda folder: [path.unlink() for path in folder.glob("0*")], "seen 1 write-backs and what number 2 needs"),
        (
            lambda folder: [damage(path) for path in folder.iterdir() if path.name != SHARED],
            "does not match its checks",
        ),
    ],
)
def test_lost_and_damaged_files_are_named(tmp_path, harm, message):
    """As a replay meets them: one write-back in the set, the next one only told."""
    weight_set = WeightSet(tmp_path, 0)
    weight_set.begin(2)
    pair(tmp_path, 0, {"a": 1}, {"b": 2})
    weight_set.write_back(1, 0, 1, 0)
    leave_snapshot(tmp_path, trial_seed(0, 2), tensors(a=1))
    (tmp_path / FOLDER / f"{trial_seed(0, 2):016x}.safetensors").rename(tmp_path / FOLDER / "0.safetensors")
    leave_snapshot(tmp_path, trial_seed(0, 2), tensors(a=1))
    if "number 2" in message:
        (tmp_path / FOLDER / f"{trial_seed(0, 2):016x}.safetensors").unlink()
    harm(tmp_path / FOLDER)
    again = WeightSet(tmp_path, 0)
    with pytest.raises(InputError, match=message) as caught:
        again.begin(2)
        again.write_back(1, 0, 1, 0)
        again.write_back(2, 2, None, 1)
    assert "\n" not in str(caught.value)


def test_the_set_of_another_study_and_another_time_are_refused(tmp_path):
    WeightSet(tmp_path, 0).begin(2)
    for seed, generations in ((1, 2), (0, 3)):
        with pytest.raises(InputError, match="another study"):
            WeightSet(tmp_path, seed).begin(generations)
    with pytest.raises(InputError, match="has seen 0 write-backs: expected 1"), inherited(tmp_path, 1):
        pass
    with pytest.raises(InputError, match="is missing"), inherited(tmp_path / "elsewhere", 0):
        pass
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / FOLDER).symlink_to(tmp_path / FOLDER)
    with pytest.raises(InputError, match="is a link"):
        WeightSet(tmp_path / "linked", 0).begin(2)


# --- the estimator


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    data = images(tmp_path_factory.mktemp("data") / "images.npz", count=100)
    return Classification(DataSource(str(data)), Recipe(batch=20, lr=0.1, lr_end=0.001, cutout=4, drop_path=0.2))


@pytest.fixture
def space(task):
    return replace(SPACE, **task.facts())


def begun(folder, task, generations=4, **settings):
    weight_set = WeightSet(folder, 0)
    weight_set.begin(generations)
    return weight_set, SharedWeights(task, **{"fidelity": Fidelity(epochs=1), "folder": folder} | settings)


def rate(estimator, space, genotype, number, inherits=0):
    return estimator.evaluate(Candidate(genotype, inherits=inherits), space, trial_seed(0, number))


def test_a_candidate_is_trained_as_its_network_would_be_by_itself(tmp_path, task, space):
    """The same weights, the same epoch of the same cosine: the same values, bit for bit."""
    weight_set, estimator = begun(tmp_path, task)
    rate(estimator, space, TWO, 0)
    weight_set.write_back(1, 0, None, 2)
    found = rate(estimator, space, ONE, 1, inherits=1)

    with inherited(tmp_path, 1) as weights, torch.random.fork_rng(devices=[]):
        supernet = Supernet(weights.state.start)
        path = supernet.path(space.network(ONE))
        for name, tensor in path.tensors().items():
            known = weights.get(name)
            tensor.copy_(supernet.first(name) if known is None else torch.from_numpy(known))
        network = task.attach(space.build(ONE))
        network.load_state_dict(path.network.state_dict())
        task.fit(task.learner(network), Fidelity(epochs=4), trial_seed(0, 1), done=2, stop=3)
        expected = task.score(network, Fidelity())
    assert found == expected | {"images": 80.0}


def test_values_do_not_depend_on_what_the_process_did_before(tmp_path, task, space):
    _, estimator = begun(tmp_path, task)
    first = rate(estimator, space, ONE, 3)
    left = {path.name: path.read_bytes() for path in (tmp_path / FOLDER).iterdir()}
    for genotype in (TWO, TWICE):
        rate(estimator, space, genotype, 4)
    torch.rand(7)
    state = torch.get_rng_state()
    assert rate(estimator, space, ONE, 3) == first
    assert torch.equal(torch.get_rng_state(), state)
    now = {path.name: path.read_bytes() for path in (tmp_path / FOLDER).iterdir()}
    assert {name: now[name] for name in left} == left
    assert rate(estimator, space, ONE, 5) != first, "another trial is another training"


def test_a_network_goes_on_from_what_was_written_back(tmp_path, task, space):
    """Four generations of one architecture: the loss falls, and the later the smaller are the steps."""
    weight_set, estimator = begun(tmp_path, task, generations=4, fidelity=Fidelity(epochs=3))
    losses, steps, before = [], [], None
    for number in range(4):
        losses.append(rate(estimator, space, ONE, number, inherits=number)["loss"])
        weight_set.write_back(number + 1, number, None, number + 1)
        with inherited(tmp_path, number + 1) as weights:
            name = next(
                name for name in Supernet(0).path(space.network(ONE)).tensors() if name.startswith("classifier")
            )
            now = weights.get(name)
        if before is not None:
            steps.append(float(np.abs(now - before).mean()))
        before = now
    assert losses[-1] < losses[0]
    assert steps[-1] < 0.5 * steps[0]


def test_frozen_weights_are_rated_and_left_alone(tmp_path, task, space):
    weight_set, estimator = begun(tmp_path, task)
    rate(estimator, space, ONE, 0)
    weight_set.write_back(1, 0, None, 1)
    before = (tmp_path / FOLDER / SHARED).read_bytes()
    frozen = replace(estimator, fidelity=Fidelity(epochs=0))
    values = rate(frozen, space, ONE, 1, inherits=1)
    assert values["images"] == 0 and set(values) == set(frozen.values)
    assert rate(frozen, space, ONE, 2, inherits=1) == values, "nothing in it is random"
    assert rate(replace(frozen, calibration=0), space, ONE, 2, inherits=1)["loss"] != values["loss"]
    assert {path.name: path.read_bytes() for path in (tmp_path / FOLDER).iterdir()} == {SHARED: before}


def test_a_calibration_that_breaks_off_changes_no_later_rating(tmp_path, task, space, monkeypatch):
    """The layers are those of all candidates that come to this process."""
    weight_set, estimator = begun(tmp_path, task)
    expected = rate(estimator, space, ONE, 0)
    frozen = replace(estimator, fidelity=Fidelity(epochs=0))
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(CellNetwork, "features", lambda self, x: (_ for _ in ()).throw(MemoryError))
        rate(frozen, space, ONE, 1)
    assert rate(estimator, space, ONE, 0) == expected


def test_validation_may_be_a_part_the_same_for_all(tmp_path, task, space):
    _, estimator = begun(tmp_path, task, validation=8)
    assert all((8 * rate(estimator, space, genotype, 0)["error"]) % 1 == 0 for genotype in (ONE, TWO, TWICE))
    whole = rate(replace(estimator, validation=0), space, ONE, 0)
    assert whole["loss"] != rate(estimator, space, ONE, 0)["loss"]
    assert rate(replace(estimator, validation=999), space, ONE, 0) == whole


def test_an_average_over_the_weights_is_what_is_scored_and_kept(tmp_path, task, space):
    averaging = replace(task, recipe=replace(task.recipe, ema=0.9))
    _, estimator = begun(tmp_path, averaging)
    assert rate(estimator, space, ONE, 0) != rate(replace(estimator, task=task), space, ONE, 0)


@pytest.mark.parametrize(
    ("change", "candidate", "message"),
    [
        ({"folder": None}, Candidate(ONE, inherits=0), "need a run folder and a strategy"),
        ({}, Candidate(ONE), "need a run folder and a strategy"),
        ({}, Candidate(ONE, inherits=1), "has seen 0 write-backs: expected 1"),
    ],
)
def test_says_what_it_lacks(tmp_path, task, space, change, candidate, message):
    _, estimator = begun(tmp_path, task)
    with pytest.raises(InputError, match=message):
        replace(estimator, **change).evaluate(candidate, space, 1)


def test_a_loss_that_is_not_finite_leaves_no_snapshot(tmp_path, task, space):
    _, estimator = begun(tmp_path, replace(task, recipe=Recipe(batch=80, lr=1e38, clip=0)))
    with pytest.raises(FloatingPointError, match="validation"):  # of the one step of training it was finite
        rate(estimator, space, ONE, 0)
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == [SHARED]


@pytest.mark.parametrize("change", [{"validation": -1}, {"calibration": 1}, {"calibration": -3}])
def test_numbers_out_of_range_are_refused(task, change):
    with pytest.raises(InputError, match="expected 0"):
        SharedWeights(task, **change)


# --- whole searches


def test_a_search_that_is_killed_ends_as_one_that_is_not(tmp_path):
    """SIGKILL right before and after the set is written, between the two networks of a pair, and at some moment."""
    images(tmp_path / "images.npz", count=48)
    kills = ["write:2", "write:11", "write:12", "write:13", "write:20", "after:0.4"]
    command = [sys.executable, Path(__file__).with_name("killed.py"), tmp_path, *kills]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    found = {facts["kill"]: facts for facts in map(json.loads, ended.stdout.splitlines())}
    assert [found[kill]["killed"] for kill in kills[:-1]] == [True] * 5
    assert [found[kill]["told"] for kill in kills[:-1]] == [0, 2, 2, 2, 3]
    for facts in found.values():
        assert facts["same"], facts
        assert facts["files"] == ["journal.jsonl", SHARED]
        assert facts["told"] + facts["rated"] == 4 * 2 + 2 + 1, "nothing that was told is rated again"


TINY = {
    "space": {"channels": 4, "cells": 3, "blocks": 1},
    "strategy": {"population": 4, "generations": 2, "finalists": 2, "retrained": 1},
    "task": {"recipe": {"batch": 16}},
    "estimators": {str(rung): {"fidelity": {"width": 2, "depth": 3, "resolution": None}} for rung in range(3)},
    "limits": {"params": 1e6},
}


def test_weights_without_their_journal_are_refused_before_a_search(tmp_path, monkeypatch):
    """Those of an equal study would be inherited from their end."""
    monkeypatch.setattr(launch, "executor_of", OneProcess)
    search = {"data": str(images(tmp_path / "images.npz", count=40)), "settings": [TINY], "out": tmp_path / "run"}
    result = frugalnas.search("relativenas", **search)
    assert (result.ended, len(result.study.trials)) == ("finished", 4 * 2 + 2 + 1)
    (tmp_path / "run" / "journal.jsonl").unlink()
    with pytest.raises(InputError, match=r"run/weights holds those of a search whose journal is gone: choose another"):
        frugalnas.search("relativenas", **search)
    assert not (tmp_path / "run" / "journal.jsonl").exists()


@pytest.mark.parametrize(
    ("estimators", "message"),
    [
        ({"0": {"fidelity": {"epochs": 0}}}, "estimators.0: the first rung trains .*expected .*epochs = 1 or more"),
        (
            {"1": {"fidelity": {"epochs": 1}}},
            "estimators.1: after the first rung .* frozen: expected fidelity.epochs = 0",
        ),
        ([{"type": "train"}, {"type": "shared_weights"}], "estimators.0: the first rung trains the shared weights"),
    ],
)
def test_a_ladder_that_would_leave_weights_lying_is_refused(estimators, message):
    tree = config.resolve("relativenas", layers=[{"estimators": estimators}])
    with pytest.raises(InputError, match=message) as caught:
        parts.strategy_of(tree, parts.problem_of(tree))
    assert "\n" not in str(caught.value)


def test_a_strategy_that_shares_no_weights_is_refused():
    tree = config.resolve("relativenas", layers=[{"strategy": {"type": "random"}}])
    with pytest.raises(InputError, match="'random' shares no weights between networks.*expected 'slow_fast'"):
        parts.strategy_of(tree, parts.problem_of(tree))


def test_the_paper_preset_has_the_numbers_of_the_paper():
    """Released code of RelativeNAS: train_search.py and slow_fast_learning.py."""
    tree = config.resolve("relativenas", "paper")
    problem = parts.problem_of(tree)
    strategy = parts.strategy_of(tree, problem)
    space = problem.space
    assert (space.operations, space.blocks, space.inputs) == (OPERATION_LISTS["relativenas"], 4, "full")
    assert (space.concat, space.channels, space.cells) == ("all", 36, 20)
    assert f"{space.size:.1e}" == "6.9e+21" and len(space.domains) == 32
    search, frozen, train = problem.estimators
    assert isinstance(search, SharedWeights) and isinstance(train, Train)
    assert search.fidelity == Fidelity(epochs=1, width=16, depth=8) and search.validation == 0
    assert frozen == replace(search, fidelity=Fidelity(epochs=0, width=16, depth=8))
    recipe = search.task.recipe
    assert (recipe.batch, recipe.lr, recipe.lr_end, recipe.momentum) == (256, 0.1, 0.001, 0.9)
    assert (recipe.weight_decay, recipe.clip, recipe.cutout, recipe.drop_path) == (3e-4, 5.0, 16, 0.3)
    assert isinstance(strategy, SlowFast) and (strategy.population, strategy.generations) == (20, 50)
    defaults = SlowFast(space, ("error",))
    for name in ("population", "generations", "parallel_pairs", "phi", "clamp", "boundary", "margin"):
        assert getattr(strategy, name) == getattr(defaults, name)
    assert (strategy.parallel_pairs, strategy.phi, strategy.clamp, strategy.boundary) == (1, 0.0, None, "clip")
    assert tree["data"]["validation"] == 0.5 and problem.minimised == ("error",)


def test_the_laptop_preset_is_that_of_eeea_in_all_that_compares():
    own, other = config.resolve("relativenas", "laptop"), config.resolve("eeea", "laptop")
    for key in ("data", "task", "objectives", "limits"):
        assert own[key] == other[key]
    assert own["estimators"][-1] == other["estimators"][-1]
    for name in ("channels", "cells", "blocks"):
        assert own["space"][name] == other["space"][name]
    size, images = own["strategy"], parts.problem_of(own).estimators[0].task.counts()["train"]
    epochs = size["population"] * size["generations"] * 0.25 + size["retrained"] * 0.5
    assert epochs * images == other["trials"] * 0.5 * images


def test_random_genotypes_of_the_presets_can_be_rated(tmp_path, task):
    tree = config.resolve("relativenas", "laptop")
    space = replace(parts.problem_of(tree).space, **task.facts(), channels=2, cells=3)
    weight_set, estimator = begun(tmp_path, task)
    rng = np.random.default_rng(0)
    for number in range(2):
        assert rate(estimator, space, random_genotype(rng, space.domains), number)["images"] == 80
    weight_set.write_back(1, 0, 1, 0)
