"""Latency by a table: what networks are made of, the file of a device, and a search that keeps within a limit."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch.utils._python_dispatch import TorchDispatchMode

import frugalnas
from frugalnas import config, launch, parts, store
from frugalnas.catalogue import LISTINGS
from frugalnas.core import InputError, screen
from frugalnas.latency import build, cost, measure, runs
from frugalnas.latency.program import of_network, of_piece
from frugalnas.latency.settings import Latency
from frugalnas.latency.table import Table
from frugalnas.layers.cost import Count, count, total
from frugalnas.objectives.latency import PieceCost, pieces, pieces_of
from frugalnas.spaces.architecture import Architecture
from frugalnas.spaces.cell import OPERATION_LISTS, CellSpace
from frugalnas.survey import refuse_impossible, survey
from frugalnas.variation import random_genotype
from test_counting import cases, slow
from tiny import OneProcess, images, run

SMALL = {
    "space": {"channels": 4, "cells": 3},
    "task": {"recipe": {"batch": 16}},
    "estimators": {"0": {"fidelity": {"width": 2, "depth": 3, "samples": 0.5, "resolution": None}}},
    "strategy": {"population": 4},
}


def small_space() -> CellSpace:
    operations = ("sep_conv_3x3", "max_pool_3x3", "skip_connect")
    return CellSpace(operations, blocks=2, channels=4, cells=3, in_channels=1, classes=4, resolution=8)


def drawn(space: CellSpace, number: int, seed: int = 0) -> list[tuple[int, ...]]:
    rng = np.random.default_rng(seed)
    return [random_genotype(rng, space.domains) for _ in range(number)]


def made_up(space: CellSpace, seed: int = 0, slower: float = 0.0) -> Table:
    """A table as a measurement would write it, of times drawn for every piece."""
    rng = random.Random(seed)
    content = {
        "format": "frugalnas/latency",
        "version": 1,
        "runtime": {"name": "torch", "version": "0"},
        "threads": 1,
        "clock": "thread",
        "device": {"system": "none", "machine": "none", "processor": "made up"},
        "date": "2026-01-01",
        "seconds": 0.0,
        "space": Architecture(space, (0,) * len(space.domains)).to_json()["space"],
        "empty_ms": 0.01,
        "pieces": {
            name: {"ms": 0.01 + rng.uniform(0.1, 1.0), "elements": piece.elements}
            for name, piece in pieces_of(space).items()
        },
        "calibration": {"ms_per_million_elements": 0.0, "scale": 1.0},
        "fitted": [],
        "held_out": [],
        "error": {"spearman": 1.0, "median": 0.0, "worst": slower, "slower": slower},
    }
    return Table(measure.signed(content))


# What a network is made of


class Operations(TorchDispatchMode):
    """What torch really computes: every operation that makes a float map, with the shape of the result."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[tuple[str, tuple[int, ...]]] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        first = result[0] if isinstance(result, tuple) else result
        if func not in (torch.ops.aten.t.default, torch.ops.aten.detach.default, torch.ops.aten.alias.default):
            self.seen[str(func), tuple(first.shape)] += 1
        return result


def operations(run: measure.Run) -> Counter[tuple[str, tuple[int, ...]]]:
    with torch.no_grad(), Operations() as mode:
        run()
    return mode.seen


@slow
@given(cases())
def test_the_pieces_of_a_network_cost_what_the_network_costs(case):
    space, genotype = case
    found = list(pieces(space.network(genotype)))
    counted = [count(piece.layers, piece.inputs[0]) for piece in found if piece.kind == "layers"]
    sums = [Count(add=int(np.prod(piece.output))) for piece in found if piece.kind == "sum"]
    assert total(*counted, *sums) == space.count(genotype)
    assert set(found) <= set(pieces_of(space).values())


@settings(slow, max_examples=8)
@given(cases())
def test_programs_compute_what_networks_compute(case):
    space, genotype = case
    space = replace(space, auxiliary=False)
    plan = space.network(genotype)
    network = operations(runs.network_run(space, genotype, "torch", 1))
    assert operations(measure.torch_run(of_network(plan))) == network
    parts = Counter()
    for piece, times in Counter(pieces(plan)).items():
        found = operations(measure.torch_run(of_piece(piece)))
        assert found == operations(runs.piece_run(piece, "torch", 1))
        parts += Counter({key: times * number for key, number in found.items()})
    zeros = {key for key in network if "zeros" in key[0] or "slice" in key[0]}  # a block of nothing is no piece
    assert {k: v for k, v in parts.items() if k not in zeros} == {k: v for k, v in network.items() if k not in zeros}


def test_a_space_has_just_the_pieces_that_its_networks_have():
    space = CellSpace(("sep_conv_3x3", "skip_connect"), blocks=2, inputs="full", channels=4, cells=4, resolution=8)
    half = [*product(*map(range, space.domains[:8]))]
    seen = {piece.name for cell in half for piece in pieces(space.network((*cell, *cell)))}
    assert seen == pieces_of(space).keys()


def test_names_say_which_piece_it_is():
    paper = CellSpace(
        ("sep_conv_3x3", "skip_connect"), blocks=5, channels=48, cells=20, stem="imagenet", resolution=224
    )
    other = replace(paper, stem="small", channels=16, resolution=224, cells=5)
    both = pieces_of(paper), pieces_of(other)
    assert all(both[0][name] == both[1][name] for name in both[0].keys() & both[1].keys())
    assert not any("stem" in name for name in both[0].keys() & both[1].keys())
    assert len(both[0]) < 100, "the number of pieces is bounded, however many networks and cells there are"


def test_a_prediction_adds_up_the_prices_of_the_pieces():
    space = small_space()
    table = made_up(space)
    for genotype in drawn(space, 20):
        times = [table.content["pieces"][piece.name]["ms"] - 0.01 for piece in pieces(space.network(genotype))]
        assert table.cost(space, genotype) == pytest.approx(0.01 + sum(times))


# Calibration


def test_networks_to_calibrate_on_are_spread_and_not_those_held_out():
    space = CellSpace(OPERATION_LISTS["eeea"], blocks=4, channels=16, cells=8)
    networks = [tuple(entry["genotype"]) for entry in build.plan_of(space, "torch")["networks"]]
    fitted, held_out = networks[: measure.CALIBRATION], networks[measure.CALIBRATION :]
    macs = [space.count(genotype).macs for genotype in fitted]
    steps = np.diff(macs)
    assert macs[0] < 0.5 * np.median(macs) and min(steps) > 0 and max(steps) < 2 * np.mean(steps)
    assert len(set(held_out)) == build.HELD_OUT and not {*map(space.canonical, fitted)} & {
        *map(space.canonical, held_out)
    }
    random_ones, small_ones = ([space.count(g).macs for g in half] for half in (held_out[:10], held_out[10:]))
    assert np.median(small_ones) < 0.8 * np.median(random_ones)


def test_every_piece_of_a_plan_is_named_by_its_networks_or_its_space():
    space = small_space()
    plan = build.plan_of(space, "torch")
    names = {entry["name"] for entry in plan["pieces"]}
    assert all(set(entry["pieces"]) <= names for entry in plan["networks"])


def test_calibration_finds_what_a_runtime_saves_on_whole_networks():
    space = small_space()
    found, rng = pieces_of(space), random.Random(0)
    true = {name: rng.uniform(0.1, 1.0) for name in found}  # within a network
    boundary = 50.0  # ms a million elements, paid by a piece alone
    alone = {n: {"ms": 0.02 + true[n] + boundary * p.elements / 1e6, "elements": p.elements} for n, p in found.items()}
    networks = [[piece.name for piece in pieces(space.network(genotype))] for genotype in drawn(space, 30)]
    rows = [{"pieces": names, "measured_ms": 0.02 + 1.3 * sum(true[name] for name in names)} for names in networks]
    table = {"pieces": alone, "empty_ms": 0.02}
    table["calibration"] = measure.calibration(table, rows[:15])
    price = measure.prices(table)
    predicted = [{**row, "predicted_ms": 0.02 + sum(price[name] for name in row["pieces"])} for row in rows[15:]]
    assert table["calibration"]["scale"] == pytest.approx(1.3, rel=0.03)
    assert table["calibration"]["ms_per_million_elements"] == pytest.approx(-boundary, rel=0.1)
    off = measure.error(predicted)
    assert off["worst"] < 0.01 and off["spearman"] > 0.99


def test_no_piece_has_a_negative_price():
    pieces = {"a": {"ms": 0.001, "elements": 10}, "b": {"ms": 1.0, "elements": 10**6}}
    calibration = {"ms_per_million_elements": -0.5, "scale": 2.0}
    assert measure.prices({"pieces": pieces, "empty_ms": 0.002, "calibration": calibration}) == pytest.approx(
        {"a": 0.0, "b": 2 * (1.0 - 0.002 - 0.5)}
    )


def test_errors_are_relative_to_the_measurement():
    rows = [{"predicted_ms": p, "measured_ms": m} for p, m in ((1.0, 1.1), (2.0, 2.0), (3.0, 2.0))]
    assert measure.error(rows) == {"spearman": 0.866, "median": 0.0909, "worst": 0.5, "slower": 0.1}
    assert measure.spearman([1, 2, 3, 4], [10, 20, 40, 30]) == pytest.approx(0.8)
    assert measure.spearman([1, 1, 1], [1, 2, 3]) == 0.0


def test_runs_take_turns_and_the_median_counts():
    told, now = [], [0.0]

    def run_for(name, seconds):
        def run():
            told.append(name)
            now[0] += next(seconds)

        return run

    cold = iter([9, 9, 9, 5, 5, 5] * 100)  # seconds, until it is warm
    disturbed = iter([2] * 12 + [500] * 9 + [2] * 10**4)
    runs = [run_for("a", cold), run_for("b", disturbed)]
    shares = []
    assert measure.timed(runs, lambda: now[0], 0.0, shares.append) == [5000, 2000]
    rounds = measure.ROUNDS[0]
    assert Counter(told) == {"a": 6 * rounds, "b": 6 * rounds} and shares == sorted(shares)
    turns = "".join(told[::6])
    assert turns not in ("ab" * rounds, "ba" * rounds), "the order changes"
    assert all(len(set(told[i : i + 6])) == 1 for i in range(0, len(told), 6))


# The file


def test_a_table_is_the_same_when_it_is_read_again(tmp_path):
    table = made_up(small_space())
    table.save(tmp_path / "t.json")
    again = Table.load(tmp_path / "t.json")
    assert again.content == table.content and again.fingerprint == table.fingerprint
    assert again.cost.prices == table.cost.prices


def test_a_table_covers_its_space_and_no_other():
    space, table = small_space(), made_up(small_space())
    table.check(space)
    table.check(replace(space, operations=space.operations[:2]))
    with pytest.raises(InputError, match=r"no piece 'first small stem 1x8x8 to 15' .did you mean 'first small stem"):
        table.check(replace(space, channels=5))
    with pytest.raises(InputError, match=r"no piece 'sep_conv_5x5 4x8x8' .* lacks 5 of the \d+ pieces of this space"):
        table.check(replace(space, operations=(*space.operations, "sep_conv_5x5")))
    other = Architecture(replace(space, resolution=9), (0,) * len(space.domains))
    with pytest.raises(InputError, match="no piece 'first small stem 1x9x9 to 12', which the network has"):
        table.predict(other)


def damaged(change) -> dict:
    content = json.loads(json.dumps(made_up(small_space()).content))
    change(content)
    return content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format="frugalnas/architecture"), "format 'frugalnas/architecture', expected"),
        (lambda c: c.update(version=2), "version 2, expected 1"),
        (lambda c: c["pieces"].popitem(), "does not match its checksum"),
        (lambda c: c.pop("checksum"), "does not match its checksum"),
    ],
)
def test_a_damaged_or_foreign_file_is_refused(change, message, tmp_path):
    (tmp_path / "t.json").write_text(json.dumps(damaged(change)))
    with pytest.raises(InputError, match=rf"t\.json .*{message}"):
        Table.load(tmp_path / "t.json")


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda c: c.pop("error"), "error: Field required"),
        (lambda c: c["pieces"]["classifier 16x2x2 to 4"].update(ms=-1.0), "ms: Input should be greater"),
        (lambda c: c["pieces"]["classifier 16x2x2 to 4"].update(ms="1"), "ms: Input should be a valid number"),
        (lambda c: c["pieces"].update({"\x1b[2J": {"ms": 1.0, "elements": 1}}), "printable"),
        (lambda c: c["device"].update(processor="\x1b]0;title\x07"), "device.processor: .*printable"),
        (lambda c: c["calibration"].update(scale=1e300), "calibration.scale"),
        (lambda c: c["runtime"].update(name="tensorflow"), "runtime.name"),
        (lambda c: c.update(threads=0), "threads"),
        (lambda c: c.update(pieces=[]), "pieces: Input should be an object"),
    ],
)
def test_content_that_no_measurement_writes_is_refused(change, place):
    with pytest.raises(InputError, match=place) as refused:
        Table(measure.signed(damaged(change)))
    assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "1", '{"format": NaN}', "[" * 10**5, "\udce9"])
def test_a_file_that_is_no_table_is_refused(text, tmp_path):
    (tmp_path / "t.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match="no latency table"):
        Table.load(tmp_path / "t.json")
    with pytest.raises(InputError, match="there is no latency table"):
        Table.load(tmp_path / "absent.json")
    with pytest.raises(InputError, match="cannot read"):
        Table.load(tmp_path)


# The search


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with images and a table for the space of `tree`."""
    folder = tmp_path_factory.mktemp("latency")
    images(folder / "images.npz")
    made_up(parts.space_of(tree(folder)), slower=0.25).save(folder / "table.json")
    return folder


def tree(folder: Path, *assignments: str) -> config.Tree:
    layers = [*map(config.assignment, assignments), config.options(data=str(folder / "images.npz"), trials=9)]
    return config.resolve(layers=[SMALL, *layers])


def by_table(folder: Path, *assignments: str) -> config.Tree:
    return tree(folder, f"latency.table={folder / 'table.json'}", *assignments)


def median_of(folder: Path) -> float:
    work = parts.problem_of(by_table(folder, 'objectives=["error", "latency_ms"]'))
    return float(np.median([work.objectives[1].cost(work.space, g) for g in drawn(work.space, 200)]))


@pytest.fixture(scope="module")
def result(place) -> launch.Result:
    """A search under a latency limit of 1.25 times the median: with the margin of the table, the median."""
    given = by_table(
        place, 'objectives=["error", "latency_ms", "params"]', f"limits.latency_ms={1.25 * median_of(place)}"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "executor_of", OneProcess)
        return launch.begin(given, place / "run")


def test_a_search_keeps_within_a_latency_limit(place, result):
    table, limit = Table.load(place / "table.json"), median_of(place)
    statuses = Counter(trial.status for trial in result.study.trials)
    assert statuses["done"] == 9 and statuses["rejected"] > 0
    for trial in result.study.trials:
        predicted = table.cost(result.study.problem.space, trial.candidate.genotype)
        assert trial.values["latency_ms"] == predicted
        assert (predicted <= limit) == (trial.status == "done")
    assert all(trial.broken == "latency_ms" for trial in result.study.trials if trial.status == "rejected")
    assert all(1.25 * trial.values["latency_ms"] <= 1.25 * limit for trial in result.front)


def test_the_same_table_and_seed_make_the_same_journal(place, result, monkeypatch):
    monkeypatch.setattr(launch, "executor_of", OneProcess)
    given = launch.configuration_of(result.folder)
    launch.begin(given, place / "again")
    assert (place / "again" / "journal.jsonl").read_bytes() == (result.folder / "journal.jsonl").read_bytes()


def test_the_run_folder_has_the_table_and_resumes_by_it(place, result, tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "executor_of", OneProcess)
    header, _ = store.read(result.folder)
    assert header["latency"] == Table.load(result.folder / "latency.json").fingerprint
    (place / "table.json").rename(tmp_path / "away.json")
    again = frugalnas.resume(result.folder, trials=10)
    (tmp_path / "away.json").rename(place / "table.json")
    assert again.study.trials[: len(result.study.trials)] == result.study.trials
    space = again.study.problem.space
    made_up(space, seed=1).save(result.folder / "latency.json")
    with pytest.raises(InputError, match="not the latency table that the study was begun with"):
        frugalnas.resume(result.folder, trials=11)
    (result.folder / "latency.json").unlink()
    with pytest.raises(InputError, match="no latency table"):
        frugalnas.resume(result.folder, trials=11)
    Table.load(place / "table.json").save(result.folder / "latency.json")
    assert frugalnas.resume(result.folder, trials=10).study.rated == 10


def test_a_table_of_another_space_is_refused_before_the_search(place, tmp_path):
    given = by_table(place, "space.channels=6", "limits.latency_ms=5")
    with pytest.raises(InputError, match=r"table\.json has no piece 'first small stem 1x8x8 to 18'"):
        launch.begin(given, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_search_without_latency_needs_no_table(place):
    given = tree(place, "latency.table=absent.json")
    assert parts.table_of(given) is None
    assert "latency_ms" not in [objective.name for objective in parts.problem_of(given).objectives]


@pytest.mark.parametrize(("margin", "expected"), [(None, 5 / 1.25), (0.0, 5.0), (0.1, 5 / 1.1)])
def test_a_limit_is_lowered_by_the_margin(margin, expected):
    table = made_up(small_space(), slower=0.25)
    found = cost.objective(Latency(margin=margin), table, 5.0, True)
    assert found.limit == pytest.approx(expected) and found.minimise and found.cost == table.cost


def test_a_latency_can_be_limited_only(place):
    work = parts.problem_of(by_table(place, "limits.latency_ms=5"))
    assert work.minimised == ("error", "macs", "params") and work.objectives[-1].name == "latency_ms"


def test_a_survey_knows_latency(place, capsys):
    work = parts.problem_of(by_table(place, 'objectives=["error", "latency_ms"]', "limits.params=inf"))
    found = survey(work, 100)
    smallest, middle, largest = found.costs["latency_ms"]
    times = [work.objectives[1].cost(work.space, genotype) for genotype in drawn(work.space, 300, seed=5)]
    assert smallest < min(times) < middle < max(times) < largest
    limited = parts.problem_of(
        by_table(place, f"limits.latency_ms={smallest}", "latency.margin=0", "limits.params=inf")
    )
    refuse_impossible(limited, 100)
    tight = parts.problem_of(by_table(place, f"limits.latency_ms={smallest * 0.99}", "latency.margin=0"))
    with pytest.raises(InputError, match=rf"latency_ms <= .*smallest {smallest:,.6g}"):
        refuse_impossible(tight, 100)
    arguments = [a for k, v in (("space.channels", 4), ("space.cells", 3)) for a in ("--set", f"{k}={v}")]
    arguments += ["--data", place / "images.npz", "--set", f"latency.table={place / 'table.json'}", "--samples", 50]
    assert run("inspect", *arguments, "--limit", "latency_ms<30", "--json") == 0
    assert set(json.loads(capsys.readouterr().out)["costs"]["latency_ms"]) == {"smallest", "median", "largest"}


def test_latency_is_listed_and_its_settings_are_checked():
    assert "Milliseconds" in LISTINGS["objectives"]()["latency_ms"]
    for assignment, message in (
        ("latency.sorce=table", "did you mean 'source'"),
        ("latency.runtime=tensorrt", "expected one of torch, onnxruntime"),
        ("latency.threads=0", "latency.threads = 0"),
        ("latency.margin=-0.1", "latency.margin = -0.1"),
    ):
        with pytest.raises(InputError, match=message):
            parts.table_of(config.resolve(layers=[config.assignment(assignment), {"limits": {"latency_ms": 5}}]))


# Measured in the search


@pytest.fixture
def clockwork(monkeypatch):
    """Measurements that are told and cost nothing: 1, 2, 3, ... ms."""
    told = []

    def milliseconds(architectures, runtime, threads, seconds):
        told.extend(architectures)
        return [float(len(told))]

    monkeypatch.setattr(runs, "milliseconds", milliseconds)
    monkeypatch.setattr(launch, "executor_of", OneProcess)
    runs._milliseconds.cache_clear()
    yield told
    runs._milliseconds.cache_clear()


def test_only_what_is_within_the_other_limits_is_measured(place, clockwork):
    given = tree(place, "latency.source=measured", 'objectives=["error", "latency_ms", "params"]', "limits.params=9000")
    result = launch.begin(given, place / "measured")
    assert "latency" not in result.study._journal.header
    within = [trial for trial in result.study.trials if trial.values["params"] <= 9000]
    assert len(within) == 9 < len(result.study.trials)
    assert {trial.values["latency_ms"] for trial in within} == {float(1 + i) for i in range(len(clockwork))}
    assert all("latency_ms" not in trial.values for trial in result.study.trials if trial.status == "rejected")
    seen = len(clockwork)
    again = frugalnas.resume(place / "measured", trials=9)
    assert again.study.trials == result.study.trials and len(clockwork) == seen, "a resume keeps what was measured"
    assert again.study.problem.minimised == ("error", "params", "latency_ms")


def test_equal_networks_are_measured_once(clockwork):
    space = small_space()
    one, other = (0, 0, 1, 0, 2, 1, 0, 0), (1, 0, 0, 0, 0, 0, 2, 1)  # both blocks the other way round
    measured = runs.MeasuredCost("torch", 1)
    assert space.canonical(one + one) == space.canonical(other + one)
    assert measured(space, one + one) == measured(space, other + one) == 1.0 and len(clockwork) == 1


def test_a_survey_measures_nothing(place, clockwork):
    given = tree(place, "latency.source=measured", "limits.latency_ms=5", "limits.params=inf")
    work = parts.problem_of(given)
    refuse_impossible(work, 20)
    found = survey(work, 20)
    assert "latency_ms" not in found.costs and "latency_ms is measured in the search only" in found.text(
        given["limits"]
    )
    with pytest.raises(InputError, match=r"within the limits params <= 9 .smallest"):
        refuse_impossible(
            parts.problem_of(tree(place, "latency.source=measured", "limits.latency_ms=5", "limits.params=9")), 20
        )
    assert (
        run(
            "inspect",
            "--samples",
            9,
            "--limit",
            "latency_ms=5",
            "--limit",
            "params=9",
            "--set",
            "latency.source=measured",
        )
        == 2
    )
    assert not clockwork
    assert screen(work, (0,) * len(work.space.domains))[0]["latency_ms"] == 1.0


def test_prices_are_small_enough_to_send_to_workers():
    import pickle

    paper = CellSpace(OPERATION_LISTS["eeea"], blocks=5, channels=36, cells=20)
    assert len(pickle.dumps(PieceCost(dict.fromkeys(pieces_of(paper), 1.0)))) < 20_000
