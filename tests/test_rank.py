"""Studies of ratings, really rated on tiny images: tables and searches as truth, what is found, and what is refused."""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import json
import re
import shutil

import numpy as np
import pytest
from scipy import stats

from frugalnas import launch, rank, record, store
from frugalnas.core import Candidate, InputError, Trial
from frugalnas.estimators import ESTIMATORS
from frugalnas.estimators.random_weights import RandomWeights
from frugalnas.rank.rungs import Rung, entries, placed
from frugalnas.spaces.nasbench201 import NasBench201
from frugalnas.strategies.every_rung import EveryRung
from table import rows as table_rows
from table import written
from test_strategies import Tuples
from tiny import OneProcess, images, run

COUNT = 8
SPACE = ("--set", "space.channels=2", "--set", "space.cells=1", "--set", "task.recipe.batch=8")
TINY = (*SPACE, "--seed", 1)
ESTIMATED = "random_weights,train:c0r0s0e2"
WEIGHTS = Rung("random_weights", RandomWeights(draws=2).values).scores
NAMES = [*WEIGHTS.values(), "train:c0r0s0e2:error", "train:c0r0s0e2:loss"]
EVIL = "<script>alert('1')</script>"


@pytest.fixture(autouse=True, scope="module")
def _in_this_process():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "executor_of", OneProcess)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return images(tmp_path_factory.mktemp("data") / "corners.npz", count=80)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return written(tmp_path_factory.mktemp("table") / "small.csv", 40)


def ranking(table, data, out, *more, estimators=ESTIMATED, count=COUNT):
    asked = ("--table", table, "--estimators", estimators, "--count", count)
    draws = ("--set", "estimators.random_weights.draws=2") if "random_weights" in estimators.split(",") else ()
    return ("rank", *asked, "--images", data, "--out", out, *TINY, *draws, *more)


@pytest.fixture(scope="module")
def study(table, data, tmp_path_factory):
    """The folder of a study that was not interrupted."""
    folder = tmp_path_factory.mktemp("study") / "out"
    assert run(*ranking(table, data, folder)) == 0
    return folder


def told(folder):
    """The values of each network by rung, read from the journal line by line."""
    asked, rungs = {}, {}
    for line in (folder / "journal.jsonl").read_text().splitlines()[1:]:
        event = json.loads(line)
        if "ask" in event:
            asked[event["ask"]] = event
        else:
            candidate = asked[event["tell"]]
            rungs.setdefault(candidate["rung"], {})[tuple(candidate["genotype"])] = event["values"]
    return rungs


def table_of(folder):
    return {row["score"]: row for row in csv.DictReader((folder / "rank.csv").open())}


class TestWhatIsAskedFor:
    def test_the_networks_are_rows_of_the_table_each_rated_by_every_estimator(self, study):
        trials, known = record.load(study).trials, table_rows(40)
        assert [trial.candidate.rung for trial in trials] == [0, 1] * COUNT
        genotypes = [trial.candidate.genotype for trial in trials][::2]
        assert len({*genotypes}) == COUNT and {*genotypes} < {*known}
        assert {trial.status for trial in trials} == {"done"}
        note = record.load(study).header["rank"]
        assert note["errors"] == [pytest.approx(1 - known[genotype][1] / 100) for genotype in genotypes]

    def test_settings_reach_the_estimator_that_they_name_and_the_space(self, study):
        tree = record.load(study).header["config"]
        weights, train = tree["estimators"]
        assert (weights["type"], weights["draws"], train["type"]) == ("random_weights", 2, "train")
        assert train["fidelity"] == {"depth": None, "epochs": 2, "resolution": 8, "samples": 1.0, "width": 2}
        assert (tree["space"]["type"], tree["space"]["cells"]) == ("nasbench201", 1)
        assert tree["objectives"] == ["params", "macs"] and tree["limits"] == {}

    def test_fewer_networks_are_the_first_of_more_and_another_seed_takes_others(self, table):
        truth = rank.from_table(str(table))
        assert truth.drawn(5, 3) == truth.drawn(20, 3)[:5] != truth.drawn(5, 4)
        assert sorted(truth.drawn(None, 0)) == sorted(table_rows(40))

    def test_another_column_is_another_truth(self, table):
        truth = rank.from_table(str(table), "c10_val_12")
        assert all(error == pytest.approx(1.1 - table_rows(40)[g][0] / 100) for g, error in truth.errors.items())

    def test_a_file_has_estimators_with_labels_and_full_settings(self, table, data, tmp_path):
        file = tmp_path / "rank.toml"
        file.write_text(
            '[space]\ncells = 2\n[[estimators]]\ntype = "random_weights"\nlabel = "few"\nimages = 20\n'
            '[[estimators]]\ntype = "random_weights"\nlabel = "all"\nimages = 0\n'
        )
        layers = [{"estimators": {"few": {"draws": 3}}}, {"data": {"source": str(data)}}]
        tree, note = rank.study_of(rank.from_table(str(table)), "train", 5, file, layers)
        assert [(e["type"], e.get("draws"), e.get("images")) for e in tree["estimators"]] == [
            ("random_weights", 3, 20),
            ("random_weights", 1, 0),
            ("train", None, None),
        ]
        assert [label for label, _ in note["rank"]["rungs"]] == ["few", "all", "train"]
        assert tree["space"]["cells"] == 2

    def test_a_type_names_all_of_it_and_a_label_one(self):
        found = {"a": {"type": "train"}, "b": {"type": "train"}}
        assert placed({"train": {"stop": 1}}, found) == {"0": {"stop": 1}, "1": {"stop": 1}}
        assert placed({"b": {"stop": 1}}, found) == {"1": {"stop": 1}}

    def test_a_score_is_called_by_its_estimator_and_value_where_that_has_several(self):
        assert Rung("auto", ("rating",)).scores == {"rating": "auto"}
        assert Rung("w", ("error", "error_std", "error_ci", "images")).scores == {"error": "w"}
        assert Rung("w", ("error", "logdet")).scores == {"error": "w:error", "logdet": "w:logdet"}
        assert Rung("zero_cost", ("naswot",)).scores == {"naswot": "naswot"}

    def test_baselines_are_always_there_and_no_estimators(self):
        assert entries("params, train ,macs", (), lambda: (16, 32)) == {"train": {"type": "train"}}

    @pytest.mark.skipif("zero_cost" not in ESTIMATORS, reason="this version has no zero-cost scores")
    def test_zero_cost_scores_are_one_estimator(self):
        found = entries("naswot,random_weights,snip,naswot", (), lambda: (16, 32))
        assert found == {
            "random_weights": {"type": "random_weights"},
            "zero_cost": {"type": "zero_cost", "scores": ["naswot", "snip"]},
        }


class TestWhatIsFound:
    def test_the_table_is_what_the_journal_gives_by_hand(self, study):
        rungs, rows = told(study), table_of(study)
        assert sorted([*rows][:-2]) == sorted(NAMES) and [*rows][-2:] == ["params", "macs"]
        rho = [float(row["spearman"]) for row in rows.values()][:-2]
        assert rho == sorted(rho, reverse=True)
        networks, space = [*rungs[0]], NasBench201(channels=2, cells=1, in_channels=1, classes=4, resolution=8)
        truth = np.array([1 - table_rows(40)[g][1] / 100 for g in networks])
        macs = np.array([space.count(g).macs for g in networks])
        scores = {
            **{name: [rungs[0][g][value] for g in networks] for value, name in WEIGHTS.items()},
            "train:c0r0s0e2:error": [rungs[1][g]["error"] for g in networks],
            "train:c0r0s0e2:loss": [rungs[1][g]["loss"] for g in networks],
            "params": [-space.count(g).params for g in networks],
            "macs": list(-macs),
        }
        ordering = [name for name, own in scores.items() if len({*own}) > 1]
        assert {WEIGHTS["error"], *NAMES[-2:]} <= {*ordering}, "scores that order nothing test nothing"
        for name, own in scores.items():
            row = rows[name]
            rho, tau = stats.spearmanr(truth, own).statistic, stats.kendalltau(truth, own).statistic
            assert float(row["spearman"]) == pytest.approx(rho if name in ordering else 0.0)
            assert float(row["kendall"]) == pytest.approx(tau if name in ordering else 0.0)
            assert float(row["spearman_low"]) <= float(row["spearman"]) <= float(row["spearman_high"])
            assert float(row["chosen"]) == pytest.approx(truth[np.array(own) == min(own)].mean())
            assert (int(row["networks"]), int(row["failed"])) == (COUNT, 0)
            assert float(row["best"]) == pytest.approx(truth.min())
            ties = np.flatnonzero(np.array(own) == min(own))  # of COUNT networks one is among the best tenth
            assert float(row["overlap"]) == pytest.approx((truth.argmin() in ties) / len(ties))
        residuals = [self.residual(stats.rankdata(own), macs) for own in (truth, scores[WEIGHTS["error"]])]
        expected = stats.pearsonr(*residuals).statistic
        assert float(rows[WEIGHTS["error"]]["partial"]) == pytest.approx(expected)
        assert rows["macs"]["partial"] == rows["macs"]["seconds"] == ""
        assert {row["together"] for name, row in rows.items() if "train" in name} == {"2"}
        assert {row["together"] for name, row in rows.items() if "weights" in name} == {str(len(WEIGHTS))}

    @staticmethod
    def residual(ranks, given):
        """What a straight line through the ranks of `given` leaves."""
        known = np.stack([stats.rankdata(given), np.ones(len(given))], axis=1)
        return ranks - known @ np.linalg.lstsq(known, ranks, rcond=None)[0]

    def test_every_network_has_its_row(self, study):
        rungs, rows = told(study), list(csv.DictReader((study / "networks.csv").open()))
        assert [row["genotype"] for row in rows] == [" ".join(map(str, genotype)) for genotype in rungs[0]]
        for row, (genotype, values) in zip(rows, rungs[0].items(), strict=True):
            assert float(row[WEIGHTS["error"]]) == values["error"]
            assert float(row["train:c0r0s0e2:loss"]) == rungs[1][genotype]["loss"]
            assert float(row["params"]) == values["params"] > 0
            assert float(row["test_error"]) == pytest.approx(1 - table_rows(40)[genotype][1] / 100)

    def test_page_terminal_and_json_have_the_numbers_of_the_table(self, study, capsys):
        text = html.unescape(re.sub(r"<[^>]*>", "\n", (study / "rank.html").read_text()))
        assert run("report", study) == 0
        printed = capsys.readouterr().out
        assert run("report", study, "--json") == 0
        said = json.loads(capsys.readouterr().out)
        for (name, row), entry in zip(table_of(study).items(), said["rated"] + said["beside"], strict=True):
            rho = "{:.2f} ({:.2f} to {:.2f})".format(*(float(row[f"spearman{end}"]) for end in ("", "_low", "_high")))
            (line,) = (line for line in printed.splitlines() if line.startswith(name + "  "))
            assert rho in line and f"{float(row['chosen']):.2%}".replace("%", " %") in line
            assert f"{name}\n{rho}\n" in re.sub(r"\n+", "\n", text)
            assert (entry["name"], entry["spearman"]["value"]) == (name, float(row["spearman"]))
        assert (said["networks"], said["asked"], said["truth"]) == (COUNT, COUNT, "test_error")
        assert f"{said['best']:.2%}".replace("%", " %") in printed

    def test_the_page_stands_alone_without_scripts(self, study):
        page = (study / "rank.html").read_text()
        assert not re.search(r"<script|<img|<link|\ssrc=|\sstyle=|\son\w+=", page)
        style = re.search(r"<style>(.*?)</style>", page, re.S)[1]
        checksum = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert f"content=\"default-src 'none'; style-src 'sha256-{checksum}'; base-uri 'none'" in page
        cloud = re.findall(r'<g class="cloud">(.*?)</g>', page)
        assert len(cloud) == len(NAMES) + 2 and max(part.count("<circle") for part in cloud) == COUNT

    def test_a_network_that_cannot_be_rated_counts_as_the_worst_and_in_a_column(self, table, data, tmp_path, capsys):
        """The table that rates has only some of the networks, with their true order."""
        lines = table.read_text().splitlines(keepends=True)
        names = [NasBench201().to_string(g) for g in rank.from_table(str(table)).drawn(COUNT, 1)]
        known = [line for line in lines if any(name in line for name in names[:6])]
        (tmp_path / "some.csv").write_text("".join([lines[0], *known]))
        more = ("--set", f"estimators.table.path={tmp_path / 'some.csv'}")
        assert run(*ranking(table, data, tmp_path / "o", *more, estimators="table")) == 0
        said = capsys.readouterr().out
        assert re.search(r"table:test_error .*\s2\s", said) and re.search(r"\n1 failed: NotInTable: .* is not in", said)
        row = table_of(tmp_path / "o")["table:test_error"]
        truth = [1 - table_rows(40)[NasBench201().from_string(name)][1] / 100 for name in names]
        own = [*truth[:6], 1.0, 1.0]
        assert float(row["spearman"]) == pytest.approx(stats.spearmanr(truth, own).statistic)
        assert (row["failed"], float(row["chosen"])) == ("2", pytest.approx(min(truth[:6])))
        networks = list(csv.DictReader((tmp_path / "o" / "networks.csv").open()))
        assert [bool(each["table:test_error"]) for each in networks] == [True] * 6 + [False] * 2
        assert '<path class="lost"' in (tmp_path / "o" / "rank.html").read_text()


def journal(folder, data, errors, scores, note=None):
    """A study of made ratings: `scores` of each network, a value each of a random_weights; None failed."""
    genotypes = [genotype for genotype, _ in zip(table_rows(len(errors)), errors, strict=True)]
    truth = rank.Truth(
        "test_error", "made", {"space": {"type": "nasbench201"}}, dict(zip(genotypes, errors, strict=True))
    )
    layers = [{"data": {"source": str(data)}}]
    tree, noted = rank.study_of(truth, "random_weights", None, None, layers)
    noted["rank"]["rungs"] = [["random_weights", ["error"]]]
    facts = {"in_channels": 1, "classes": 4, "resolution": 8}
    header = {"version": launch.__version__, "config": tree, "facts": facts, "images": {"train": 64}, "data": ""}
    writing = store.Journal.create(folder, header | (noted if note is None else note))
    by = dict(zip(genotypes, scores, strict=True))
    for number, genotype in enumerate(map(tuple, tree["strategy"]["genotypes"])):
        values = {"params": 1.0, "macs": 1.0}
        done = Trial(number, Candidate(genotype), "done", values | {"error": by[genotype] or 0.0})
        failed = Trial(number, Candidate(genotype), "failed", values, EVIL)
        writing.append(store.ask_event(number, done.candidate))
        writing.append(store.tell_event(failed if by[genotype] is None else done))
    writing.close()
    return folder


class TestTheVerdict:
    def test_what_is_no_more_than_size_is_not_recommended(self, data, tmp_path):
        """One score is the parameters with other names, another the error itself; both are better than chance."""
        space = NasBench201(in_channels=1, classes=4, resolution=8)
        rng = np.random.default_rng(0)
        size = np.array([space.count(genotype).macs for genotype in table_rows(30)])
        errors = (1 - 0.6 * stats.rankdata(size) / 30 + rng.normal(0, 0.1, 30)).tolist()
        copied = rank.write_findings(journal(tmp_path / "a", data, errors, (-np.sqrt(size)).tolist()))
        assert copied.rated[0].spearman.low > 0.5 and copied.rated[0].partial is None
        assert copied.beyond_size == () and "No score is better than counting" in rank.text_of(copied)
        true = rank.write_findings(journal(tmp_path / "b", data, errors, errors))
        assert [rating.name for rating in true.beyond_size] == ["random_weights"]
        assert true.rated[0].partial.value == pytest.approx(1.0)
        assert "is above 0: random_weights" in rank.text_of(true)
        assert '<li class="strong">' in (tmp_path / "b" / "rank.html").read_text()

    def test_all_failed_is_no_order_and_nothing_from_the_folder_is_markup(self, data, tmp_path):
        found = rank.write_findings(journal(tmp_path / "a", data, [0.1, 0.2, 0.3, 0.4], [None] * 4))
        (rating,) = found.rated
        assert (rating.failed, rating.spearman.value, rating.chosen) == (4, 0.0, pytest.approx(0.25))
        page = (tmp_path / "a" / "rank.html").read_text()
        assert EVIL not in page

    def test_names_that_are_markup_stay_text(self, data, tmp_path):
        evil = shutil.copy(data, tmp_path / "<b>evil<b>.npz")
        note = {"truth": "<i>e", "source": "<u>s", "errors": [0.1, 0.2, 0.3, 0.4], "rungs": [["<s>a", ["error", "x"]]]}
        folder = journal(tmp_path / "a<i>", evil, [0.1, 0.2, 0.3, 0.4], [1.0, 2.0, 3.0, 4.0], {"rank": note})
        assert sorted(rating.failed for rating in rank.write_findings(folder).rated) == [0, 4]
        page = (folder / "rank.html").read_text()
        assert not any(tag in page for tag in ("<b>", "<i>", "<u>", "<s>")) and "&lt;s&gt;a" in page

    @pytest.mark.parametrize(
        "note",
        [
            {},
            {"rank": 3},
            {"rank": {"truth": "e", "source": "s", "errors": [1.0], "rungs": [["a", ["error"]]]}},
            {"rank": {"truth": "e", "source": "s", "errors": ["x"] * 4, "rungs": [["a", ["error"]]]}},
        ],
    )
    def test_an_edited_header_is_refused(self, data, tmp_path, note):
        folder = journal(tmp_path / "a", data, [0.1, 0.2, 0.3, 0.4], [1.0] * 4, note)
        with pytest.raises(InputError, match="holds a journal of no study of ratings"):
            rank.findings_in(folder)


class TestInterruptions:
    @staticmethod
    def stopped(monkeypatch, ratings, *arguments):
        """The exit code of a command that is interrupted after so many ratings."""
        submit, left = OneProcess.submit, iter(range(ratings))

        def interrupted(self, *task):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return submit(self, *task)

        with monkeypatch.context() as patch:
            patch.setattr(OneProcess, "submit", interrupted)
            return run(*arguments)

    def test_ctrl_c_says_how_to_go_on_and_the_files_end_the_same(
        self, table, data, study, tmp_path, capsys, monkeypatch
    ):
        folder = tmp_path / "out"
        assert self.stopped(monkeypatch, 5, *ranking(table, data, folder)) == 130
        assert f"go on with: frugalnas resume {folder}" in capsys.readouterr().err
        assert "Nothing can be said before 4 networks" in (folder / "rank.html").read_text()
        assert run("resume", folder) == 0
        assert "8 of 8 networks rated" in capsys.readouterr().out
        for name in ("journal.jsonl", "networks.csv"):
            assert (folder / name).read_bytes() == (study / name).read_bytes()
        timed = ("seconds",)
        before, after = (
            [{k: v for k, v in r.items() if k not in timed} for r in table_of(f).values()] for f in (study, folder)
        )
        assert before == after

    def test_what_a_kill_leaves_is_gone_on_with(self, study, tmp_path, capsys):
        folder = shutil.copytree(study, tmp_path / "out")
        whole = (study / "journal.jsonl").read_bytes()
        (folder / "journal.jsonl").write_bytes(whole[: int(0.8 * len(whole))])
        assert run("resume", folder) == 0
        said = capsys.readouterr()
        assert "16 of 16 ratings" in said.err and "8 of 8 networks rated" in said.out
        assert (folder / "journal.jsonl").read_bytes() == whole

    def test_a_budget_ends_it_with_what_is_there_and_epochs_are_none(self, study, tmp_path, capsys):
        folder = shutil.copytree(study, tmp_path / "out")
        whole = (study / "journal.jsonl").read_bytes()
        (folder / "journal.jsonl").write_bytes(whole[: int(0.7 * len(whole))])
        assert run("resume", folder, "--trials", 10) == 0
        said = capsys.readouterr().out
        assert "5 of 8 networks rated" in said and "Stopped before its end" in said
        assert run("resume", folder, "--epochs", 3) == 2
        assert "which has no epochs" in capsys.readouterr().err


class TestASearch:
    @pytest.fixture(scope="class")
    @staticmethod
    def searched(data, tmp_path_factory):
        folder = tmp_path_factory.mktemp("search") / "out"
        small = ("--set", "space.channels=4", "--set", "space.cells=3", "--set", "task.recipe.batch=8")
        small += ("--set", "estimators.0.fidelity.width=2", "--set", "estimators.0.fidelity.depth=3")
        assert run("search", "--method", "random", "--data", data, "--out", folder, "--trials", 6, *small) == 0
        return folder

    def test_its_trained_networks_are_rated_on_its_images(self, searched, tmp_path, capsys):
        assert run("rank", searched, "--estimators", "random_weights", "--out", tmp_path / "out") == 0
        assert "6 of 6 networks rated" in capsys.readouterr().out
        trained = {trial.candidate.genotype: trial.values["error"] for trial in record.load(searched).compared}
        found = record.load(tmp_path / "out")
        assert [
            (t.candidate.genotype, e) for t, e in zip(found.trials, found.header["rank"]["errors"], strict=True)
        ] == [(genotype, trained[genotype]) for genotype in (t.candidate.genotype for t in found.trials)]
        assert found.header["config"]["data"] == record.load(searched).header["config"]["data"]
        assert found.header["config"]["limits"] == {} and found.header["config"]["trials"] is None

    def test_it_has_no_columns(self, searched, tmp_path, capsys):
        assert run("rank", searched, "--truth", "c10_val_12", "--estimators", "train") == 2
        assert "a search has no columns" in capsys.readouterr().err

    def test_a_study_of_ratings_is_no_truth(self, study, capsys):
        assert run("rank", study, "--estimators", "train") == 2
        assert "has no truth: its objectives are costs, params, macs" in capsys.readouterr().err


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("settings", "more", "message"),
        [
            ({"estimators": "random_weight"}, (), "'random_weight' is no estimator, did you mean 'random_weights'?"),
            ({"estimators": "shared_weights"}, (), "'shared_weights' is no estimator"),
            ({"estimators": ""}, (), "--estimators: expected one or more"),
            ({"estimators": "params,macs"}, (), "--estimators: expected one or more"),
            ({"estimators": "train:c9"}, (), "fidelity 'c9': expected cArBsCeD"),
            ({"estimators": "table:c0r0s0e1"}, (), "'table' has no fidelity"),
            ({"estimators": "train,train"}, (), "two are called 'train': expected a label for each"),
            ({"estimators": "table"}, (), "estimators.0.path is missing"),
            ({"count": 41}, (), "--count 41: expected 4 to 40"),
            ({"count": 3}, (), "--count 3: expected 4 to 40"),
            ({}, ("--truth", "c10_test_20"), "did you mean 'c10_test_200'?"),
            ({}, ("--set", "estimators.random_weight.draws=2"), "estimators.random_weight: did you mean"),
            ({}, ("--set", "estimators.random_weights.drawz=2"), "unknown key 'estimators.0.drawz'"),
            ({}, ("--set", "estimators=3"), "expected keys of one"),
            ({}, ("--set", "space.type=cell"), "space.operations is missing"),
        ],
    )
    def test_in_a_line_and_nothing_is_begun(self, table, data, tmp_path, capsys, settings, more, message):
        assert run(*ranking(table, data, tmp_path / "out", *more, **settings)) == 2
        said = capsys.readouterr().err
        assert message in said and said.startswith("frugalnas: ") and said.count("\n") == 1
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--table", "smal.csv"), "did you mean 'small.csv'?"),
            ((), "expected either --table FILE or the folder of a search"),
            ((".", "--table", "small.csv"), "expected either --table FILE or the folder of a search"),
            ((".",), "holds no study"),
            (("--table", "few.csv"), "few.csv has 3 networks: expected 4 or more"),
            (("--table", "small.csv", "--data", "none.npz"), "none.npz"),
        ],
    )
    def test_what_there_is_no_truth_for(self, tmp_path, monkeypatch, capsys, arguments, message):
        monkeypatch.chdir(tmp_path)
        written(tmp_path / "small.csv", 10)
        written(tmp_path / "few.csv", 3)
        assert run("rank", *arguments, "--estimators", "train") == 2
        said = capsys.readouterr().err
        assert message in said and said.count("\n") == 1

    def test_the_folder_of_another_study(self, study, capsys, tmp_path):
        with pytest.raises(InputError, match="no study of ratings"):
            folder = shutil.copytree(study, tmp_path / "out")
            (folder / "journal.jsonl").unlink()
            header = record.load(study).header
            tree = header["config"] | {"method": "eeea"}
            store.Journal.create(folder, header | {"config": tree}).close()
            rank.findings_in(folder)


class TestListedNetworks:
    def test_are_asked_in_their_order_on_every_rung_and_then_it_ends(self):
        listed = ((1, 2, 0), (0, 0, 0), (1, 2, 0))
        strategy = EveryRung(Tuples((3, 3, 3)), 2, genotypes=listed)
        rng = np.random.default_rng(0)
        assert [strategy.ask(rng) for _ in range(7)] == [*(Candidate(g, r) for g in listed for r in (0, 1)), None]
        assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state

    def test_one_that_a_limit_rejects_is_not_replaced(self):
        strategy = EveryRung(Tuples((3, 3, 3)), 2, genotypes=((1, 1, 1), (2, 2, 2)))
        rng = np.random.default_rng(0)
        first = strategy.ask(rng)
        strategy.tell(Trial(0, first, "rejected", {"params": 1.0}, "params"))
        assert [strategy.ask(rng) for _ in range(3)] == [Candidate((2, 2, 2), 0), Candidate((2, 2, 2), 1), None]

    def test_are_those_of_the_space_and_their_number_is_theirs(self):
        with pytest.raises(InputError):
            EveryRung(NasBench201(), genotypes=((9,) * 6,))
        with pytest.raises(InputError, match="expected one of them"):
            EveryRung(NasBench201(), networks=3, genotypes=((1,) * 6,))
