"""Reports: made from the journal alone, true to it, and safe to open wherever it is from."""

from __future__ import annotations

import base64
import csv
import hashlib
import html.parser
import io
import itertools
import json
import math
import os
import re
import urllib.parse
import xml.etree.ElementTree
import zlib
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from frugalnas import pareto, record, report, store, zoo
from frugalnas.core import Candidate, InputError, Trial
from frugalnas.drawing import _DOWN, _GAP, _places, svg_of, text_of
from frugalnas.objectives.energy import energy
from frugalnas.report import effort, multiplier_map
from frugalnas.spaces.architecture import Architecture
from frugalnas.spaces.cell import CellSpace
from frugalnas.spaces.cgp import CGPSpace
from frugalnas.variation import random_genotype

OBJECTIVES = ("error", "macs", "params")
EVIL = "<script>alert('1')</script>"
CONFIG = {"method": "eeea", "preset": "laptop", "objectives": [*OBJECTIVES], "limits": {"params": 2e5}, "seed": 3}


def trials(count=60):
    """Values on a coarse grid, so that many are equal; some trials rejected, failed or repeated."""
    for number in range(count):
        candidate = Candidate((number, 1), parents=())
        wide, deep = number * 7 % 8, number * 13 % 7
        values = {"macs": 1e4 * (1 + wide), "params": 1000.0 + deep, "loss": 1.5}
        if number % 10 == 3:
            yield Trial(number, candidate, "rejected", {"macs": 1e6, "params": 3e5}, "params 300,000 > 200,000")
        elif number % 10 == 7:
            yield Trial(number, candidate, "failed", values, f"RuntimeError: {EVIL}")
        else:
            error = 1 - (wide + deep) / 16 + number * 11 % 5 / 20
            yield Trial(number, candidate, "done", values | {"error": error}, "same" if number % 10 == 9 else "")


def journal(folder, header=None, given=None):
    header = {"version": "0.1.0", "config": CONFIG | {"data": {"source": EVIL}}, "facts": {}, "data": ""} | (
        header or {}
    )
    writing = store.Journal.create(folder, header)
    for trial in given if given is not None else trials():
        writing.append(store.ask_event(trial.number, trial.candidate))
        writing.append(store.tell_event(trial))
        writing.time(trial.number, 0.5)
    writing.close()
    return folder


def test_the_front_is_what_brute_force_finds(tmp_path):
    study = record.load(journal(tmp_path))
    done = [trial for trial in trials() if trial.status == "done" and not trial.reason]

    def dominates(a, b):
        pairs = [(a.values[name], b.values[name]) for name in OBJECTIVES]
        return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)

    expected = {b.number for b in done if not any(dominates(a, b) for a in done)}
    assert {trial.number for trial in study.front} == expected and 1 < len(expected) < len(done)
    assert [trial.values["error"] for trial in study.front] == sorted(t.values["error"] for t in study.front)


def test_the_tables_hold_every_trial_and_the_front(tmp_path):
    record = report.write_report(journal(tmp_path))
    rows = list(csv.DictReader(io.StringIO((tmp_path / "trials.csv").read_text())))
    assert [int(row["trial"]) for row in rows] == list(range(60))
    front = [row for row in rows if row["front"] == "1"]
    assert [trial.number for trial in record.front] == [
        int(row["trial"]) for row in csv.DictReader(io.StringIO((tmp_path / "front.csv").read_text()))
    ]
    assert {int(row["trial"]) for row in front} == {trial.number for trial in record.front}
    for row, trial in zip(rows, trials(), strict=True):
        assert row["status"] == trial.status and row["genotype"] == f"{trial.number} 1"
        assert {name: float(row[name]) for name in trial.values} == trial.values
        assert row["reason"] == trial.reason


class Page(html.parser.HTMLParser):
    """Text, tags and table cells of a page, and what its scripts read, without the scripts themselves."""

    def __init__(self, folder):
        super().__init__()
        self.tags, self.rows, self.words, self.data, self._inside = [], [], "", {}, []
        self.feed((folder / "report.html").read_text())

    def handle_starttag(self, tag, attributes):
        self._inside.append((tag, dict(attributes)))
        self.tags.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        while self._inside and self._inside.pop()[0] != tag:
            pass

    def handle_data(self, data):
        tags = [tag for tag, _ in self._inside]
        if {"td", "th"} & set(tags):
            self.rows[-1][-1] += data
        if tags and self._inside[-1][1].get("id") == "data":
            self.data = json.loads(data)
        elif not tags or tags[-1] not in ("script", "style"):
            self.words += data

    def row(self, name):
        return next((row[1:] for row in self.rows if row and row[0] == name), None)


def test_the_page_shows_the_front_and_escapes_everything_from_the_journal(tmp_path):
    record = report.write_report(journal(tmp_path))
    page, text = Page(tmp_path), (tmp_path / "report.html").read_text()
    start = page.rows.index(
        ["trial", "validation error", "multiply-accumulates for one image", "parameters", "validation loss"]
    )
    rows = page.rows[start + 1 : start + 1 + len(record.front)]
    assert [int(row[0].removesuffix(" knee")) for row in rows] == [trial.number for trial in record.front]
    assert [row[0] for row in rows if row[0].endswith("knee")] == [f"{record.knee.number} knee"]
    assert rows[0][1:] == [report.amount(n, record.front[0].values[n]) for n in (*OBJECTIVES, "loss")]
    assert EVIL in page.words and EVIL not in text
    assert ["6", f"failed: RuntimeError: {EVIL}"] in page.rows and ["6", "rejected by params"] in page.rows
    assert "params ≤ 200 k" in page.words
    assert page.data["front"] == [trial.number for trial in record.front] and page.data["knee"] == record.knee.number


def test_the_page_is_alone_and_its_scripts_run_by_their_checksum(tmp_path):
    report.write_report(journal(tmp_path))
    page, text = Page(tmp_path), (tmp_path / "report.html").read_text()
    assert not {"link", "img", "iframe", "object", "embed"} & {tag for tag, _ in page.tags}
    assert not [attributes for _, attributes in page.tags if "src" in attributes or "style" in attributes]
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert links and not [link for link in links if ":" in link or link.startswith("/")]
    policy = next(a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy
    for tag, start in (("script", "<script>"), ("style", "<style>")):
        (content,) = re.findall(f"{start}(.*?)</{tag}>", text, re.S)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_names_from_the_journal_cannot_become_markup(tmp_path):
    given = [Trial(0, Candidate((1,)), "done", {EVIL: 0.5, "error": 0.1, "b</script>": 1.0, "__proto__": 2.0})]
    config = CONFIG | {
        "objectives": ["error", EVIL, "b</script>"],
        "data": {"source": "x"},
        "method": EVIL,
        "seed": EVIL,
        "preset": EVIL,
        "limits": {EVIL: 1.0, "constructor": 2.0},
    }
    header = {"config": config, "version": EVIL, "versions": {EVIL: EVIL}}
    folder = journal(tmp_path / "</title><script>alert('2')", header, given)
    report.write_report(folder)
    for file in ("report.html", "front.svg"):
        text = (folder / file).read_text()
        assert EVIL not in text and "b</script>" not in text and "alert('2')" not in text.replace("&#x27;", '"')
    assert Page(folder).data["objectives"] == ["error", EVIL, "b</script>"]
    xml.etree.ElementTree.fromstring((folder / "front.svg").read_text())


def test_text_that_no_encoding_has_is_written_all_the_same(tmp_path):
    header = GOOD | {"config": CONFIG | {"data": {"source": "caf\udce9"}}}
    folder = journal(tmp_path, header, [Trial(0, Candidate((1,)), "failed", {}, "OSError: \udce9\r\n,")])
    (folder / "trained" / "caf\udce9").mkdir(parents=True)
    (folder / "trained" / "caf\udce9" / "metrics.json").write_text(json.dumps(METRICS))
    (folder / "trained" / "caf\udce9" / "model.html").touch()
    report.write_report(folder)
    with (folder / "trials.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["reason"] == "OSError: \\udce9 ," and row["genotype"] == "1"
    page = Page(folder)
    assert "eeea on caf\\udce9" in page.words
    assert ("a", {"href": "trained/caf%E9/model.html"}) in page.tags


HUGE = 1.7e308


@pytest.mark.filterwarnings("ignore:.* encountered in:RuntimeWarning")
@pytest.mark.parametrize(
    "values",
    [
        [(-HUGE, HUGE), (HUGE, -HUGE)],
        [(0.0, 5e-324), (0.0, 5e-324)],
        [(1e16, 0.1), (1e16 + 2, 0.1)],
        [(0.0, 0.0), (-0.0, 0.0)],
        [(5.0, -1e-9)],
    ],
)
def test_any_finite_values_make_a_report(tmp_path, values):
    given = [
        Trial(n, Candidate((n,), parents=(n, 10**30, -1)), "done", {"error": a, "params": b})
        for n, (a, b) in enumerate(values)
    ]
    config = CONFIG | {"objectives": ["error", "params"], "data": {"source": "x"}, "limits": {"params": 10**300}}
    header = {"config": config | {"estimators": [{"type": "train", "fidelity": {"epochs": HUGE, "samples": 1}}]}}
    for images in (None, {"train": 10**20}, {"train": "x"}, [1]):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder = journal(folder, header | {"images": images}, given)
        report.write_report(folder)
        svg = (folder / "front.svg").read_text()
        assert "nan" not in svg and "inf" not in svg and svg.count("<circle") > len(values)
        xml.etree.ElementTree.fromstring(svg)
        assert Page(folder).data["trials"]["values"]["params"] is not None


def test_infinities_that_no_search_writes_do_not_break_the_page(tmp_path):
    header = {"format": 1, "version": "1", "config": CONFIG | {"data": {"source": "x"}}, "facts": {}, "data": ""}
    header["config"]["limits"] = {"params": math.inf, "macs": math.nan}
    line = json.dumps(header).encode()
    (tmp_path / store.JOURNAL).write_bytes(line[:-1] + b',"sum":"%08x"}\n' % zlib.crc32(line))
    report.write_report(tmp_path)
    assert Page(tmp_path).data["limits"] == {}


@pytest.mark.parametrize("given", [[], [Trial(0, Candidate((1,)), "failed", {}, "RuntimeError: no")]])
def test_a_search_without_a_rated_network_has_a_report(tmp_path, given):
    record = report.write_report(journal(tmp_path, given=given))
    assert "No front: no network was rated." in report.text_of(record)
    assert (tmp_path / "report.html").exists() and len((tmp_path / "front.csv").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    "header",
    [
        {"config": None},
        {"config": {}},
        {"config": CONFIG, "facts": None},
        {"config": CONFIG | {"objectives": "error"}, "facts": []},
        {"config": CONFIG | {"objectives": 3}},
    ],
)
def test_a_journal_of_something_else_is_refused_in_one_line(tmp_path, header):
    with pytest.raises(InputError, match="holds a journal of no search") as refused:
        record.load(journal(tmp_path, header))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "event",
    [
        {"tell": 0, "status": "done", "values": {}, "reason": ""},
        {"ask": 0},
        {"ask": EVIL, "genotype": [1], "rung": 0, "parents": []},
        {"ask": 0, "genotype": ["x"], "rung": 0, "parents": []},
    ],
)
def test_events_of_something_else_are_refused_in_one_line(tmp_path, event):
    folder = journal(tmp_path, given=[])
    writing = store.Journal(folder)
    writing.append(event)
    writing.append({"tell": event.get("ask", 0), "status": "done", "values": {"error": EVIL}, "reason": ""})
    writing.close()
    with pytest.raises(InputError, match="holds a journal of no search"):
        record.load(folder)


GOOD = {"config": CONFIG | {"data": {"source": "x"}}, "facts": {}}


@pytest.mark.parametrize(
    "change",
    [
        *({key: None} for key in ("objectives", "limits", "method", "preset", "seed", "data")),
        {"objectives": []},
        {"limits": {"params": "many"}},
        {"limits": [1]},
        {"limits": {"params": 10**400}},
        {"preset": ["x"]},
        {"data": {}},
        {"data": {"source": {}}},
    ],
)
def test_a_hostile_configuration_is_refused_in_one_line(tmp_path, change):
    for header in (
        GOOD | {"config": GOOD["config"] | change},
        GOOD | {"config": {key: value for key, value in GOOD["config"].items() if key not in change}},
    ):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        with pytest.raises(InputError, match=r"holds a journal of no search") as refused:
            report.write_report(journal(folder, header))
        assert "\n" not in str(refused.value) and str(folder) in str(refused.value)


@pytest.mark.parametrize(
    "tell",
    [
        {"status": "rejected", "values": {}},
        {"status": "done", "values": {}},
        {"status": "done", "values": {"error": 10**400, "macs": 1, "params": 1}},
        {"status": "done", "values": {"error": "a\nb", "macs": 1, "params": 1}},
        {"status": ["done"], "values": {}},
        {"status": "done", "values": [1]},
    ],
)
def test_a_hostile_trial_is_refused_in_one_line(tmp_path, tell):
    folder = journal(tmp_path, GOOD, [])
    writing = store.Journal(folder)
    writing.append(store.ask_event(0, Candidate((1,))))
    writing.append({"tell": 0, "reason": ""} | tell)
    writing.close()
    with pytest.raises(InputError) as refused:
        report.write_report(folder)
    assert "\n" not in str(refused.value) and str(folder) in str(refused.value)


@pytest.mark.parametrize("entry", ['{"tell": 0, "seconds": "x"}', '{"elapsed": "x"}', '{"tell": [], "seconds": 1}'])
def test_hostile_times_are_passed_over(tmp_path, entry):
    folder = journal(tmp_path, GOOD)
    (folder / store.TIMES).write_text(entry + "\n")
    assert not report.write_report(folder).seconds


SPACE = {"type": "cell", "operations": ["skip_connect", "sep_conv_3x3", "max_pool_3x3"], "blocks": 2}
FACTS = {"in_channels": 3, "classes": 4, "resolution": 16}
CELLS = {"config": CONFIG | {"data": {"source": "x"}, "space": SPACE}, "facts": FACTS}


def bred(count, rungs=1):
    """Networks of the cell space, each bred from the two before, better ones later."""
    for n in range(count):
        genes = (n % 3, 0, 1, 0, 2, n % 2, n // 3 % 3, 1) * 2
        candidate = Candidate(genes, rung=min(n * rungs // count, rungs - 1), parents=tuple(range(max(0, n - 2), n)))
        yield Trial(n, candidate, "done", {"error": 0.5 - 0.01 * n, "macs": 100.0 + n, "params": 10.0 + n % 5})


def test_the_cells_of_the_front_are_in_the_page_and_the_architecture_of_every_network(tmp_path):
    study = report.write_report(journal(tmp_path, CELLS, [*bred(9)]))
    page, text = Page(tmp_path), (tmp_path / "report.html").read_text()
    space = CellSpace(**{key: value for key, value in SPACE.items() if key != "type"}, **FACTS)
    drawn = re.findall(r'<template id="cells-(\d+)">(.*?)</template>', text, re.S)
    assert {int(number) for number, _ in drawn} == {trial.number for trial in study.front}
    assert len(drawn) == len(study.front) == 9
    for number, svg in drawn:
        cells = space.describe(page.data["trials"]["genotype"][int(number)])
        assert svg == "".join(f"<div>{svg_of({name: cell})}</div>" for name, cell in cells.items())
    for genotype in page.data["trials"]["genotype"]:
        found = Architecture.from_json(page.data["architecture"] | {"genotype": genotype})
        assert found.space == space and list(found.genotype) == genotype
    assert page.data["trials"]["parents"] == [[], [0], *([n - 2, n - 1] for n in range(2, 9))]


def test_of_a_long_front_the_knee_and_the_ends_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("frugalnas.report.page.MOST_DRAWN", 3)
    study = report.write_report(journal(tmp_path, CELLS, [*bred(30)]))
    drawn = {int(n) for n in re.findall(r'<template id="cells-(\d+)">', (tmp_path / "report.html").read_text())}
    least = {min(study.front, key=lambda t: t.values[name]).number for name in OBJECTIVES}
    assert drawn >= {study.knee.number, *least} and len(drawn) < len(study.front) == 30


@pytest.mark.parametrize("change", [{"space": {"type": "tree"}}, {"space": None}, {"space": SPACE | {"blocks": 3}}])
def test_a_space_that_this_version_does_not_have_leaves_the_numbers(tmp_path, change):
    study = report.write_report(journal(tmp_path, CELLS | {"config": CELLS["config"] | change}, [*bred(4)]))
    page = Page(tmp_path)
    assert page.data["architecture"] is None and "template" not in {tag for tag, _ in page.tags}
    assert page.data["front"] == [trial.number for trial in study.front]


def test_a_genotype_of_another_space_beside_the_front_leaves_its_cells(tmp_path):
    given = [Trial(0, Candidate((9,)), "done", {"error": 0.9, "macs": 1e9, "params": 1e9}), *[*bred(3)][1:]]
    study = report.write_report(journal(tmp_path, CELLS, given))
    page = Page(tmp_path)
    assert page.data["architecture"] and [tag for tag, _ in page.tags].count("template") == len(study.front) == 2


def test_only_the_highest_rung_is_compared(tmp_path):
    given = [
        *bred(8, rungs=2),
        Trial(8, Candidate((0,) * 16, rung=1), "done", {"error": 0.1, "macs": 1.0, "params": 1.0}, "same as trial 7"),
    ]
    study = report.write_report(journal(tmp_path, CELLS, given))
    assert [trial.number for trial in study.compared] == [4, 5, 6, 7] and {t.number for t in study.front} <= {
        4,
        5,
        6,
        7,
    }
    assert Page(tmp_path).data["trials"]["rung"] == [0] * 4 + [1] * 5
    assert max(effort.growth(study).rated) == 8
    grey = re.search(r'<path d="((?:M[\d. ]+h0)*)"', (tmp_path / "front.svg").read_text())[1]
    assert grey.count("M") + len(study.front) == 4


def test_the_page_says_which_rung_is_compared_and_how_far_the_one_below_agrees(tmp_path):
    def rated(number, genotype, rung, error, reason=""):
        values = {"error": error, "macs": 1.0 + number, "params": 2.0}
        return Trial(number, Candidate((genotype, 1), rung=rung), "done", values, reason)

    below = [rated(number, number, 1, number / 10) for number in range(6)]
    above = [rated(6 + place, place, 2, error) for place, error in enumerate((0.3, 0.1, 0.2, 0.5))]
    first = rated(10, 7, 0, 0.01)

    def page(name, given):
        journal(tmp_path / name, given=given)
        report.write_report(tmp_path / name)
        return (tmp_path / name / "report.html").read_text()

    whole = page("whole", [*below, *above, first])
    assert "rated on 3 rungs, from cheap to careful (rung 0: 1, rung 1: 6, rung 2: 4)" in whole
    assert "the front and the charts are those of rung 2" in whole
    # ranks 1 2 3 4 and 3 1 2 4: 1 - 6 * (4 + 1 + 1 + 0) / (4 * 15)
    assert "<td>error of rung 1</td><td>4</td><td>0.40 (-1.00 to 1.00)</td>" in whole
    assert "order networks as the error of rung 2 does" in whole
    few = page("few", [*below, *above[:3]])
    assert "those of rung 2" in few and "order networks" not in few
    repeated = page("repeated", [*below, *above[:3], rated(9, 3, 2, 0.5, "same as trial 8")])
    assert "order networks" not in repeated
    equal = page("equal", [*below, *(rated(6 + place, place, 2, 0.5) for place in range(4))])
    assert "those of rung 2" in equal and "order networks" not in equal
    assert "rungs, from cheap" not in page("one", below)


def test_a_cheap_rating_that_is_no_error_is_compared_with_the_trained_networks_beside_their_size(tmp_path):
    """Ten are rated, five of them trained: order 1 2 3 4 5 of the errors, 1 2 3 5 4 of the ratings."""
    rng = np.random.default_rng(0)
    space = {"type": "cell", "operations": ["skip_connect", "sep_conv_3x3", "max_pool_3x3"], "blocks": 2}
    facts = {"in_channels": 3, "classes": 4, "resolution": 16}
    built = CellSpace(("skip_connect", "sep_conv_3x3", "max_pool_3x3"), 2, **facts)
    genotypes = [tuple(int(rng.integers(size)) for size in built.domains) for _ in range(10)]
    ratings = (-5.0, -4.0, -3.0, -1.0, -2.0, 0.0, 1.0, 2.0, 3.0, 4.0)
    rated = [
        Trial(n, Candidate(genes), "done", {"macs": 1.0, "params": 1.0, "rating": rating, "rating_std": 0.1 * n})
        for n, (genes, rating) in enumerate(zip(genotypes, ratings, strict=True))
    ]
    trained = [
        Trial(
            10 + n, Candidate(genotypes[n], 1), "done", {"macs": 1.0, "params": 1.0, "error": n / 10, "images": 9.0 - n}
        )
        for n in range(5)
    ]
    config = CONFIG | {"data": {"source": "x"}, "space": space}
    journal(tmp_path, {"config": config, "facts": facts}, [*rated, *trained])
    report.write_report(tmp_path)
    rows = {row[0]: row[1:] for row in Page(tmp_path).rows if len(row) == 3 and row[1] == "5"}
    assert [*rows] == ["rating of rung 0", "params", "macs"]
    assert rows["rating of rung 0"][1].startswith("0.90 (")  # 1 - 6 * 2 / (5 * 24)
    counted = [-built.count(genes).params for genes in genotypes[:5]]
    assert rows["params"][1].startswith(f"{stats.spearmanr(counted, range(5)).statistic:.2f} (")


def test_the_look_of_prescreening_is_compared_with_what_was_trained(tmp_path):
    looks = [Trial(n, Candidate((n,)), "done", {"rating": float(n), "params": 1.0}) for n in range(7)]
    trained = [
        Trial(7 + n, Candidate((n,), 1), "done", {"error": 0.1 * n, "params": 1.0, "macs": 1.0}) for n in range(1, 6)
    ]
    config = CONFIG | {"data": {"source": "x"}, "prescreen": {"candidates": 2}}
    found = effort.agreement(record.load(journal(tmp_path, {"config": config}, [*looks, *trained])))
    assert [(each.name, each.place, each.networks) for each in found] == [("rating", "a look", 5)]
    assert found[0].spearman.value == pytest.approx(1.0)


def test_the_hypervolume_grows_as_the_front_does(tmp_path):
    values = [(0.5, 10.0), (0.9, 90.0), (0.1, 50.0), (0.5, 50.0), (0.3, 30.0)]
    given = [Trial(n, Candidate((n,)), "done", {"error": a, "params": b}) for n, (a, b) in enumerate(values)]
    given.insert(1, Trial(9, Candidate((9,)), "failed", {}, "no"))
    given.insert(2, Trial(7, Candidate((7,)), "done", dict(given[0].values), "same as trial 0"))
    given.insert(3, Trial(8, Candidate((8,)), "rejected", {"params": 3e5}, "no"))
    header = {"config": CONFIG | {"objectives": ["error", "params"], "data": {"source": "x"}}}
    grown = effort.growth(record.load(journal(tmp_path, header, given)))
    assert grown.best == (0.1, 10.0) and grown.worst == (0.9, 90.0) and grown.rated == (1, 3, 4, 5, 6)
    # by hand: areas of boxes up to the worst corner, on scaled axes
    assert grown.shares == pytest.approx((0.5, 0.5, 0.75, 0.75, 0.75 + 0.0625))


def test_the_curve_of_many_trials_has_few_points_and_its_right_end(tmp_path):
    rng = np.random.default_rng(0)
    given = [
        Trial(n, Candidate((n,)), "done", dict(zip(OBJECTIVES, rng.random(3).tolist(), strict=True)))
        for n in range(1000)
    ]
    study = record.load(journal(tmp_path, GOOD, given))
    grown = effort.growth(study)
    table = np.array([[t.values[name] for name in OBJECTIVES] for t in study.trials])
    scaled = (table - table.min(0)) / np.ptp(table, axis=0)
    assert len(grown.rated) == effort.MOST_POINTS and grown.rated[-1] == 1000
    assert list(grown.shares) == sorted(grown.shares)
    for place in (0, 17, -1):
        expected = pareto.hypervolume(scaled[: grown.rated[place]], (1.0,) * 3)
        assert grown.shares[place] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("estimator", "images"),
    [
        ({"type": "train", "fidelity": {"epochs": 3, "samples": 0.5}}, 45 * 3 * 400),
        ({"type": "random_weights", "fidelity": {"epochs": 3, "samples": 1.0}, "images": 100, "draws": 2}, 45 * 200),
        ({"type": "random_weights", "fidelity": {"epochs": 3, "samples": 0.5}, "images": 0, "draws": 1}, 45 * 400),
        ({"type": "other"}, None),
        ({"type": "train"}, None),
    ],
)
def test_what_a_search_cost_is_told(tmp_path, estimator, images):
    header = {"config": GOOD["config"] | {"estimators": [estimator]}, "images": {"train": 800}}
    given = [
        *trials(),
        Trial(60, Candidate((60, 1)), "done", {"error": 0.5, "macs": 1.0, "params": 1.0}, "same as trial 3"),
    ]
    study = record.load(journal(tmp_path, header, given))
    rows = dict(effort.costs(study))
    repeats = sum(bool(trial.reason) for trial in given if trial.status == "done")
    done = sum(trial.status == "done" for trial in given)
    assert rows["networks rated"] == str(done) and done > repeats > 1
    assert rows["of these answered from the record, being rated before"] == str(repeats)
    report.write_report(tmp_path)
    assert f"<dt>networks rated</dt><dd>{done}</dd>" in (tmp_path / "report.html").read_text()
    assert rows["rejected before training"] == "6" and rows["failed"] == "6"
    assert rows["time of the workers"] == "30.5 s"
    shown = rows.get("training images shown to networks, anew in each epoch")
    assert shown == (None if images is None else f"{images * (done - repeats) // 45:,}")


def test_a_study_with_rungs_says_what_was_rated_on_which(tmp_path):
    """Values of different rungs do not compare: the front is that of the highest, however low the error below."""
    header = {"config": GOOD["config"] | {"estimators": [{"type": "train"}] * 2}, "images": {"train": 800}}
    values = [(0, 0.1, 30.0), (0, 0.2, 30.0), (1, 0.5, 20.0), (0, 0.3, 30.0), (1, 0.6, 20.0)]
    given = [
        Trial(number, Candidate((number, 1), rung), "done", {"error": e, "macs": 1.0, "params": 2.0, "images": seen})
        for number, (rung, e, seen) in enumerate(values)
    ]
    study = record.load(journal(tmp_path, header, given))
    said = report.text_of(study)
    assert said.startswith("5 networks rated (rung 0: 3, rung 1: 2), 0 rejected")
    assert "Pareto front (validation part, rung 1)" in said and [trial.number for trial in study.front] == [2]
    assert dict(effort.costs(study))["training images shown to networks, anew in each epoch"] == "130"
    assert effort.growth(study).rated == (3, 5)
    report.write_report(tmp_path)
    rows = list(csv.DictReader((tmp_path / "trials.csv").open()))
    assert [row["rung"] for row in rows] == ["0", "0", "1", "0", "1"]
    assert "training images for it" in (tmp_path / "report.html").read_text()


METRICS = {
    "format": "frugalnas/metrics",
    "version": 1,
    "params": 1234,
    "macs": 5,
    "seconds": 61.0,
    "images": 800,
    "epochs": [{"epoch": 1}, {"epoch": 2}],
    "test": {"error": 0.125, "loss": 1.0},
    "validation": None,
    "source": {"trial": 3},
}


def test_trained_networks_are_listed_with_relative_links(tmp_path):
    folder = journal(tmp_path, GOOD)
    evil = "a b\"><script>alert('1')"
    for name in ("trial-3", evil, "no page"):
        (folder / "trained" / name).mkdir(parents=True)
        (folder / "trained" / name / "metrics.json").write_text(json.dumps(METRICS))
        if name != "no page":
            (folder / "trained" / name / "model.html").touch()
    report.write_report(folder)
    page = Page(folder)
    assert page.row("3")[:6] == ["12.50 %", "", "1,234", "2", "800", "61.0 s"]
    assert [row[-1] for row in page.rows if row[0] == "3"] == [f"trained/{evil}", "trained/no page", "trained/trial-3"]
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a" and "trained" in attributes["href"]]
    assert links == [f"trained/{urllib.parse.quote(evil)}/model.html", "trained/trial-3/model.html"]


def test_the_training_of_a_fit_is_listed_from_wherever_one_stands(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "metrics.json").write_text(json.dumps(METRICS))
    folder = journal(tmp_path / "search", GOOD)
    assert record.trainings(folder) == []
    (tmp_path / "fit.json").touch()
    monkeypatch.chdir(folder)
    for name in (folder, Path()):
        assert [found.folder for found in record.trainings(name)] == ["../model"]


@pytest.mark.parametrize(
    "change",
    [
        *({key: None} for key in METRICS if key not in ("validation", "test", "macs")),
        {"version": 2},
        {"source": {"trial": EVIL}},
        {"source": {"trial": -1}},
        {"params": 1.5},
        {"images": 10**20},
        {"test": {"error": "a"}},
        {"test": {"error": 2.0}},
        {"test": EVIL},
        {"seconds": 10**400},
        {"seconds": math.inf},
        {"epochs": 3},
    ],
)
def test_metrics_of_something_else_are_passed_over(tmp_path, change):
    folder = tmp_path / "trained" / "x"
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(METRICS))
    assert len(record.trainings(tmp_path)) == 1
    (folder / "metrics.json").write_text(json.dumps(METRICS | change))
    assert record.trainings(tmp_path) == []


@pytest.mark.parametrize("text", ["", "[", "[]", "[" * 100_000, '{"format": "frugalnas/metrics"}'])
def test_files_that_are_no_metrics_are_passed_over(tmp_path, text):
    for name in ("file", "folder", "pipe"):
        (tmp_path / "trained" / name).mkdir(parents=True)
    (tmp_path / "trained" / "file" / "metrics.json").write_text(text)
    (tmp_path / "trained" / "folder" / "metrics.json").mkdir()
    os.mkfifo(tmp_path / "trained" / "pipe" / "metrics.json")
    assert record.trainings(tmp_path) == []


def test_the_picture_has_a_panel_for_each_pair_of_three_objectives(tmp_path):
    study = report.write_report(journal(tmp_path, GOOD))
    svg = xml.etree.ElementTree.fromstring((tmp_path / "front.svg").read_text())
    words = [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    titles = ("validation error", "parameters", "multiply-accumulates for one image")
    assert [words.count(title) for title in titles] == [2, 2, 2]
    assert words.count(f"knee: trial {study.knee.number}") == 3
    stairs = [path.get("d") for path in svg.iter("{http://www.w3.org/2000/svg}path") if path.get("fill") == "none"]
    pairs = [("macs", "error"), ("params", "error"), ("macs", "params")]
    fronts = [[pareto.point(t, pair) for t in pareto.front(study.trials, pair)] for pair in pairs]
    assert [path.count("V") + 1 for path in stairs] == [len(front) for front in fronts] and len(fronts[0]) > 1
    corners = [(float(a), -float(b)) for a, b in re.findall(r"[MH]([\d.]+)[ V]([\d.]+)", stairs[0])]
    assert corners == sorted(corners, key=lambda corner: (corner[0], -corner[1])) and len(corners) == len(fronts[0])


@pytest.mark.parametrize(("count", "panels"), [(1, 1), (2, 1), (3, 3), (4, 3)])
def test_only_of_three_objectives_the_others_have_a_panel_of_their_own(tmp_path, count, panels):
    names = ["error", "macs", "params", "loss"][:count]
    given = [
        Trial(n, Candidate((n,)), "done", {"error": 0.1 * n, "macs": 9.0 - n, "params": 3.0 + n % 2, "loss": 1.0})
        for n in range(4)
    ]
    report.write_report(journal(tmp_path, {"config": GOOD["config"] | {"objectives": names}}, given))
    svg = xml.etree.ElementTree.fromstring((tmp_path / "front.svg").read_text())
    assert len([group for group in svg if group.get("transform", "").startswith("translate")]) >= panels
    assert svg.get("width") == str(480 * panels)


def test_the_limit_of_an_upright_objective_is_a_line_across(tmp_path):
    report.write_report(journal(tmp_path, GOOD, [*bred(9)]))  # params <= 200 k is far above all of them
    assert 'stroke-dasharray="4 3"/><path' not in (tmp_path / "front.svg").read_text()
    near = GOOD["config"] | {"limits": {"params": 14.2}}
    report.write_report(journal(tmp_path / "near", {"config": near}, [*bred(9)]))
    text = (tmp_path / "near" / "front.svg").read_text()
    drawn = re.findall(r'<path d="([^"]+)" stroke="#5a6878" stroke-dasharray', text)
    ways = [path.lstrip("M0123456789. ")[0] for path in drawn]
    assert ways == ["-", "V", "H"], "in the legend, across in one panel, upright in another"


def test_a_single_objective_is_drawn_against_the_trials(tmp_path):
    header = {"config": CONFIG | {"objectives": ["error"], "data": {"source": "x"}}}
    report.write_report(journal(tmp_path, header, [*bred(5)]))
    assert ">trial<" in (tmp_path / "front.svg").read_text()
    assert "error as the only objective" in Page(tmp_path).words


def test_a_report_is_written_while_the_search_goes_on(tmp_path):
    writing = store.Journal.create(tmp_path, {"version": "0.1.0", "data": ""} | CELLS)
    fronts = []
    for trial in bred(6):
        writing.append(store.ask_event(trial.number, trial.candidate))
        report.write_report(tmp_path)
        writing.append(store.tell_event(trial))
        fronts.append(len(report.write_report(tmp_path).front))
    writing.close()
    assert fronts == [1, 2, 3, 4, 5, 6]


def test_picked_networks_keep_the_mark_of_the_whole_front_s_knee(tmp_path):
    study = record.load(journal(tmp_path, GOOD))
    everything, picked = report.text_of(study), report.text_of(study, 3)
    rows = [line.replace(" (knee)", "").split() for line in everything.splitlines()]
    assert len(picked.splitlines()) == len(everything.splitlines()) - len(study.front) + 3
    assert all(line.replace(" (knee)", "").split() in rows for line in picked.splitlines()[-3:])
    assert f"3 of {len(study.front)}" in picked and picked.count("(knee)") <= 1
    numbers = [entry["trial"] for entry in study.to_json(3)["front"]]
    assert numbers == [int(line.split()[0]) for line in picked.splitlines()[-3:]]
    with pytest.raises(InputError, match="k = 0: expected 1 or more"):
        study.to_json(0)


def test_the_knee_of_a_part_is_that_of_the_front():
    front = [
        Trial(n, Candidate((n,)), "done", {"error": e, "params": p})
        for n, (e, p) in enumerate([(0.1, 100.0), (0.12, 20.0), (0.9, 10.0)])
    ]
    assert "knee" not in report.front_table(front, ("error", "params"), [front[0], front[2]])


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("error", 0.1234, "12.34 %"),
        ("params", 9999.0, "9,999"),
        ("params", 231_311.0, "231.3 k"),
        ("macs", 31_490_000.0, "31.49 M"),
        ("model_bytes", 1_824_000.0, "1.824 MB"),
        ("peak_bytes", 512.0, "512 B"),
        ("loss", 1.16389, "1.164"),
        ("macs", 2.5e13, "25,000 G"),
        ("energy_uj", 9999.6, "10,000 µJ"),
        ("score", -231_311.0, "-231.3 k"),
        ("float_error", 0.1234, "12.34 %"),
        ("energy", 231_311.5, "231.3 k"),
        ("relative_energy", 0.25, "0.25"),
        ("macs", 1e300, "1.000e+300"),
        ("error", 1e300, "1.000e+300"),
    ],
)
def test_amounts_have_units(name, value, shown):
    assert report.amount(name, value) == shown


def test_the_knee_is_marked_and_is_not_the_first_of_the_front():
    front = [
        Trial(n, Candidate((n,)), "done", {"error": e, "params": p})
        for n, (e, p) in enumerate([(0.1, 100.0), (0.12, 20.0), (0.9, 10.0)])
    ]
    lines = report.front_table(front, ("error", "params")).splitlines()
    assert [line.split()[0] for line in lines if "knee" in line] == ["1"]


@pytest.mark.parametrize("name", [name for name in zoo.names() if name != "NSGANet-macro"])
def test_no_curve_of_a_drawing_passes_behind_a_card(name):
    found = zoo.load(name)
    for cell in found.space.describe(found.genotype).values():
        read = {number: [state for _, state in block] for number, block in enumerate(cell.blocks, start=2)}
        read[2 + len(cell.blocks)] = list(cell.concat)
        columns, rows = _places(read)
        assert len({(columns[state], rows[state]) for state in columns}) == len(columns)
        for state, sources in read.items():
            for source in sources:
                behind = [
                    s for s in columns if rows[s] == rows[source] and columns[source] < columns[s] < columns[state]
                ]
                assert not behind and columns[source] < columns[state]
    assert _GAP > 0 and _DOWN > 44


@pytest.mark.parametrize("name", [name for name in zoo.names() if name != "NSGANet-macro"])
def test_drawing_and_text_name_every_operation(name):
    found = zoo.load(name)
    cells = found.space.describe(found.genotype)
    operations = [op for cell in cells.values() for block in cell.blocks for op, _ in block]
    svg, text = svg_of(cells), text_of(cells)
    for operation, group in itertools.groupby(sorted(operations)):
        assert svg.count(f">{operation}</text>") == text.count(f"{operation}(") == len(list(group))


def loads():
    return [
        multiplier_map.Load("stem", "conv 3x3, 1 to 8", 56_448, "8s-0-0-0", 1.0),
        multiplier_map.Load("cells.3.blocks.0.operations.1.0", "conv 3x3, 8 to 8", 451_584, "8s-2-0-5+swap", 0.68),
        multiplier_map.Load(EVIL, EVIL, 80, EVIL, 0.1),
    ]


def test_the_map_has_a_row_for_each_layer_as_long_as_its_multiplications_filled_as_far_as_its_energy():
    text = multiplier_map.svg_of_loads(loads())
    svg = xml.etree.ElementTree.fromstring(text)
    assert EVIL not in text and "style=" not in text
    rows = [group for group in svg if group.get("class") == "load"]
    bars = [[float(bar.get("width")) for bar in row if bar.tag.endswith("rect")] for row in rows]
    assert bars[0][0] / bars[1][0] == pytest.approx(56_448 / 451_584, abs=1e-2)
    assert [spent / whole for whole, spent in bars[:2]] == pytest.approx([1.0, 0.68], abs=1e-2)
    words = [[text.text for text in row if text.tag.endswith("text")] for row in rows]
    whole = 56_448 + 451_584 + 80
    assert words[0] == ["stem", "conv 3x3, 1 to 8", "56.45 k", "8s-0-0-0 (100%)", f"{56_448 / whole:.1%}"]
    assert len(words[1][0]) == 25 and words[1][0].endswith("ocks.0.operations.1.0")
    assert words[1][3:] == ["8s-2-0-5+swap (68%)", f"{0.68 * 451_584 / whole:.1%}"]
    spent = 56_448 + 0.68 * 451_584 + 8
    assert f"{spent / whole:.1%}" in svg.get("aria-label")


def test_a_map_without_layers_is_a_drawing_all_the_same():
    xml.etree.ElementTree.fromstring(multiplier_map.svg_of_loads([]))


CGP = {"type": "cgp", "rows": 2, "cols": 4, "levels_back": 2, "multipliers": ["8s-0-0-0", "8s-2-0-5", "8s-3-3-0"]}


def evolved(tmp_path, **changes):
    """A report of random networks of the space of Cartesian genetic programming, and the space."""
    section = CGP | changes
    settings = {key: tuple(value) if isinstance(value, list) else value for key, value in section.items()}
    space = CGPSpace(**{key: value for key, value in settings.items() if key != "type"}, **FACTS)
    rng = np.random.default_rng(1)
    given = [
        Trial(
            n,
            Candidate(random_genotype(rng, space.domains)),
            "done",
            {"error": 0.1 * n, "macs": 9.0 - n, "params": 1.0},
        )
        for n in range(4)
    ]
    header = {"config": CONFIG | {"data": {"source": "x"}, "space": section}, "facts": FACTS}
    study = report.write_report(journal(tmp_path, header, given))
    return space, study, (tmp_path / "report.html").read_text()


def test_the_multipliers_of_the_front_are_drawn_below_its_cells(tmp_path):
    space, study, text = evolved(tmp_path)
    drawn = re.findall(r'<template id="cells-(\d+)">(.*?)</template>', text, re.S)
    assert [int(number) for number, _ in drawn] and len(drawn) == len(study.front) == 4
    for number, markup in drawn:
        genotype = study.trials[int(number)].candidate.genotype
        (picture,) = re.findall('<div class="map">(.*)</div>', markup, re.S)
        assert picture == multiplier_map.svg_of_loads(multiplier_map.loads_of(space, genotype))
        loads = multiplier_map.loads_of(space, genotype)
        assert [load.multiplier for load in loads[:-1]] == [name for _, name in space.assignment(genotype)]
        assert sum(load.energy for load in loads) == pytest.approx(energy(space, genotype))
        assert sum(load.multiplications for load in loads) == space.count(genotype).macs


def test_without_genes_for_multipliers_there_is_no_map(tmp_path):
    _, _, text = evolved(tmp_path, multipliers=[])
    assert "<template" in text and 'class="map"' not in text
