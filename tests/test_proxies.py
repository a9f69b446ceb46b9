"""Studies of proxies, really trained on tiny images: what they ask for, find and recommend, and what uses that."""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import inspect
import io
import itertools
import json
import re
import shutil
import statistics
import sys
from collections import defaultdict

import numpy as np
import pytest
import typer
from scipy import stats

from frugalnas import cli, config, launch, parts, proxies, record, store
from frugalnas.core import Candidate, Fidelity, InputError, Trial, rng_for
from frugalnas.objectives.count import COSTS
from frugalnas.proxies import findings as found_in
from frugalnas.strategies.every_rung import EveryRung
from frugalnas.variation import random_genotype
from test_strategies import Tuples
from tiny import OneProcess, images, run

TINY = (
    *("--set", "space.channels=4", "--set", "space.cells=3", "--set", "task.recipe.batch=20", "--seed", 1),
    *("--set", "task.recipe.flip=false", "--set", "task.recipe.crop_padding=0"),
)
LIMIT = ("--limit", "params=7000")
GRID, REFERENCE, NETWORKS = "c0,c2 x r2 x s1 x e1", "c0r0s0e2", 5
EVIL = "<script>alert('1')</script>"


@pytest.fixture(autouse=True, scope="module")
def _in_this_process():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "executor_of", OneProcess)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return images(tmp_path_factory.mktemp("data") / "corners.npz", count=200)


def studying(data, out, *more, grid=GRID, reference=REFERENCE, networks=NETWORKS):
    asked = ("--grid", grid, "--reference", reference, "--networks", networks)
    return ("proxies", "--data", data, "--out", out, *asked, *TINY, *more)


@pytest.fixture(scope="module")
def study(data, tmp_path_factory):
    """The folder of a study that was not interrupted."""
    folder = tmp_path_factory.mktemp("study") / "out"
    assert run(*studying(data, folder, *LIMIT)) == 0
    return folder


def told(folder):
    """By rung the trials that were rated: genotype to values and seconds, read from the files line by line."""
    seconds = {entry["tell"]: entry["seconds"] for entry in store.times(folder) if "tell" in entry}
    asked, rungs = {}, defaultdict(dict)
    for line in (folder / "journal.jsonl").read_text().splitlines()[1:]:
        event = json.loads(line)
        if "ask" in event:
            asked[event["ask"]] = event
        elif event["status"] == "done":
            candidate = asked[event["tell"]]
            values = event["values"] | {"seconds": seconds.get(event["tell"])}
            rungs[candidate["rung"]][tuple(candidate["genotype"])] = values
    return rungs


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestWhatIsAskedFor:
    def test_every_network_on_every_rung_one_after_the_other(self, study):
        trials = [trial for trial in record.load(study).trials if trial.status != "rejected"]
        assert [trial.candidate.rung for trial in trials] == [0, 1, 2, 3] * NETWORKS
        genotypes = [trial.candidate.genotype for trial in trials]
        assert genotypes[::4] == genotypes[1::4] == genotypes[2::4] == genotypes[3::4]
        assert len(set(genotypes)) == NETWORKS

    def test_networks_beyond_a_limit_are_neither_trained_nor_counted(self, study):
        trials = record.load(study).trials
        rejected = [trial for trial in trials if trial.status == "rejected"]
        assert rejected and all(trial.candidate.rung == 0 for trial in rejected)
        assert all(trial.values["params"] <= 7000 for trial in trials if trial.status == "done")

    def test_the_rungs_are_the_grid_the_reference_and_the_reference_again_each_with_noise_of_its_own(self, study):
        tree = record.load(study).header["config"]
        small = {"depth": None, "resolution": 4, "samples": 0.5, "epochs": 1}
        whole = {"depth": None, "resolution": 8, "samples": 1.0, "epochs": 2, "width": 4}
        expected = [small | {"width": 4}, small | {"width": 2}, whole, whole]
        assert [rung["fidelity"] for rung in tree["estimators"]] == expected
        assert len({rung["repeat"] for rung in tree["estimators"]}) == 4
        rungs = told(study)
        assert all(rungs[2][g]["loss"] != rungs[3][g]["loss"] for g in rungs[2])
        assert {(values["images"]) for values in rungs[0].values()} == {80.0}
        assert {(values["images"]) for values in rungs[3].values()} == {320.0}

    def test_a_grid_is_a_product_in_the_order_of_its_lists(self):
        names = proxies.names_in("e3,e1 x c4")
        assert names == ("c4r0s0e3", "c4r0s0e1")
        assert proxies.names_in("c0,c2 × r0,r2 x s0 x e1")[:3] == ("c0r0s0e1", "c0r2s0e1", "c2r0s0e1")

    def test_what_rounding_makes_equal_and_the_reference_itself_are_left_out(self, data):
        tree = config.resolve("eeea", "laptop", layers=[{"data": {"source": str(data)}, "space": {"channels": 5}}])
        tree = proxies.study_of(tree, 4, "c0r0s0e1", "c0,c4,c5 x r0 x e1")
        assert [rung["fidelity"]["width"] for rung in tree["estimators"]] == [1, 5, 5]

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"grid": "c0,q2 x e1"}, "'q2' is no index of c, r, s or e; expected such as"),
            ({"grid": "c0,r2 x e1"}, "expected one list for each of c, r, s and e"),
            ({"grid": "c0 x c2 x e1"}, "expected one list for each"),
            ({"grid": "c0,c2"}, "has no epochs"),
            ({"grid": ""}, "'' is no index"),
            ({"grid": "c0 x e0"}, "fidelity 'c0r0s0e0': expected an epoch or more"),
            ({"grid": "e2"}, "has only the reference c0r0s0e2"),
            ({"grid": "c9 x e1"}, "4 channels and 8 pixels become 0 and 8"),
            ({"reference": "full"}, "fidelity 'full': expected cArBsCeD"),
            ({"networks": 3}, "networks = 3: expected 4 or more"),
        ],
    )
    def test_what_cannot_be_is_refused_in_a_line(self, data, tmp_path, capsys, settings, message):
        assert run(*studying(data, tmp_path / "out", **settings)) == 2
        said = capsys.readouterr().err
        assert message in said and said.startswith("frugalnas: ") and said.count("\n") == 1
        assert not (tmp_path / "out").exists()

    def test_it_says_beforehand_what_it_takes_and_that_a_proxy_is_no_cheaper(self, data):
        tree = config.resolve("eeea", "laptop", layers=[{"data": {"source": str(data)}, "space": {"channels": 4}}])
        ahead = proxies.outlook(proxies.study_of(tree, 6, "c2r0s0e2", "c0,c4 x r0 x s0,s1 x e1"))
        assert (ahead.trainings, ahead.images) == (6 * (4 + 2), 6 * (2 * (160 + 80) + 2 * 320))
        assert ahead.text().endswith(f"36 trainings on {ahead.images:,} images")
        (note,) = ahead.notes
        assert re.match(r"the proxy c0r0s0e1 takes 1\.\d+ times the work of the reference c2r0s0e2", note)

    def test_the_help_names_the_defaults(self):
        command = typer.main.get_command(cli.app).commands["proxies"]
        shown = {parameter.name: parameter.show_default for parameter in command.params}
        defaults = inspect.signature(proxies.study_of).parameters
        for name in ("networks", "grid", "reference"):
            assert shown[name] == str(defaults[name].default)

    def test_the_note_is_on_stderr_and_the_study_begins(self, data, tmp_path, capsys):
        more = ("--minutes", 1e-6, "--json")
        assert run(*studying(data, tmp_path / "out", *more, grid="e2,e1", reference="c0r0s0e1")) == 1
        said = capsys.readouterr()
        assert "frugalnas: the proxy c0r0s0e2 takes 2 times the work of the reference c0r0s0e1" in said.err
        assert json.loads(said.out)["ended"] == "minutes"


class TestWhatIsFound:
    def test_the_table_is_what_the_journal_gives_by_hand(self, study):
        rungs, rows = told(study), list(csv.DictReader((study / "proxies.csv").open()))
        assert [row["score"] for row in rows] == ["c0r2s1e1", "c2r2s1e1", "c0r0s0e2 again", "params", "macs"]
        networks = [*rungs[2]]
        errors = [rungs[2][g]["error"] for g in networks]
        scores = [[rungs[rung][g]["error"] for g in networks] for rung in (0, 1, 3)]
        scores += [[-rungs[2][g][name] for g in networks] for name in ("params", "macs")]
        picks = np.random.default_rng(1).integers(NETWORKS, size=(2000, NETWORKS))
        assert len({*errors}) > 2 and all(len({*own}) > 1 for own in scores), "errors that order nothing test nothing"
        for row, own in zip(rows, scores, strict=True):
            assert int(row["networks"]) == NETWORKS
            for name, statistic in (("spearman", stats.spearmanr), ("kendall", stats.kendalltau)):
                assert float(row[name]) == pytest.approx(statistic(errors, own).statistic)
                if row is rows[0]:
                    drawn = [self.defined(statistic, np.array(errors)[p], np.array(own)[p]) for p in picks]
                    ends = (float(row[f"{name}_low"]), float(row[f"{name}_high"]))
                    assert ends == pytest.approx(tuple(np.quantile(drawn, (0.025, 0.975))))

    @staticmethod
    def defined(statistic, x, y):
        return statistic(x, y).statistic if len({*x}) > 1 and len({*y}) > 1 else 0.0

    def test_costs_are_those_of_the_trainings(self, study):
        rungs, rows = told(study), list(csv.DictReader((study / "proxies.csv").open()))
        space = parts.space_of(record.load(study).header["config"])
        sizes = [Fidelity(width=4, resolution=4), Fidelity(width=2, resolution=4), Fidelity(), Fidelity()]
        macs = [np.mean([space.at(size).count(g).macs for g in rungs[2]]) for size in sizes]
        seconds = [statistics.median(values["seconds"] for values in rungs[rung].values()) for rung in range(4)]
        for row, rung in zip(rows, (0, 1, 3), strict=False):
            assert float(row["error"]) == statistics.median(values["error"] for values in rungs[rung].values())
        for row, rung, shown in zip(rows, (0, 1, 3), (80, 80, 320), strict=False):
            cost = [float(row[name]) for name in ("images", "macs", "work", "seconds")]
            assert cost == pytest.approx([shown, macs[rung], macs[rung] * shown, seconds[rung]])
            shares = [float(row[f"relative_{name}"]) for name in ("images", "macs", "work", "seconds")]
            ratio = macs[rung] / macs[2]
            assert shares == pytest.approx([shown / 320, ratio, ratio * shown / 320, seconds[rung] / seconds[2]])
        assert all(rows[place]["images"] == "" for place in (3, 4))

    def test_page_terminal_and_json_have_the_numbers_of_the_table(self, study, capsys):
        rows = list(csv.DictReader((study / "proxies.csv").open()))
        text = html.unescape(re.sub(r"<[^>]*>", "\n", (study / "proxies.html").read_text()))
        assert run("report", study) == 0
        printed = capsys.readouterr().out
        assert run("report", study, "--json") == 0
        said = json.loads(capsys.readouterr().out)
        for row, entry in zip(rows, said["proxies"] + said["beside"], strict=True):
            rho, tau = (
                "{:.2f} ({:.2f} to {:.2f})".format(*(float(row[f"{name}{end}"]) for end in ("", "_low", "_high")))
                for name in ("spearman", "kendall")
            )
            (line,) = (line for line in printed.splitlines() if line.startswith(row["score"] + "  "))
            assert f"{row['score']}\n{rho}\n{tau}\n" in re.sub(r"\n+", "\n", text)
            assert rho in line and tau in line
            assert (entry["name"], entry["spearman"]["value"]) == (row["score"], float(row["spearman"]))
            if row["seconds"]:
                assert f"  {float(row['error']):.1%}  " in line
                assert f"{1 / float(row['relative_seconds']):.1f}x" in line
        assert (said["networks"], said["asked"], said["reference"]) == (NETWORKS, NETWORKS, REFERENCE)

    def test_the_page_stands_alone_without_scripts(self, study):
        page = (study / "proxies.html").read_text()
        assert not re.search(r"<script|<img|<link|\ssrc=|\sstyle=|\son\w+=", page)
        style = re.search(r"<style>(.*?)</style>", page, re.S)[1]
        checksum = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert f"content=\"default-src 'none'; style-src 'sha256-{checksum}'; base-uri 'none'" in page
        assert page.count("<circle") >= NETWORKS * 3


class TestInterruptions:
    @staticmethod
    def stopped(monkeypatch, trainings, *arguments):
        """The exit code of a command that is interrupted after so many trainings."""
        submit, left = OneProcess.submit, iter(range(trainings))

        def interrupted(self, *task):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return submit(self, *task)

        with monkeypatch.context() as patch:
            patch.setattr(OneProcess, "submit", interrupted)
            return run(*arguments)

    def test_ctrl_c_says_how_to_go_on_and_the_journal_ends_the_same(self, data, study, tmp_path, capsys, monkeypatch):
        folder = tmp_path / "out"
        assert self.stopped(monkeypatch, 2, *studying(data, folder, *LIMIT)) == 130
        assert f"go on with: frugalnas resume {folder}" in capsys.readouterr().err
        assert "Nothing can be said before 4 networks" in (folder / "proxies.html").read_text()
        assert json.loads((folder / "ladder.json").read_text())["fidelities"] == [REFERENCE]
        assert self.stopped(monkeypatch, 14, "resume", folder) == 130
        assert "4 of 5" in (folder / "proxies.html").read_text()
        assert run("resume", folder) == 0
        assert (folder / "journal.jsonl").read_bytes() == (study / "journal.jsonl").read_bytes()
        assert "5 of 5 networks trained with the reference" in capsys.readouterr().out

    def test_what_a_kill_leaves_is_gone_on_with_and_a_terminal_sees_how_far(self, study, tmp_path, monkeypatch):
        folder = shutil.copytree(study, tmp_path / "out")
        whole = (study / "journal.jsonl").read_bytes()
        (folder / "journal.jsonl").write_bytes(whole[: int(0.7 * len(whole))])
        screen = Terminal()
        with monkeypatch.context() as patch:
            patch.setenv("TERM", "xterm")
            patch.setattr(sys, "stderr", screen)
            assert run("resume", folder) == 0
        assert "20 of 20 trainings" in screen.getvalue()
        assert (folder / "journal.jsonl").read_bytes() == whole
        before, after = (list(csv.reader((place / "proxies.csv").open())) for place in (study, folder))
        assert [row[:13] for row in after] == [row[:13] for row in before]  # what follows has seconds in it

    def test_a_budget_ends_it_with_what_is_there(self, study, tmp_path, capsys):
        folder = shutil.copytree(study, tmp_path / "out")
        whole = (study / "journal.jsonl").read_bytes()
        (folder / "journal.jsonl").write_bytes(whole[: int(0.7 * len(whole))])
        assert run("resume", folder, "--trials", 16) == 0
        said = capsys.readouterr().out
        assert "4 of 5 networks trained with the reference" in said and "Stopped before its end" in said
        assert json.loads((folder / "ladder.json").read_text())["networks"] == 4


def journal(folder, data, error, *, networks=12, seconds=None, grid="c0,c2 x r0,r2 x e1", reference="c0r0s0e4", **more):
    """A study whose errors are `error(network, rung)`: None is a training that failed; `seconds(rung)` of each."""
    layer = {"data": {"source": str(data)}, "space": {"channels": 4, "cells": 3}, "limits": {"params": 1e9}}
    tree = proxies.study_of(config.resolve("eeea", "laptop", layers=[layer, *more.values()]), networks, reference, grid)
    facts = {"in_channels": 1, "classes": 4, "resolution": 8}
    header = {"version": launch.__version__, "config": config.placed(tree), "facts": facts, "images": {"train": 80}}
    space, rng = parts.space_of(tree), np.random.default_rng(3)
    writing, number = store.Journal.create(folder, header | {"data": ""}), 0
    for network in range(networks):
        genotype = random_genotype(rng, space.domains)
        for rung, estimator in enumerate(tree["estimators"]):
            value, shown = error(network, rung), 80.0 * estimator["fidelity"]["epochs"]
            costs = {name: COSTS[name](space, genotype) for name in ("macs", "params")}
            done = Trial(number, Candidate(genotype, rung), "done", {"error": value or 0.0, "images": shown} | costs)
            failed = Trial(number, Candidate(genotype, rung), "failed", {}, EVIL)
            writing.append(store.ask_event(number, done.candidate))
            writing.append(store.tell_event(failed if value is None else done))
            if seconds and (network, rung) != (4, 1):  # a kill between a result and its time
                writing.time(number, seconds(rung) * (20 if network == 0 else 1))  # a worker that starts is slow
            number += 1
    writing.close()
    return folder


def errors(*noise, again=0.001):
    """Errors of networks that differ by 1 %, with so much noise on each rung; little in the reference."""
    drawn = np.random.default_rng(0).normal(size=(100, 100))
    return lambda network, rung: 0.3 + 0.01 * network + ((*noise, 0.0, again)[rung]) * drawn[network, rung]


class TestTheLadder:
    def test_the_front_has_what_nothing_beats_in_both(self, data, tmp_path):
        """Costs 1, 2, 3 and 4 of 16; the third is worse than the second and dearer, the fourth the best."""
        noise, costs = (0.03, 0.01, 0.05, 0.0), (1, 2, 3, 4, 16, 16)
        found = proxies.write_findings(journal(tmp_path / "a", data, errors(*noise), seconds=lambda rung: costs[rung]))
        assert found.unit == "seconds"
        assert [found.price(rating) for rating in found.rated] == [1 / 16, 2 / 16, 3 / 16, 4 / 16]
        rho = [rating.spearman.value for rating in found.rated]
        assert rho[2] < rho[0] < rho[1] < rho[3] == 1.0
        names = ["c0r0s0e1", "c0r2s0e1", "c2r0s0e1", "c2r2s0e1"]
        assert [rating.name for rating in found.rated] == names
        assert [rating.name for rating in found.front] == [names[0], names[1], names[3]]

    def test_without_times_costs_are_multiply_accumulates_times_images(self, data, tmp_path):
        found = proxies.write_findings(journal(tmp_path / "a", data, errors(0.01, 0.01, 0.01, 0.01)))
        assert found.unit == "work" and [found.price(r) for r in found.rated] == [r.relative.work for r in found.rated]
        assert "MACs x images" in proxies.text_of(found) and found.rated[0].cost.seconds is None

    def test_it_climbs_from_the_cheapest_reliable_proxy_by_at_least_a_factor(self, data, tmp_path):
        noise, costs = (0.05, 0.015, 0.008, 0.0), (1, 2, 3, 4, 16, 16)
        found = proxies.write_findings(journal(tmp_path / "a", data, errors(*noise), seconds=lambda rung: costs[rung]))
        lows = [rating.spearman.low for rating in found.rated]
        assert lows[0] < found_in.LEAST_BOUND < min(lows[1:]) and len(found.front) == 4
        assert [rating.name for rating in found.reliable] == ["c0r2s0e1", "c2r0s0e1", "c2r2s0e1"]
        assert found.ladder == ("c0r2s0e1", "c2r2s0e1")  # of 3 times the cost is none, 4 is twice 2
        content = json.loads((tmp_path / "a" / "ladder.json").read_text())
        assert content["fidelities"] == [*found.ladder] and content["reliable"] is True

    def test_it_has_three_rungs_at_most(self, data, tmp_path):
        noise, costs = (0.015, 0.01, 0.006, 0.0), (1, 2, 4, 8, 16, 16)
        found = proxies.write_findings(journal(tmp_path / "a", data, errors(*noise), seconds=lambda rung: costs[rung]))
        assert len(found.reliable) == 4 and found.ladder == ("c0r0s0e1", "c0r2s0e1", "c2r0s0e1")

    def test_without_a_reliable_proxy_it_is_the_reference(self, data, tmp_path):
        found = proxies.write_findings(journal(tmp_path / "a", data, errors(0.9, 0.9, 0.9, 0.9)))
        assert found.reliable == () and found.ladder == ("c0r0s0e4",)
        assert "No proxy is reliable" in proxies.text_of(found)
        assert json.loads((tmp_path / "a" / "ladder.json").read_text())["reliable"] is False

    def test_a_reference_that_disagrees_with_itself_is_called_so(self, data, tmp_path):
        for name, noise, doubted in (("good", 0.001, False), ("bad", 0.9, True)):
            given = errors(0.01, 0.01, 0.01, 0.01, again=noise)
            found = proxies.write_findings(journal(tmp_path / name, data, given))
            assert ("The reference agrees with itself by" in proxies.text_of(found)) == doubted
            assert ("The reference agrees with itself by" in (tmp_path / name / "proxies.html").read_text()) == doubted

    def test_names_in_the_chart_do_not_lie_on_each_other(self, data, tmp_path):
        """Proxies that cost and tell nearly the same."""
        costs = (1, 1.01, 1.02, 1.03, 16, 16)
        given = errors(0.02, 0.015, 0.01, 0.0)
        found = proxies.write_findings(journal(tmp_path / "a", data, given, seconds=lambda rung: costs[rung]))
        page = (tmp_path / "a" / "proxies.html").read_text()
        places = [(float(x), float(y)) for x, y in re.findall(r'class="named" x="([\d.]+)" y="(-?[\d.]+)"', page)]
        assert len(places) == len(found.front) > 2
        for (x, y), (left, base) in itertools.combinations(places, 2):
            assert abs(x - left) >= 60 or abs(y - base) >= 12

    @pytest.mark.parametrize("sign", [1, -1], ids=["larger is better", "smaller is better"])
    def test_a_proxy_that_orders_no_better_than_counting_is_not_reliable(self, data, tmp_path, sign):
        folder = journal(tmp_path / "a", data, errors(0.0, 0.0, 0.0, 0.0), networks=12)
        space = parts.space_of(record.load(folder).header["config"])
        genotypes = [t.candidate.genotype for t in record.load(folder).trials if t.candidate.rung == 0]
        larger = np.argsort(np.argsort([-sign * space.count(g).params for g in genotypes]))

        def by_size(network, rung):
            if rung >= 4:  # the reference orders by size alone
                return 0.3 + 0.01 * float(larger[network])
            return 0.3 + 0.01 * float(larger[network]) + 0.015 * (network == 3)

        found = proxies.write_findings(journal(tmp_path / "b", data, by_size))
        assert all(0.9 < rating.spearman.value < 1 and rating.spearman.low > 0.5 for rating in found.rated)
        assert max(sign * rating.spearman.value for rating in found.beside[1:]) == pytest.approx(1.0)
        assert found.reliable == ()

    def test_trainings_that_failed_are_left_out_of_their_proxy_only(self, data, tmp_path):
        def failing(network, rung):
            gone = (rung == 0 and network < 3) or (rung == 1 and network > 2) or (rung == 4 and network == 11)
            return None if gone else errors(0.0, 0.0, 0.0, 0.0)(network, rung)

        found = proxies.write_findings(journal(tmp_path / "a", data, failing))
        assert {rating.name: len(rating.pairs) for rating in found.rated} == {
            "c0r0s0e1": 8,
            "c2r0s0e1": 11,
            "c2r2s0e1": 11,
        }
        assert found.networks == 11
        page = (tmp_path / "a" / "proxies.html").read_text()
        assert EVIL not in page

    def test_a_name_that_is_markup_stays_text(self, data, tmp_path):
        evil = shutil.copy(data, tmp_path / "<b>evil<b>.npz")
        folder = journal(tmp_path / "a<i>", evil, errors(0.0, 0.0, 0.0, 0.0), layer={"data": {"source": str(evil)}})
        proxies.write_findings(folder)
        page = (folder / "proxies.html").read_text()
        assert "<b>" not in page and "<i>" not in page and "&lt;b&gt;evil" in page

    def test_other_folders_are_refused(self, tmp_path, data):
        with pytest.raises(InputError, match="holds no study"):
            proxies.findings_in(tmp_path)
        folder = journal(tmp_path / "a", data, errors(0.0, 0.0, 0.0, 0.0))
        lines = (folder / "journal.jsonl").read_text().splitlines()
        header = json.loads(lines[0])
        header["config"]["method"] = "eeea"
        del header["sum"], header["format"]
        store.Journal.create(tmp_path / "b", header).close()
        with pytest.raises(InputError, match="holds a search by 'eeea', no study of proxies"):
            proxies.findings_in(tmp_path / "b")


def tree_for(method, data, **space):
    layer = {"data": {"source": str(data)}, "space": {"channels": 4, "cells": 3} | space}
    return config.resolve(method, "laptop", layers=[layer])


class TestSearchWithALadder:
    def test_neighbours_that_differ_in_epochs_only_are_one_training(self, data):
        tree = proxies.with_ladder(tree_for("econas", data), "c2r2s1e1, c2r2s1e3,c0r0s0e2")
        whole = {"depth": None, "resolution": 4, "samples": 0.5, "width": 2, "epochs": 3}
        assert [rung["fidelity"] for rung in tree["estimators"][:2]] == [whole, whole]
        assert [rung["stop"] for rung in tree["estimators"]] == [1, None, None]
        assert tree["estimators"][2]["fidelity"] == whole | {"resolution": 8, "samples": 1.0, "width": 4, "epochs": 2}
        assert [rung.start for rung in parts.problem_of(tree).estimators] == [0, 1, 0]

    def test_a_strategy_loses_the_rungs_that_the_ladder_lacks(self, data):
        before = tree_for("econas", data)["strategy"]
        first, second, third = before["children"]
        for ladder, promotions, children in (
            ("c2r2s1e1,c0r0s0e1", [before["promotions"][0]], [first, second + third]),
            ("c2r2s1e1", [], [first + second + third]),
        ):
            tree = proxies.with_ladder(tree_for("econas", data), ladder)
            assert (tree["strategy"]["promotions"], tree["strategy"]["children"]) == (promotions, children)
            parts.strategy_of(tree, parts.problem_of(tree))

    @pytest.mark.parametrize(
        ("method", "ladder", "message"),
        [
            ("eeea", "c2r2s1e1,c0r0s0e1", "has 2 fidelities, and method 'eeea' rates every network by one: .*: econas"),
            ("econas", "c4r2s1e1,c2r2s1e1,c1r1s0e1,c0r0s0e1", "has 4 fidelities, and method 'econas' 3 rungs"),
            ("econas", "c2r2s1e3,c2r2s1e1", "c2r2s1e1 after c2r2s1e3: expected more epochs"),
            ("eeea", "c2r2", "fidelity 'c2r2': expected cArBsCeD"),
            ("eeea", "", "fidelity '': expected"),
            ("eeea", "no/folder", "--ladder: fidelity 'no/folder': .* or else the folder of a study"),
            ("eeea", ".", "--ladder [.]: there is no ladder.json in it, which a study by 'frugalnas proxies' writes"),
            ("relativenas", "c2r2s1e1", "'relativenas' share weights, none is trained alone"),
        ],
    )
    def test_a_ladder_that_the_method_has_no_use_for_is_refused(self, data, method, ladder, message):
        with pytest.raises(InputError, match=message):
            proxies.with_ladder(tree_for(method, data), ladder)

    def test_a_folder_gives_the_ladder_that_is_in_it_and_says_that_the_space_is_another(self, study, data, caplog):
        names = json.loads((study / "ladder.json").read_text())["fidelities"]
        tree = tree_for("eeea", data)
        for place in (study, study / "ladder.json"):
            if len(names) == 1:
                assert proxies.with_ladder(tree, str(place)) == proxies.with_ladder(tree, names[0])
        assert not caplog.records
        proxies.with_ladder(tree_for("eeea", data, cells=4), str(study))
        assert "is of a study on another space" in caplog.text

    @pytest.mark.parametrize(
        "content", ["", "{}", "[]", '{"format": "frugalnas/ladder", "version": 1, "fidelities": [3], "space": {}}']
    )
    def test_another_file_is_refused(self, data, tmp_path, content):
        (tmp_path / "ladder.json").write_text(content)
        with pytest.raises(InputError, match="holds no ladder of a study of proxies"):
            proxies.with_ladder(tree_for("eeea", data), str(tmp_path))
        with pytest.raises(InputError, match="there is no ladder.json in it"):
            (tmp_path / "empty").mkdir()
            proxies.with_ladder(tree_for("eeea", data), str(tmp_path / "empty"))

    def test_econas_climbs_the_ladder_of_a_study(self, data, tmp_path):
        """The recommended ladder of two rungs, which are one training: the second trains its own epoch only."""
        costs = (1, 2, 8, 8)
        study = journal(
            *(tmp_path / "a", data, errors(0.015, 0.006)),
            seconds=lambda rung: costs[rung],
            grid="c2 x r2 x s1 x e1,e2",
            reference="c0r0s0e4",
        )
        assert proxies.write_findings(study).ladder == ("c2r2s1e1", "c2r2s1e2")
        folder = tmp_path / "out"
        given = ("--method", "econas", "--ladder", study, "--set", "strategy.population=4")
        small = ("--set", "strategy.promotions=[2]", "--set", "strategy.children=[1,1]")
        assert run("search", "--data", data, "--out", folder, *given, *small, *TINY, "--trials", 9) == 0
        done = [trial for trial in record.load(folder).trials if trial.status == "done"]
        assert {trial.candidate.rung for trial in done} == {0, 1}
        assert all(trial.values["images"] == 80.0 for trial in done)
        first = {trial.candidate.genotype for trial in done if trial.candidate.rung == 0}
        assert all(trial.candidate.genotype in first for trial in done)

    def test_a_method_of_one_rung_searches_with_one_fidelity(self, data, tmp_path, capsys):
        given = ("--data", data, "--out", tmp_path / "out", *TINY, "--trials", 2, "--set", "strategy.population=2")
        assert run("search", *given, "--ladder", "c2r2s1e1,c0r0s0e2") == 2
        assert "give one of them, or a method that uses rungs: econas" in capsys.readouterr().err
        assert run("search", *given, "--ladder", "c2r2s1e1") == 0
        (estimator,) = record.load(tmp_path / "out").header["config"]["estimators"]
        assert estimator["fidelity"] == {"depth": None, "resolution": 4, "samples": 0.5, "width": 2, "epochs": 1}


class TestEveryRung:
    def asked(self, strategy, rejected=(), late=()):
        """Asks until it ends; networks are rejected by their number, some only once all their rungs were asked."""
        genotypes, candidates, waiting = [], [], []
        while (candidate := strategy.ask(rng_for(0, len(candidates)))) is not None:
            if candidate.rung == 0:
                genotypes.append(candidate.genotype)
            number, trial = len(genotypes) - 1, None
            candidates.append((number, candidate.rung))
            if number in (*rejected, *late):
                trial = Trial(len(candidates), candidate, "rejected", {"params": 1.0}, "params")
            if trial and number in rejected:
                strategy.tell(trial)
            elif trial:
                waiting.append(trial)
            if candidate.rung == strategy.rungs - 1:
                while waiting:
                    strategy.tell(waiting.pop(0))
        return candidates

    def test_ends_after_its_networks(self):
        assert self.asked(EveryRung(Tuples(), 2, 3)) == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]

    def test_a_rejected_network_is_replaced_whenever_that_is_known(self):
        strategy = EveryRung(Tuples(), 2, 2)
        assert self.asked(strategy, rejected=(0,), late=(1,)) == [
            (0, 0),
            (1, 0),
            (1, 1),
            (2, 0),
            (2, 1),
            (3, 0),
            (3, 1),
        ]
        assert strategy.ask(rng_for(0, 99)) is None

    def test_an_architecture_comes_once_while_there_are_new_ones(self):
        strategy = EveryRung(Tuples((5,)), 1, 5)
        assert {strategy.ask(rng_for(0, number)).genotype for number in range(5)} == {(n,) for n in range(5)}

    @pytest.mark.parametrize("settings", [{"rungs": 0}, {"networks": 0}, {"redraws": -1}])
    def test_refuses_wrong_settings(self, settings):
        with pytest.raises(InputError, match="expected"):
            EveryRung(Tuples(), **settings)
