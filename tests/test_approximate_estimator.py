"""The estimator of approximate networks: what it gives, what it keeps, and studies whose candidates share trainings."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from frugalnas import config, launch, parts, store
from frugalnas.core import Candidate, Fidelity, InputError, Objective, Problem
from frugalnas.distribute import InProcess
from frugalnas.estimators import ESTIMATORS
from frugalnas.estimators.approximate import Approximate
from frugalnas.estimators.train import Train
from frugalnas.objectives.count import COSTS
from frugalnas.spaces.cgp import CGPSpace
from frugalnas.spaces.nats_size import NatsSize
from frugalnas.store import Journal
from frugalnas.study import Study
from frugalnas.tasks.classification import Classification
from frugalnas.tasks.data import DataSource
from frugalnas.tasks.kept import alone, remove_all, remove_others
from frugalnas.tasks.recipe import Recipe
from tiny import images
from toy import Listed

LIBRARY = ("8s-0-0-0", "8s-2-2-0", "8s-2-0-5", "8s-6-6-0")
SPACE = CGPSpace(
    rows=1,
    cols=2,
    levels_back=2,
    functions=("conv", "residual"),
    widths=(1, 2),
    kernels=(3,),
    multipliers=LIBRARY,
    channels=4,
    in_channels=1,
    classes=4,
    resolution=8,
)
PLAIN = NatsSize(channels=4, in_channels=1, classes=4, resolution=8)


def genotype(*multipliers):
    """Two layers with the multipliers of these places in the library."""
    genes = list(next(genes for genes in candidates() if len(SPACE.assignment(genes)) == 2))
    for place, multiplier in zip(sorted(SPACE.ordinal), multipliers, strict=True):
        genes[place] = multiplier
    return tuple(genes)


def candidates():
    """Genotypes of the space, in an order."""
    rng = random.Random(0)
    while True:
        yield tuple(rng.randrange(size) for size in SPACE.domains)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    data = images(tmp_path_factory.mktemp("approximate") / "images.npz", count=120)
    return Classification(DataSource(str(data)), Recipe(batch=16, crop_padding=0, flip=False), device="cpu")


@pytest.fixture
def trainings(monkeypatch):
    """The number of epochs of every training, as it happens."""
    done, real = [], Classification.fit

    def fit(self, parts, fidelity, seed, **more):
        done.append(fidelity.epochs)
        return real(self, parts, fidelity, seed, **more)

    monkeypatch.setattr(Classification, "fit", fit)
    return done


def rate(estimator, *multipliers, seed=3, space=SPACE):
    return estimator.evaluate(Candidate(genotype(*multipliers)), space, seed)


def files(folder):
    return sorted(path for path in folder.rglob("*.safetensors"))


def test_it_is_listed_and_its_section_completes():
    assert ESTIMATORS["approximate"] is Approximate
    section = config.part("estimators", {"type": "approximate", "fidelity": {"epochs": 2}}, "estimators.0")
    assert section["calibration"] == 512 and section["correction"] == "auto" and "folder" not in section
    assert Approximate().values == ("error", "loss", "float_error", "images")
    assert Approximate(finetune=1).values[-1] == "own_images"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"calibration": 1}, "approximate.calibration = 1: expected 2 or more"),
        ({"finetune": -1}, "approximate.finetune = -1"),
        ({"correction": "bais"}, "did you mean 'bias'?"),
        ({"finetune_lr": 0.0}, "approximate.finetune_lr = 0.0"),
    ],
)
def test_numbers_out_of_range_are_named(wrong, message):
    with pytest.raises(InputError) as error:
        Approximate(**wrong)
    assert message in str(error.value)


def test_exact_multipliers_are_near_the_float_network_and_bad_ones_are_not(task):
    estimator = Approximate(replace(task, recipe=replace(task.recipe, lr=0.2)), Fidelity(epochs=12), calibration=64)
    exact, rough, bad = (rate(estimator, *each) for each in ((0, 0), (1, 1), (3, 3)))
    assert exact["float_error"] == rough["float_error"] == bad["float_error"] < 0.2
    assert abs(exact["error"] - exact["float_error"]) <= 0.1
    assert exact["loss"] < bad["loss"] and exact["error"] < bad["error"] and rough["loss"] != exact["loss"]
    assert {*exact} == {*estimator.values} and exact["images"] == 12 * 96


def test_the_float_network_is_the_one_that_train_trains(task):
    expected = Train(task, Fidelity(epochs=2)).evaluate(Candidate(SPACE.trained(genotype(1, 2))), SPACE, 3)
    found = rate(Approximate(task, Fidelity(epochs=2)), 1, 2)
    assert found["float_error"] == expected["error"] and found["images"] == expected["images"]


def test_a_space_without_multipliers_is_quantised_with_exact_ones(task):
    found = Approximate(task, Fidelity(epochs=2), calibration=32).evaluate(Candidate((7, 7, 7, 7, 7)), PLAIN, 1)
    assert abs(found["error"] - found["float_error"]) < 0.2
    assert {*found} == {"error", "loss", "float_error", "images"}


def test_values_depend_on_seed_and_candidate_only(task):
    estimator = Approximate(task, Fidelity(epochs=1), calibration=32)
    state = torch.random.get_rng_state()
    first = rate(estimator, 1, 2)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(5)
    assert rate(estimator, 1, 2) == first
    assert rate(estimator, 1, 2, seed=4)["loss"] != first["loss"]
    for correction in ("bias", "none"):
        other = rate(replace(estimator, correction=correction), 1, 2)
        assert other["loss"] != first["loss"] and other["float_error"] == first["float_error"]


@pytest.mark.parametrize("recipe", [{}, {"ema": 0.9}])
def test_a_child_with_other_multipliers_costs_no_training(task, tmp_path, trainings, recipe):
    task = replace(task, recipe=replace(task.recipe, **recipe))
    kept = Approximate(task, Fidelity(epochs=2), calibration=32, folder=tmp_path)
    lost = replace(kept, folder=None)
    first, *others = [(0, 0), (1, 2), (3, 0)]
    values = [rate(kept, *first)]
    assert trainings == [2] and len(files(tmp_path)) == 1
    values += [rate(kept, *other) for other in others]
    assert trainings == [2] and len(files(tmp_path)) == 1
    assert values == [rate(lost, *each) for each in (first, *others)], "and has the values that a training gives"
    rate(kept, *first, seed=4)
    assert len(files(tmp_path)) == 2, "of another seed it is another network"


@pytest.mark.parametrize("trouble", ["cut", "edited", "empty", "missing", "another network", "link"])
def test_a_file_that_does_not_fit_is_trained_again_to_the_same_values(task, tmp_path, trouble, trainings):
    estimator = Approximate(task, Fidelity(epochs=1), calibration=32, folder=tmp_path / "run")
    (tmp_path / "run").mkdir()
    expected = rate(estimator, 1, 0)
    (file,) = files(tmp_path)
    content = file.read_bytes()
    match trouble:
        case "cut":
            file.write_bytes(content[:-100])
        case "edited":
            file.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
        case "empty":
            file.write_bytes(b"")
        case "missing":
            shutil.rmtree(file.parent)
        case "another network":
            other = replace(estimator, fidelity=Fidelity(epochs=2))
            rate(other, 1, 0)
            (second,) = {*files(tmp_path)} - {file}
            file.write_bytes(second.read_bytes())
        case "link":
            file.parent.rename(tmp_path / "outside")
            file.parent.symlink_to(tmp_path / "outside")
    before = len(trainings)
    assert rate(estimator, 1, 0) == expected and len(trainings) == before + 1
    rate(estimator, 2, 0)
    assert len(trainings) == before + 1 + (trouble == "link"), "and it was kept, unless it would be elsewhere"


def test_a_folder_that_cannot_be_written_fails_no_trial(task, tmp_path, caplog):
    (tmp_path / "float_weights").write_text("in the way")
    estimator = Approximate(task, Fidelity(epochs=1), calibration=32, folder=tmp_path)
    assert rate(estimator, 1, 0) == rate(replace(estimator, folder=None), 1, 0)
    assert "will each train anew" in caplog.text


def test_fine_tuning_goes_through_the_multipliers_and_has_a_price_of_its_own(task, tmp_path):
    plain = Approximate(task, Fidelity(epochs=4), calibration=64, folder=tmp_path)
    tuned = replace(plain, finetune=2, finetune_lr=0.02)
    before, after = rate(plain, 1, 1), rate(tuned, 1, 1)
    assert after["loss"] < before["loss"] and after["float_error"] == before["float_error"]
    assert (before["images"], after["images"], after["own_images"]) == (4 * 96, 6 * 96, 2 * 96)
    assert rate(tuned, 1, 1) == after, "the same each time"


def test_two_workers_on_one_architecture_train_it_once(task, tmp_path, trainings):
    estimator, found = Approximate(task, Fidelity(epochs=3), calibration=32, folder=tmp_path), {}

    def work(multiplier):
        found[multiplier] = rate(estimator, multiplier, 0)

    threads = [threading.Thread(target=work, args=(multiplier,)) for multiplier in (0, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert trainings == [3] and len(files(tmp_path)) == 1
    assert found[0]["float_error"] == found[3]["float_error"] and found[0]["loss"] != found[3]["loss"]


HOLDS = """
import sys, time
from pathlib import Path
from frugalnas.tasks.kept import alone
with alone(Path(sys.argv[1])):
    print("in", flush=True)
    time.sleep(60)
"""


def test_one_waits_for_another_process_but_not_for_a_dead_one(tmp_path):
    file = tmp_path / "float_weights" / "a.safetensors"
    file.parent.mkdir()
    paths = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    holder = subprocess.Popen([sys.executable, "-c", HOLDS, file], stdout=subprocess.PIPE, env=paths)
    assert holder.stdout.readline() == b"in\n"
    entered = threading.Event()

    def enter():
        with alone(file):
            entered.set()

    waiting = threading.Thread(target=enter)
    waiting.start()
    assert not entered.wait(0.3)
    holder.kill()
    holder.wait()
    waiting.join(20)
    assert entered.is_set()


def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path):
    """A run folder may come from anybody."""
    (tmp_path / "mine").write_text("mine")
    place = tmp_path / "float_weights"
    place.mkdir()
    (place / "a.safetensors.lock").symlink_to(tmp_path / "mine")
    with alone(place / "a.safetensors"):
        pass
    assert (tmp_path / "mine").read_text() == "mine"


def test_kept_weights_go_when_a_search_is_over_and_not_before(task, tmp_path):
    estimator = Approximate(task, Fidelity(epochs=1), calibration=32, folder=tmp_path)
    rate(estimator, 0, 0)
    remove_others(tmp_path, {1})
    remove_others(tmp_path, ())
    assert len(files(tmp_path)) == 1
    remove_all(tmp_path)
    assert not (tmp_path / "float_weights").exists()


SHARED = [(0, 0), (1, 0), (1, 0), (0, 2), (3, 3)]


def searched(task, folder, cut=None, window=1, finetune=0):
    """A study of candidates of one float architecture and one of another; its journal's bytes."""
    path = folder / store.JOURNAL
    if not path.exists():
        Journal.create(folder, {"seed": 0}).close()
    if cut is not None:
        path.write_bytes(path.read_bytes()[:cut])
    other = next(g for g in candidates() if SPACE.trained(g) != SPACE.trained(genotype(0, 0)))
    asked = [Candidate(genotype(*each)) for each in SHARED] + [Candidate(other)]
    estimator = Approximate(task, Fidelity(epochs=1), calibration=32, folder=folder, finetune=finetune)
    objectives = (Objective("error"), Objective("energy", COSTS["energy"]))
    journal = Journal(folder)
    study = Study(Problem(SPACE, objectives, (estimator,)), Listed(*asked), journal=journal)
    assert study.run(InProcess()) == "finished"
    journal.close()
    return study, path.read_bytes()


def test_a_study_trains_each_float_architecture_once(task, tmp_path, trainings):
    study, _ = searched(task, tmp_path)
    assert trainings == [1, 1] and len(files(tmp_path)) == 2
    assert study.images == 2 * 96
    assert [trial.values["images"] for trial in study.trials] == [96, 0, 0, 0, 0, 96]
    assert len({trial.values["float_error"] for trial in study.trials[:5]}) == 1
    assert len({trial.values["energy"] for trial in study.trials}) == 5


@pytest.mark.parametrize("lost", [False, True])
def test_a_killed_study_resumes_to_the_same_journal_also_when_files_are_lost(task, tmp_path, lost, trainings):
    (tmp_path / "whole").mkdir()
    study, whole = searched(task, tmp_path / "whole", finetune=1)
    ends = [place for place, byte in enumerate(whole) if byte == ord("\n")]
    for number, cut in enumerate((ends[3] + 1, ends[6] - 7)):
        again = shutil.copytree(tmp_path / "whole", tmp_path / str(number))
        if lost:
            shutil.rmtree(again / "float_weights")
        resumed, journal = searched(task, again, cut, finetune=1)
        assert journal == whole and resumed.images == study.images


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_what_is_trained_alike_has_one_graph_and_its_multipliers_have_places_in_it(data):
    genes = tuple(data.draw(st.integers(0, size - 1)) for size in SPACE.domains)
    canonical, trained = SPACE.canonical(genes), SPACE.trained(genes)
    assert SPACE.network(trained) == SPACE.network(canonical)
    assert SPACE.assignment(canonical) == SPACE.assignment(genes)


CONFIG = {
    "method": "random",
    "objectives": ["error", "energy"],
    "estimators": [{"type": "approximate", "fidelity": {"epochs": 1}, "calibration": 32}],
    "space": {
        "type": "cgp",
        **{"rows": 1, "cols": 2, "levels_back": 2, "functions": ["conv"], "widths": [1], "channels": 4},
        "multipliers": ["8s-0-0-0", "8s-3-3-0"],
    },
}


def test_a_search_is_configured_runs_and_goes_on(tmp_path, monkeypatch):
    data = images(tmp_path / "images.npz", count=60)
    tree = config.resolve("random", layers=[{"data": {"source": str(data)}, "task": {"recipe": {"batch": 16}}}, CONFIG])
    problem = parts.problem_of(tree, folder=tmp_path)
    assert isinstance(problem.estimators[0], Approximate) and problem.estimators[0].folder == tmp_path
    monkeypatch.setattr(launch, "executor_of", lambda tree, folder: InProcess())
    out = tmp_path / "run"
    result = launch.begin(config.changed(tree, {"trials": 3}), out)
    assert result.ended == "trials" and files(out), "a larger budget goes on from what is kept"
    assert launch.resume(out, trials=4).ended == "trials"
    assert {"error", "energy", "float_error"} <= {*result.front[0].values}
