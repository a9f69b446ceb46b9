"""Multipliers for the layers of a trained network: the search, the files, the command and the network from them."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
import shutil
import xml.etree.ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import frugalnas
from frugalnas import assign, record, store
from frugalnas.assign import files, job, search
from frugalnas.assign.estimate import OnImages, kind
from frugalnas.assign.space import energy, relative_energy
from frugalnas.assign.tune import recipe_of, tune
from frugalnas.core import Candidate, InputError
from frugalnas.layers.approximated import approximate_layers
from frugalnas.layers.depthwise import DepthwiseConv2d
from frugalnas.model import Model
from frugalnas.multipliers import Multiplier
from frugalnas.multipliers.library import exact, find, usual
from frugalnas.spaces.architecture import Architecture
from frugalnas.spaces.cgp import CGPSpace
from frugalnas.spaces.nasbench201 import NasBench201
from frugalnas.strategies.nsga2 import NSGA2
from frugalnas.tasks.augment import Normalise
from frugalnas.tasks.data import DataSource, load_train
from frugalnas.tasks.loop import Budget, Recipe, fit, measure, predict
from tiny import images, run

PAGE = Path(__file__).parents[1] / "docs" / "approximate.md"
EVIL = "<script>alert('1')</script>"
FEW = ("8s-1-1-0", "8s-2-0-5", "8s-3-3-0", "8s-6-0-0")
LAYERS = tuple(assign.Layer(f"layer {n}", "conv 3x3", 100 * (n + 1)) for n in range(5))


def corners(count, seed=0, side=8):
    """Float images of a bright corner in noise, and which corner it is."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    pixels = rng.normal(0, 1, (count, 1, side, side)).astype(np.float32)
    half = side // 2
    for image, corner in zip(pixels, labels, strict=True):
        y, x = half * (corner // 2), half * (corner % 2)
        image[0, y : y + half, x : x + half] += 0.9
    return torch.from_numpy(pixels), torch.from_numpy(labels)


@pytest.fixture(scope="module")
def network():
    """Any torch module: convolutions, plain and grouped, batch normalisation, a linear layer."""
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=2, bias=False), nn.Conv2d(8, 8, 1)),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 4),
    )
    pixels, labels = corners(200)
    optimiser = torch.optim.Adam(made.parameters(), 0.02)
    for _ in range(40):
        optimiser.zero_grad()
        nn.functional.cross_entropy(made(pixels), labels).backward()
        optimiser.step()
    return made.eval()


@pytest.fixture(scope="module")
def tuning():
    return corners(120, seed=1)


@pytest.fixture(scope="module")
def found(network, tuning):
    chosen = assign.twins([find(name) for name in FEW])
    return frugalnas.approximate(network, *tuning, chosen, trials=20, max_loss=0.05)


class TestEvolved:
    """Networks whose genotypes name multipliers."""

    SPACE = CGPSpace(rows=2, cols=3, levels_back=3, multipliers=("8s-0-0-0", *FEW), channels=4, classes=4, resolution=8)

    def model(self):
        rng = np.random.default_rng(3)
        names = set()
        while len(names) < 2:  # so that the assignment is none of those that are alike in all layers
            genotype = tuple(rng.integers(self.SPACE.domains).tolist())
            names = {name for _, name in self.SPACE.assignment(genotype)}
        torch.manual_seed(0)
        made, ones = Architecture(self.SPACE, genotype), torch.ones(3)
        return Model(made, self.SPACE.build(genotype).eval(), ("a", "b", "c", "d"), Normalise(0 * ones, ones))

    def test_the_search_begins_with_the_multipliers_that_a_network_evolved_with(self):
        model, pixels = self.model(), torch.randint(0, 256, (20, 3, 8, 8), dtype=torch.uint8)
        found = frugalnas.approximate(model, pixels, torch.arange(20) % 4, trials=2)
        nodes = dict(self.SPACE.assignment(model.architecture.genotype))
        for name, multiplier in found.assignment(1).items():
            node = name.split(".")[1] if name.startswith("nodes.") else "classifier"
            meant = find(nodes[int(node)]) if node != "classifier" else exact(True)
            assert multiplier.sha256 == meant.sha256
        assert len({one.sha256 for one in found.assignment(1).values()}) > 1

    def test_multipliers_that_may_not_be_chosen_are_not_begun_with(self):
        model, pixels = self.model(), torch.randint(0, 256, (20, 3, 8, 8), dtype=torch.uint8)
        found = frugalnas.approximate(model, pixels, torch.arange(20) % 4, ["8s-4-4-0"], trials=2)
        assert {one.name for one in found.assignment(1).values()} == {"8s-4-4-0"}


class TestAssignments:
    @given(st.lists(st.integers(0, 4), min_size=5, max_size=5).map(tuple))
    def test_energy_is_the_sum_over_layers_and_the_power_is_relative_to_exact(self, genotype):
        chosen = assign.ordered([find(name) for name in FEW])
        space = assign.Assignments(LAYERS, chosen)
        expected = sum(
            layer.multiplications * chosen[gene].power_mw / 0.425 for layer, gene in zip(LAYERS, genotype, strict=True)
        )
        assert energy(space, genotype) == pytest.approx(expected)
        assert relative_energy(space, genotype) == pytest.approx(expected / 1500)
        assert [one.name for one in space.named(genotype).values()] == [chosen[gene].name for gene in genotype]

    def test_the_exact_one_is_first_then_falling_power_each_table_once(self):
        given = [Multiplier.family(3, 3, 0), Multiplier.family(1, 1, 0), Multiplier.family(1, 1, 0).swap(), exact(True)]
        assert [one.name for one in assign.ordered(given)] == ["8s-0-0-0", "8s-1-1-0", "8s-3-3-0"]
        with pytest.raises(InputError, match="multipliers is empty"):
            assign.ordered([])

    def test_only_where_it_makes_a_difference_there_is_a_twin(self):
        names = [one.name for one in assign.twins([Multiplier.family(1, 1, 0), Multiplier.family(2, 0, 5)])]
        assert names == ["8s-1-1-0", "8s-2-0-5", "8s-2-0-5+swap"]
        assert [one.bits for one in assign.twins([Multiplier.family(0, 0, 0, bits=4)])] == [4]

    def test_the_usual_ones_are_some_of_the_library_over_all_powers(self):
        chosen = assign.default_multipliers()
        assert chosen[0].sha256 == exact(True).sha256 and 8 <= len(chosen) <= 20
        known = usual()
        assert {one.power_mw for one in chosen} <= {one.power_mw for one in known}
        assert chosen[-1].power_mw == known[-1].power_mw
        assert [one.power_mw for one in chosen] == sorted((one.power_mw for one in chosen), reverse=True)

    def test_a_genotype_of_other_layers_is_refused(self):
        space = assign.Assignments(LAYERS, assign.default_multipliers())
        for genotype in ((0,) * 4, (0, 0, 0, 0, 99), (0, 0, 0, 0, -1)):
            with pytest.raises(InputError, match="expected 5 genes below"):
                space.canonical(genotype)


class TestGenerationZero:
    def test_it_begins_with_the_genotypes_that_are_given(self):
        space = assign.Assignments(LAYERS, assign.default_multipliers())
        strategy = NSGA2(space, ("error",), population=20, first=space.uniform)
        asked = [strategy.ask(np.random.default_rng(n)).genotype for n in range(20)]
        assert asked[: len(space.uniform)] == [*space.uniform]
        assert len({*asked}) == 20

    def test_too_many_or_repeated_ones_are_refused(self):
        space = assign.Assignments(LAYERS, assign.default_multipliers())
        with pytest.raises(InputError, match="expected at most the population, 3"):
            NSGA2(space, ("error",), population=3, first=space.uniform)
        with pytest.raises(InputError, match="two of the genotypes are the same"):
            NSGA2(space, ("error",), population=3, first=space.uniform[:1] * 2)


class TestSearch:
    def test_all_exact_and_every_multiplier_in_all_layers_come_first(self, found):
        genotypes = [trial.candidate.genotype for trial in found.trials]
        assert len(found.trials) == 20 and genotypes[: len(found.space.uniform)] == [*found.space.uniform]
        assert {trial.status for trial in found.trials} == {"done"}

    def test_the_chosen_one_is_the_cheapest_within_the_limit(self, found):
        assert found.limit == pytest.approx(found.exact.values["error"] + 0.05)
        within = [t.values["energy"] for t in found.trials if t.values["error"] <= found.limit]
        assert found.chosen.values["energy"] == min(within) < found.exact.values["energy"]
        assert found.exact.values["relative_energy"] == 1.0

    def test_values_are_those_of_the_network_that_is_made(self, found, tuning):
        pixels, labels = tuning
        for number in (0, found.chosen.number, found.front[-1].number):
            with torch.inference_mode():
                wrong = (found.network(number)(pixels).argmax(1) != labels).double().mean().item()
            assert found.trial(number).values["error"] == pytest.approx(wrong)

    def test_the_layers_are_those_that_multiply_in_running_order(self, found):
        assert [(layer.name, layer.kind, layer.multiplications) for layer in found.space.layers] == [
            ("0", "conv 3x3, 1 to 8", 8 * 9 * 64),
            ("3.0", "conv 3x3, 8 to 8, 2 groups", 8 * 4 * 9 * 64),
            ("3.1", "conv 1x1, 8 to 8", 8 * 8 * 64),
            ("7", "linear, 32 to 4", 128),
        ]
        layers = approximate_layers(found.network())
        assert {name: layer.multiplier.name for name, layer in layers.items()} == {
            name: one.name for name, one in found.assignment().items()
        }
        assert kind(nn.Conv2d(8, 4, (1, 3), groups=2)) == "conv 1x3, 8 to 4, 2 groups"
        assert kind(nn.Conv2d(8, 8, 3, groups=8)) == kind(DepthwiseConv2d(8, 3, 1, 1)) == "depthwise 3x3, 8"

    def test_the_front_is_that_of_error_and_energy(self, found):
        points = [(t.values["error"], t.values["energy"]) for t in found.trials]
        for trial in found.front:
            e, p = trial.values["error"], trial.values["energy"]
            assert not [q for q in points if q[0] <= e and q[1] <= p and q != (e, p)]

    def test_what_is_lost_beyond_the_reach_costs_more_than_all_exact(self, network, tuning):
        subject = assign.Subject(network, *tuning)
        space = assign.Assignments(subject.layers, assign.ordered([Multiplier.family(6, 0, 0)]))
        rated, best = (OnImages(subject, space, 0.0).evaluate(Candidate(g), space, 0) for g in ((1,) * 4, (0,) * 4))
        assert rated["error"] > best["error"] and best["energy_within"] == space.multiplications
        assert rated["energy_within"] > space.multiplications
        wide = OnImages(subject, space, 1.0).evaluate(Candidate((1,) * 4), space, 0)
        assert wide["energy_within"] == pytest.approx(energy(space, (1,) * 4))

    def test_a_hopeless_one_is_given_up_after_a_look(self, network, tuning, monkeypatch):
        monkeypatch.setattr("frugalnas.assign.estimate.LOOK", 40)
        subject = assign.Subject(network, *tuning)
        space = assign.Assignments(subject.layers, assign.ordered([Multiplier.family(6, 0, 0), find("8s-1-1-0")]))
        estimator = OnImages(subject, space, 0.0)
        looked, whole = (estimator.evaluate(Candidate(g), space, 0) for g in ((2,) * 4, (0,) * 4))
        assert (looked["rated_on"], whole["rated_on"]) == (40, 120)
        made = subject.approximated(space.named((2,) * 4))
        assert looked["error"] == replace(subject, images=tuning[0][:40], labels=tuning[1][:40]).rated(made)["error"]

    def test_the_float_network_is_left_as_it_was(self, network, tuning):
        before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        network.train()
        made = frugalnas.approximate(network, *tuning, FEW, trials=6, correction="statistics").network()
        assert network.training and network[1].training and not made.training
        network.eval()
        made.train()(tuning[0])
        for name, tensor in network.state_dict().items():
            assert torch.equal(tensor, before[name])

    def test_the_same_seed_gives_the_same_trials_and_another_others(self, network, tuning):
        def told(seed):
            return frugalnas.approximate(network, *tuning, FEW, trials=12, seed=seed, batch=120).trials

        assert told(0) == told(0) != told(1)

    def test_bias_correction_makes_up_for_what_a_coarse_multiplier_takes_off(self, network, tuning):
        pixels, apart = tuning[0], {}
        for correction in ("none", "bias"):
            made = assign.Subject(network, *tuning, correction=correction)
            with torch.inference_mode():
                found = made.approximated({"3.1": Multiplier.family(3, 0, 0)})(pixels)
                apart[correction] = (found - network(pixels)).square().mean().item()
        assert apart["bias"] < apart["none"] / 2

    def test_numpy_and_names_are_taken_too(self, network, tuning):
        pixels, labels = (tensor.numpy() for tensor in tuning)
        made = frugalnas.approximate(network, pixels, labels.astype(np.int32), ["8s-2-2-0"], trials=4)
        assert [one.name for one in made.space.multipliers] == ["8s-0-0-0", "8s-2-2-0"]
        assert "8s-2-2-0" in made.summary()

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"images": torch.zeros(3, 8, 8)}, r"expected floats \(N, C, H, W\)"),
            ({"images": torch.zeros(120, 1, 8, 8, dtype=torch.uint8)}, "images are torch.uint8"),
            ({"labels": torch.zeros(3)}, r"labels are torch.int64 \(3,\): expected \(120,\)"),
            ({"multipliers": ["8s-9-9-9x"]}, "8s-9-9-9x"),
            ({"max_loss": 2.0}, "max_loss = 2.0: expected a share"),
            ({"trials": 0}, "trials = 0: expected 1 or more"),
            ({"minutes": 0.0}, "minutes = 0.0: expected more than 0"),
            ({"correction": "bia"}, "unknown correction 'bia': did you mean 'bias'?"),
            ({"batch": 0}, "batch = 0"),
            ({"network": nn.Flatten()}, "no Conv2d and no Linear"),
        ],
    )
    def test_bad_input_is_one_line(self, network, tuning, change, words):
        given = {"network": network, "images": tuning[0], "labels": tuning[1], "trials": 3} | change
        with pytest.raises(InputError, match=words) as refused:
            frugalnas.approximate(**given)
        assert "\n" not in str(refused.value)

    def test_a_network_that_cannot_be_rated_says_why(self, network, tuning):
        found = frugalnas.approximate(network[:3], *tuning, FEW, trials=2)
        with pytest.raises(InputError, match="could not be rated: InputError: the network gives no logits"):
            _ = found.chosen

    def test_a_trial_that_was_not_rated_is_refused(self, found):
        with pytest.raises(InputError, match="trial 99 was not rated: expected one of 0 to 19"):
            found.network(99)


class TestOnDisk:
    def test_a_search_goes_on_where_it_was(self, network, tuning, tmp_path):
        def told(folder, trials):
            return frugalnas.approximate(network, *tuning, FEW, trials=trials, out=folder).trials

        told(tmp_path / "parts", 9)
        lines = (tmp_path / "parts" / store.JOURNAL).read_bytes().splitlines(keepends=True)
        (tmp_path / "parts" / store.JOURNAL).write_bytes(b"".join(lines[:-3]) + lines[-3][:20])  # killed
        assert told(tmp_path / "parts", 16) == told(tmp_path / "whole", 16)
        journals = [(tmp_path / name / store.JOURNAL).read_bytes() for name in ("parts", "whole")]
        assert journals[0] == journals[1]
        assert record.load(tmp_path / "whole").objectives == ("error", "energy")

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"seed": 1}, "seed or setting"),
            ({"max_loss": 0.2}, "seed or setting"),
            ({"correction": "none"}, "seed or setting"),
            ({"multipliers": ["8s-2-2-0"]}, "choice of multipliers"),
            ({"images": corners(120, seed=2)[0]}, "set of images"),
        ],
    )
    def test_another_search_in_the_same_folder_is_refused(self, network, tuning, tmp_path, change, words):
        given = {"network": network, "images": tuning[0], "labels": tuning[1], "multipliers": FEW, "trials": 5}
        frugalnas.approximate(**given, out=tmp_path / "out")
        with pytest.raises(InputError, match=f"holds a search with another {words}: choose another --out"):
            frugalnas.approximate(**given | change, out=tmp_path / "out")

    @pytest.mark.parametrize("correction", ["bias", "none"])
    def test_the_network_comes_back_with_the_same_logits(self, network, tuning, tmp_path, correction):
        made = frugalnas.approximate(network, *tuning, FEW, trials=12, max_loss=0.1, correction=correction)
        written = made.network()
        files.write_assignment(tmp_path, written, {load.name: load for load in made.loads()}, {})
        again = assign.load(tmp_path, network)
        with torch.inference_mode():
            assert torch.equal(again(tuning[0]), written(tuning[0]))
        content = files.read_assignment(tmp_path)
        assert files.loads_in(content) == made.loads()
        layer = content["layers"][0]["multiplier"]
        assert layer["sha256"] == next(iter(made.assignment().values())).sha256

    def test_what_does_not_fit_is_refused(self, network, tuning, tmp_path):
        made = frugalnas.approximate(network, *tuning, FEW, trials=12, max_loss=0.1)
        files.write_assignment(tmp_path, made.network(), {load.name: load for load in made.loads()}, {})
        with pytest.raises(InputError, match="does not say of which model"):
            assign.load(tmp_path)
        with pytest.raises(InputError, match="holds no assignment"):
            assign.load(tmp_path / "other", network)
        other = nn.Sequential(nn.Conv2d(1, 2, 3))
        with pytest.raises(InputError, match="no assignment of this network|no convolution"):
            assign.load(tmp_path, other)
        path = tmp_path / files.ASSIGNMENT
        good = path.read_text()
        entry = json.loads(good)["layers"][0]["multiplier"]
        for old, new in (
            (f'"{entry["sha256"]}"', '"00"'),
            ('"scale": ', '"scale": -'),
            ('"version": 1', '"version": 9'),
        ):
            path.write_text(good.replace(old, new, 1) if old != '"scale": ' else good.replace(old, new))
            with pytest.raises(InputError) as refused:
                assign.load(tmp_path, network)
            assert "\n" not in str(refused.value)
        path.write_text(good.replace('"table": null', '"table": "../evil.safetensors"', 1))
        with pytest.raises(InputError, match="is not in multipliers"):
            assign.load(tmp_path, network)
        path.write_text("[" * 100_000)
        with pytest.raises(InputError, match="is no assignment"):
            assign.load(tmp_path, network)
        path.write_text(good)
        (tmp_path / files.WEIGHTS).write_bytes(b"nothing")
        with pytest.raises(InputError, match="cannot be read"):
            assign.load(tmp_path, network)


class TestTraining:
    def test_it_recovers_error_that_a_coarse_multiplier_brought(self, network):
        pixels, labels = corners(160, seed=3)
        grey = ((pixels - pixels.min()) / (pixels.max() - pixels.min()) * 255).to(torch.uint8)
        normalise = Normalise(torch.zeros(1), torch.ones(1))
        mean, spread = float(pixels.min()) / -float(pixels.max() - pixels.min()), float(pixels.max() - pixels.min())
        normalise = Normalise(torch.tensor([mean]), torch.tensor([1 / spread]))
        subject = assign.Subject(network, normalise(grey), labels, correction="none")
        coarse = subject.approximated(dict.fromkeys(("0", "3.0", "3.1"), Multiplier.family(3, 3, 0)))
        before = subject.rated(coarse)["loss"]
        told = []
        tune(coarse, grey, labels, Recipe(batch=16, lr=0.01, flip=False, crop_padding=0), 3, 0, normalise, told.append)
        assert subject.rated(coarse)["loss"] < before and not coarse.training
        assert [*dict.fromkeys(entry["epoch"] for entry in told)] == [1, 2, 3] and told[-1]["progress"] == 1

    def test_the_recipe_is_that_of_the_model_at_a_tenth_of_its_rate(self):
        noted = {"recipe": {"lr": 0.2, "flip": False, "batch": 32, "warmup": 0.3, "ema": 0.99, "lr_end": 0.1}}
        recipe = recipe_of(noted)
        assert (recipe.lr, recipe.flip, recipe.batch) == (pytest.approx(0.02), False, 32)
        assert (recipe.warmup, recipe.ema, recipe.lr_end) == (0, 0, 0)
        for notes in ({}, {"recipe": 3}, {"recipe": {"lr": "x"}}, {"recipe": {"nothing": 1}}):
            assert recipe_of(notes).lr == pytest.approx(0.005)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    with np.load(images(folder / "test.npz", seed=5, count=40)) as test:
        return images(folder / "corners.npz", count=200, x_test=test["x_train"], y_test=test["y_train"])


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    """A trained model of ours, in a folder."""
    folder = tmp_path_factory.mktemp("model")
    given = load_train(DataSource(str(data)))
    pixels, labels = torch.from_numpy(given.pixels), torch.from_numpy(given.labels)
    space = NasBench201(channels=2, cells=1, in_channels=1, classes=4, resolution=8)
    cell = "|nor_conv_1x1~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"
    architecture = Architecture(space, space.from_string(cell))
    torch.manual_seed(0)
    network = architecture.space.build(architecture.genotype)
    fit(network, pixels, labels, Recipe(batch=16, flip=False, crop_padding=0), Budget(epochs=2), seed=0)
    notes = {"data": {"source": str(data)}, "recipe": {"batch": 16, "flip": False, "crop_padding": 0}}
    Model(architecture, network.eval(), given.classes, measure(pixels), notes).save(folder / "model.safetensors")
    return folder


def command(model, data, out, *more, trials=8):
    named = [word for name in FEW[1:3] for word in ("--multiplier", name)]
    asked = ("--images", 24, "--trials", trials, "--max-loss", 0.1, "--out", out)
    return ("approximate", model, "--data", data, *named, *asked, *more)


@pytest.fixture(scope="module")
def finished(model, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("assigned") / EVIL.replace("/", "")
    assert run(*command(model, data, folder, "--finetune", 1, "--activity")) == 0
    return folder


class TestCommand:
    def test_the_network_of_the_folder_has_the_test_error_that_was_said(self, finished, data):
        content = json.loads((finished / "assignment.json").read_text())
        network, trained = assign.load(finished), Model.load(content["model"])
        with np.load(data) as arrays:
            pixels, labels = torch.from_numpy(arrays["x_test"])[:, None], torch.from_numpy(arrays["y_test"])
        guesses = predict(network, pixels, trained.normalise, 50).argmax(1)
        said = content["test"]["errors"]
        assert [*said] == ["float", "exact", "chosen", "finetuned"] and content["test"]["images"] == 40
        assert said["finetuned"] == pytest.approx((guesses != labels).double().mean().item())
        whole = (torch.from_numpy(trained.logits(pixels.numpy())).argmax(1) != labels).double().mean().item()
        assert said["float"] == pytest.approx(whole)

    def test_the_files_agree(self, finished):
        content = json.loads((finished / "assignment.json").read_text())
        rows = [*csv.DictReader((finished / "trials.csv").open())]
        (chosen,) = [row for row in rows if row["chosen"] == "1"]
        assert len(rows) == 8 and int(chosen["trial"]) == content["trial"]
        assert float(chosen["energy"]) == content["energy"] and float(chosen["relative_energy"]) < 1
        assert {entry["name"]: entry["multiplier"]["name"] for entry in content["layers"]} == {
            name: chosen[name] for name in [*chosen][10:]
        }
        assert content["energy"] == pytest.approx(sum(entry["energy"] for entry in content["layers"]))
        assert content["tuning"]["images"] == 24 and content["tuning"]["seen"] is True
        assert rows[0]["energy"] == str(float(sum(entry["multiplications"] for entry in content["layers"])))

    def test_activity_is_of_each_layer_s_own_operands(self, finished):
        content = json.loads((finished / "assignment.json").read_text())
        found = content["activity"]
        names = [entry["name"] for entry in content["layers"]]
        assert [*found["power_mw"]] == [*found["exact_power_mw"]] == names
        assert 0 < found["relative_energy"] < 1
        spent = {entry["name"]: entry["multiplications"] for entry in content["layers"]}
        sums = [sum(spent[name] * found[key][name] for name in names) for key in ("power_mw", "exact_power_mw")]
        assert found["relative_energy"] == pytest.approx(sums[0] / sums[1])
        assert f"{found['relative_energy']:.1%} of that with exact ones" in (finished / "report.html").read_text()

    def test_the_page_is_alone_and_escapes_everything(self, finished):
        text = (finished / "report.html").read_text()
        assert (
            "<script" not in text
            and "style=" not in text
            and "http" not in text.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")
        )
        (style,) = re.findall("<style>(.*?)</style>", text, re.S)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert f"default-src 'none'; style-src 'sha256-{digest}'" in text
        drawings = re.findall("<svg.*?</svg>", text, re.S)
        assert len(drawings) == 2
        for drawing in drawings:
            xml.etree.ElementTree.fromstring(drawing)
        content = json.loads((finished / "assignment.json").read_text())
        assert drawings[1].count('class="load"') == len(content["layers"])
        assert content["layers"][0]["multiplier"]["sha256"][:16] in text

    def test_the_same_command_again_rates_nothing_and_another_is_refused(self, model, data, finished, capsys, tmp_path):
        folder = tmp_path / "out"
        shutil.copytree(finished, folder)
        journal = (folder / "search" / store.JOURNAL).read_bytes()
        assert run(*command(model, data, folder, "--finetune", 1, "--activity", "--json")) == 0
        told = json.loads(capsys.readouterr().out)
        assert (folder / "search" / store.JOURNAL).read_bytes() == journal
        assert (
            told["trials"] == 8 and told["energy"] == json.loads((finished / "assignment.json").read_text())["energy"]
        )
        assert run(*command(model, data, folder, "--finetune", 2, "--activity")) == 2
        error = capsys.readouterr().err
        assert "finetune = 1, not 2" in error and error.count("\n") == 1

    def test_resume_gives_it_more_trials(self, model, data, finished, capsys, tmp_path):
        folder = tmp_path / "out"
        shutil.copytree(finished, folder)
        assert run("resume", folder, "--trials", 12, "--json") == 0
        assert json.loads(capsys.readouterr().out)["trials"] == 12
        assert run("resume", folder, "--epochs", 2) == 2
        assert "expected --trials or --minutes" in capsys.readouterr().err

    def test_ctrl_c_leaves_a_folder_that_goes_on(self, model, data, capsys, tmp_path, monkeypatch):
        rate, calls = OnImages.evaluate, []

        def interrupted(self, *arguments):
            calls.append(1)
            if len(calls) == 4:
                raise KeyboardInterrupt
            return rate(self, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(OnImages, "evaluate", interrupted)
            assert run(*command(model, data, tmp_path / "out")) == 130
        assert f"go on with: frugalnas resume {tmp_path / 'out'}" in capsys.readouterr().err
        assert len(store.trials_of(store.read(tmp_path / "out" / "search")[1])) == 3
        assert run("resume", tmp_path / "out") == 0
        assert run(*command(model, data, tmp_path / "whole")) == 0
        journals = [(tmp_path / name / "search" / store.JOURNAL).read_bytes() for name in ("out", "whole")]
        assert journals[0] == journals[1]

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (("--multiplier", "8s-1-1-0x"), "8s-1-1-0x"),
            (("--multiplier", "nothing.bin=0.2"), "there is no file nothing.bin"),
            (("--multiplier", "{table}"), "a table does not say its power, expected {table}=MILLIWATTS"),
            (("--multiplier", "{table}=much"), "the power is 'much', expected milliwatts"),
            (("--multiplier", "{table}=-1"), "the power is '-1', expected milliwatts"),
            (("--max-loss", "5"), "max_loss = 5.0: expected a share in [0, 1]"),
            (("--trials", "0"), "trials = 0: expected 1 or more"),
            (("--images", "0"), "images = 0: expected 1 or more"),
            (("--finetune", "-1"), "finetune = -1: expected 0 or more"),
            (("--power-mw", "0"), "power_mw = 0.0: expected milliwatts"),
            (("--correction", "more"), "more"),
            (("--data", "{model}/nothing.npz"), "nothing.npz"),
        ],
    )
    def test_bad_input_is_one_line_and_exit_code_2(self, model, data, tmp_path, capsys, change, words):
        table = tmp_path / "table.bin"
        table.write_bytes(exact(False).table.astype("<u2").tobytes())
        words_given = [word.format(table=table, model=model) for word in change]
        assert run(*command(model, data, tmp_path / "out", *words_given)) == 2
        error = capsys.readouterr().err
        assert words.format(table=table) in error and error.count("\n") == 1
        assert not (tmp_path / "out").exists()

    def test_a_folder_of_something_else_is_refused(self, model, data, tmp_path, capsys):
        store.Journal.create(tmp_path / "out", {}).close()
        assert run(*command(model, data, tmp_path / "out")) == 2
        assert "holds something else than an assignment" in capsys.readouterr().err
        assert run("approximate", tmp_path, "--data", data) == 2
        assert "has no model.safetensors" in capsys.readouterr().err

    def test_without_test_images_that_is_said(self, model, tmp_path, capsys):
        alone = images(tmp_path / "alone.npz", count=80)
        assert run(*command(model, alone, tmp_path / "out", trials=3)) == 0
        assert "The data has no test images." in capsys.readouterr().out
        assert json.loads((tmp_path / "out" / "assignment.json").read_text())["test"] is None


class TestUserTables:
    def test_a_table_of_the_user_travels_with_the_folder(self, model, data, tmp_path):
        table = exact(True).table.copy()
        table[3, 5] += 1  # no member of the family
        np.save(tmp_path / "mine.npy", table)
        word = f"{tmp_path / 'mine.npy'}=0.05"
        few = ("--images", 24, "--trials", 3, "--max-loss", 1, "--out", tmp_path / "out")
        assert run("approximate", model, "--data", data, "--multiplier", word, "--signed", *few) == 0
        (tmp_path / "mine.npy").unlink()
        moved = tmp_path / "moved"
        (tmp_path / "out").rename(moved)
        content = files.read_assignment(moved)
        entry = content["layers"][0]["multiplier"]
        assert entry["power_source"] == "given" and entry["power_mw"] == 0.05 and "mine.npy" in entry["source"]
        layers = approximate_layers(assign.load(moved))
        expected = {hashlib.sha256(one.astype("<i4").tobytes()).hexdigest() for one in (table, table.T)}
        assert {layer.multiplier.sha256 for layer in layers.values()} <= expected

    def test_words_of_existing_files_become_whole_paths(self, tmp_path):
        (tmp_path / "a.bin").touch()
        given = ("a.bin=0.2", "a.bin", "8s-1-1-0", "b.bin=1")
        assert job.placed(given, tmp_path) == (f"{tmp_path}/a.bin=0.2", f"{tmp_path}/a.bin", "8s-1-1-0", "b.bin=1")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "frugalnas/approximate", "version": 1, "job": {"x": 1}}'])
def test_files_that_are_no_job_are_refused_in_one_line(tmp_path, text):
    (tmp_path / job.FILE).write_text(text)
    with pytest.raises(InputError, match="is of no assignment") as refused:
        job.read(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_job_is_read_as_it_was_written(tmp_path):
    asked = job.Job("m", DataSource("x"), search.Settings(0.02, 7, 1.5, 3), ("8s-1-1-0",), 0.1, True, 5, 2)
    job.begin(tmp_path / "out", asked)
    assert job.read(tmp_path / "out") == asked
    assert job.budgeted(asked, {"trials": 9, "minutes": None}).settings == replace(asked.settings, trials=9)


def test_the_python_of_the_page_runs(capsys):
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, "docs/approximate.md", "exec"), {"__name__": "page"})
    printed = capsys.readouterr().out
    assert "(256, 256) 4" in printed and "0.289 published" in printed and "chosen: trial" in printed
