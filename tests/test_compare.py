"""Comparisons: what is held equal, that they resume, and what they write."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from frugalnas import compare, progress, record
from frugalnas.compare import work
from frugalnas.compare.tables import truth_of
from frugalnas.config import assignment
from frugalnas.core import InputError
from frugalnas.distribute import InProcess
from frugalnas.pareto import hypervolume
from table import SPACE, rows, written
from tiny import SMALL, images, run

POPULATIONS = ("--set", "eeea.strategy.population=2", "--set", "eeea.strategy.offspring=1")


class Here(InProcess):
    """This process, in place of a pool."""

    def __init__(self, workers: int | None) -> None:
        pass


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "ProcessPool", Here)


def planned(*methods: str, sets: tuple[str, ...] = (), **settings: object) -> compare.Plan:
    return compare.plan(methods, None, None, [*map(assignment, sets), settings])


def ladder(plan: compare.Plan, method: str) -> list[dict[str, object]]:
    return plan.searches[method]["estimators"]  # type: ignore[no-any-return]


def test_all_but_strategies_and_lower_rungs_is_equal() -> None:
    found = planned("relativenas", "eeea", "econas", "nsganet", "amoebanet")
    assert [*found.searches][-1] == "random"
    own = {"method", "preset", "strategy", "estimators"}
    equal = [{key: value for key, value in tree.items() if key not in own} for tree in found.searches.values()]
    assert all(tree == equal[0] for tree in equal)
    assert equal[0]["executor"].items() >= {"type": "processes", "workers": 1, "threads": 1}.items()
    assert len({json.dumps(ladder(found, method)[-1]) for method in found.searches}) == 1
    assert [len(ladder(found, method)) for method in found.searches] == [3, 1, 3, 1, 1, 1]
    types = {method: tree["strategy"]["type"] for method, tree in found.searches.items()}
    assert types["random"] == "random"
    assert len(set(types.values())) == 5  # eeea and nsganet differ in settings


def test_the_parts_of_a_training_are_those_of_the_referee() -> None:
    found = planned("eeea", "econas", sets=("estimators.0.fidelity.epochs=7",))
    stops = [rung["stop"] for rung in ladder(found, "econas")]
    assert stops == [2, 4, None]
    assert all(rung["fidelity"] == ladder(found, "eeea")[0]["fidelity"] for rung in ladder(found, "econas"))
    assert ladder(planned("eeea", "econas"), "eeea")[0]["fidelity"]["epochs"] == 3  # type: ignore[index]
    assert ladder(planned("eeea"), "eeea")[0]["fidelity"]["epochs"] == 1  # type: ignore[index]
    assert ladder(planned("econas"), "econas")[-1]["stop"] is None
    with pytest.raises(
        InputError, match=r"econas: its 3 rungs .* 2 epochs: expected 3 or more, as by --set estimators"
    ):
        planned("eeea", "econas", sets=("estimators.0.fidelity.epochs=2",))
    with pytest.raises(InputError, match="econas: its rungs are parts of a training, but .* 'random_weights'"):
        compare.plan(["eeea", "econas"], None, None, [{"estimators": [{"type": "random_weights"}]}])


def test_a_method_keeps_its_own_look_unless_all_have_one() -> None:
    found = planned("eeea", "rwe")
    looks = {method: tree["prescreen"] for method, tree in found.searches.items()}
    assert looks["rwe"]["estimator"]["type"] == "random_weights" and looks["eeea"] is looks["random"] is None
    assert ladder(found, "rwe") == ladder(found, "eeea")
    assert planned("rwe", "eeea").searches["eeea"]["prescreen"] is None
    shared = planned("eeea", "rwe", sets=("prescreen.candidates=4",))
    assert {tree["prescreen"]["candidates"] for tree in shared.searches.values()} == {4}


def test_a_method_that_never_trains_is_not_made_into_another() -> None:
    with pytest.raises(InputError, match="rwe: its networks are rated by 'random_weights' alone: expected a preset"):
        compare.plan(["nsganet", "rwe"], "paper", None, [])


def test_shared_weights_have_the_size_of_the_referee_and_end_within_the_budget() -> None:
    found = planned("eeea", "relativenas", sets=("estimators.0.fidelity.width=6",), epochs=24.0)
    shared, frozen, referee = (rung["fidelity"] for rung in ladder(found, "relativenas"))
    assert [each["width"] for each in (shared, frozen, referee)] == [6, 6, 6]  # type: ignore[index]
    assert (shared["samples"], frozen["epochs"]) == (0.25, 0)  # type: ignore[index]
    # 8 finalists on half of the images leave 20 epochs; 8 learners take 2 in a generation
    assert found.searches["relativenas"]["strategy"]["generations"] == 10
    by_trials = planned("eeea", "relativenas", trials=50)
    assert by_trials.searches["relativenas"]["strategy"]["generations"] == (50 - 16 - 8) // 8
    with pytest.raises(InputError, match="relativenas: a budget of 5 pays for no generation: the last selection"):
        planned("eeea", "relativenas", epochs=5.0)
    with pytest.raises(InputError, match="relativenas: how many generations fit into a time is not known"):
        planned("eeea", "relativenas", minutes=5.0)


def test_a_strategy_goes_on_as_long_as_the_budget_does() -> None:
    found = compare.plan(["eeea"], "paper", None, [])
    assert found.searches["eeea"]["strategy"]["generations"] is None
    assert found.budget == ("epochs", 1200.0)


def test_the_budget_is_one() -> None:
    assert planned("eeea").budget == ("epochs", 24.0)  # 48 networks on half of the images
    assert planned("eeea", minutes=3.0).budget == ("minutes", 3.0)
    with pytest.raises(InputError, match="2 budgets: expected one of epochs, trials and minutes"):
        planned("eeea", minutes=3.0, trials=5)


def test_settings_are_for_all_or_for_one_method(tmp_path) -> None:
    (tmp_path / "c.toml").write_text("space.channels = 9\n[nsganet.strategy]\npopulation = 7\n")
    assert compare.plan(["eeea", "nsganet"], None, tmp_path / "c.toml") == planned(
        "eeea", "nsganet", sets=("space.channels=9", "nsganet.strategy.population=7")
    )
    found = planned("eeea", "nsganet", sets=("space.channels=9", "nsganet.strategy.population=7"))
    assert {tree["space"]["channels"] for tree in found.searches.values()} == {9}
    assert found.searches["nsganet"]["strategy"]["population"] == 7
    assert found.searches["eeea"]["strategy"]["population"] != 7
    other = planned("eeea", sets=("eeea.strategy.type=truncation",)).searches["eeea"]["strategy"]
    assert (other["type"], other["kept"]) == ("truncation", 0.1)
    with pytest.raises(InputError, match=r"strategy: each method keeps its own, expected eeea\.strategy"):
        planned("eeea", sets=("strategy.population=7",))
    with pytest.raises(InputError, match="nsganet = 3: expected a table of keys"):
        planned("eeea", "nsganet", sets=("nsganet=3",))
    with pytest.raises(InputError, match="nsganet: space is the same for all methods"):
        planned("eeea", "nsganet", sets=("nsganet.space.channels=3",))
    with pytest.raises(InputError, match="did you mean 'econas'"):
        planned("econes")
    with pytest.raises(InputError, match="expected another method"):
        planned("random")
    with pytest.raises(InputError, match="latency_ms would be measured anew by every run"):
        compare.plan(["eeea"], None, None, [{"limits": {"latency_ms": 5}}])


def searched(data: Path, out: Path, *options: object) -> int:
    common = ("--data", data, *SMALL, *POPULATIONS, "--limit", "params=5k", "--seeds", 2, "--out", out)
    return run("compare", "--methods", "eeea", "--epochs", 2, *common, *options)


def without_time(file: Path) -> list[dict[str, str]]:
    with file.open() as lines:
        return [row | {"seconds": ""} for row in csv.DictReader(lines)]


def test_two_methods_search_are_interrupted_and_go_on(tmp_path, here, capsys) -> None:
    data = images(tmp_path / "tiny.npz")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert searched(data, whole) == 0
    said = capsys.readouterr().out
    assert "eeea on tiny.npz: 2 methods, 2 seeds, 2 epochs each" in said
    assert "With 2 seeds no difference can be significant" in said
    records = {name: record.load(whole / name) for name in ("eeea/seed-0", "eeea/seed-1", "random/seed-0")}
    assert all(sum(trial.values.get("images", 0.0) for trial in each.trials) == 2 * 96 for each in records.values())
    assert records["eeea/seed-0"].trials != records["random/seed-0"].trials
    assert records["eeea/seed-0"].trials != records["eeea/seed-1"].trials
    rows = without_time(whole / "compare.csv")
    assert [(row["method"], row["seed"]) for row in rows] == [(m, s) for m in ("eeea", "random") for s in "01"]
    for row in rows:
        best = min(trial.values["error"] for trial in record.load(whole / row["method"] / f"seed-{row['seed']}").front)
        assert float(row["error_100"]) == pytest.approx(best)

    arguments = [sys.executable, "-c", "from frugalnas.cli import main; main()", "compare", "--methods", "eeea"]
    arguments += ["--epochs", "2", "--data", str(data), *SMALL, *POPULATIONS, "--limit", "params=5k", "--seeds", "2"]
    arguments += ["--workers", "1", "--out", str(broken)]
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, start_new_session=True)
    journal = broken / "random" / "seed-0" / "journal.jsonl"
    while process.poll() is None and not (journal.exists() and b'"done"' in journal.read_bytes()):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, complaint = process.communicate(timeout=60)
    assert (process.returncode, complaint.strip()) == (
        130,
        f"frugalnas: stopped, go on with: frugalnas resume {broken}",
    )
    assert not (broken / "compare.csv").exists()
    with journal.open("ab") as file:
        file.write(b'{"tell": 3, "stat')  # as a power cut would leave it
    finished = (broken / "eeea" / "seed-0" / "times.jsonl").read_bytes()

    assert run("resume", broken) == 0
    assert (broken / "eeea" / "seed-0" / "times.jsonl").read_bytes() == finished  # not run again
    assert without_time(broken / "compare.csv") == rows
    assert journal.read_bytes() == (whole / "random" / "seed-0" / "journal.jsonl").read_bytes()

    capsys.readouterr()
    assert searched(data, broken, "--json") == 0  # the same command
    assert json.loads(capsys.readouterr().out)["methods"]["eeea"]["costs"]["networks"] == float(rows[0]["networks"])
    assert searched(data, broken, "--set", "space.channels=5") == 2
    assert re.search(r"space\.channels = 4, not 5: choose another --out", capsys.readouterr().err)
    assert run("resume", broken, "--trials", 5) == 2
    assert run("report", broken / "eeea" / "seed-1") == 0


TABLED = ("--methods", "eeea,relativenas,econas,amoebanet,nsganet", "--trials", 40, "--seeds", 3)


def test_a_table_takes_the_place_of_training(tmp_path, here, capsys) -> None:
    table, out = written(tmp_path / "t <i>.csv.gz"), tmp_path / "out"
    assert run("compare", "--table", table, *TABLED, "--out", out, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [*found["methods"]] == ["eeea", "relativenas", "econas", "amoebanet", "nsganet", "random"]
    assert found["truth"]["size"] == len(rows())
    known = rows()
    for row in without_time(out / "compare.csv"):
        each = json.loads((out / row["method"] / f"seed-{row['seed']}.json").read_bytes())
        assert each["spent_trials"] == 40
        errors = [1 - known[tuple(genes)][0] / 100 for genes in each["genotypes"]]
        assert [values[0] for values in each["values"]] == pytest.approx(errors)
        tests = [1 - known[tuple(genes)][1] / 100 for genes in each["genotypes"]]
        chosen = tests[errors.index(min(errors))]
        assert float(row["regret_100"]) == pytest.approx(chosen - found["truth"]["best_test"], abs=1e-9)
        assert each["failed"] + len(each["trials"]) <= 40
        assert each["failed"] > 20  # 87 % of the architectures are not in the table
    page = (out / "compare.html").read_text()
    assert "t &lt;i&gt;.csv.gz" in page
    assert "<i>" not in page

    before = {file: file.stat().st_mtime_ns for file in out.glob("*/*.json")}
    (out / "eeea" / "seed-1.json").unlink()
    lost = out / "eeea" / "seed-1.json"
    again = without_time(out / "compare.csv")
    assert run("resume", out) == 0
    assert [file for file in before if file.stat().st_mtime_ns != before[file]] == [lost]
    assert without_time(out / "compare.csv") == again
    assert run("compare", "--table", table, *TABLED, "--out", out, "--validation", "c10_val_12") == 2


def test_a_hierarchy_of_trainings_is_one_level_in_a_table(tmp_path) -> None:
    table = {"path": str(written(tmp_path / "t.csv", 50))}
    found = compare.plan(["econas", "relativenas"], None, None, [{"trials": 70}], table=table)
    strategy = found.searches["econas"]["strategy"]
    assert (strategy["promotions"], strategy["children"]) == ([], [7])
    assert len(ladder(found, "econas")) == 1
    assert found.searches["relativenas"]["strategy"]["generations"] == 9  # of 8 learners: until the budget ends
    assert found.shared["limits"] == {}
    limited = compare.plan(["eeea"], None, None, [{"limits": {"params": 5e5}}], table=table)
    assert (limited.shared["limits"], limited.budget) == ({"params": 5e5}, ("trials", 48.0))
    with pytest.raises(InputError, match="nothing is trained with a table, expected trials or minutes"):
        compare.plan(["eeea"], None, None, [{"epochs": 3.0}], table=table)


def test_the_truth_is_that_of_the_whole_table(tmp_path) -> None:
    table = {"path": str(written(tmp_path / "t.csv", 300))}
    limit = 6e5
    truth = truth_of(compare.plan(["eeea"], None, None, [{"limits": {"params": limit}}], table=table).shared)
    accepted = {genes: row for genes, row in rows(300).items() if SPACE.count(genes).params <= limit}
    points = [(1 - row[0] / 100, float(SPACE.count(genes).params)) for genes, row in accepted.items()]
    assert truth.size == len(accepted) < 300
    assert truth.best_test == pytest.approx(min(1 - row[1] / 100 for row in accepted.values()))
    errors, sizes = zip(*points, strict=True)
    low, high, few, many = min(errors), max(errors), min(sizes), max(sizes)
    assert (truth.best, truth.worst) == ((pytest.approx(low), few), (pytest.approx(high), many))
    scaled = [((e - low) / (high - low), (p - few) / (many - few)) for e, p in points]
    assert truth.volume == pytest.approx(hypervolume(scaled, (1.0, 1.0)))
    front = {p for p in scaled if not any(q[0] <= p[0] and q[1] <= p[1] and q != p for q in scaled)}
    assert truth.members == len(front)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--objectives", "error,test_error"), "unknown objective 'test_error' of a table"),
        (("--objectives", "error,parms"), "did you mean 'params'"),
        (("--validation", "c10_val"), "no column 'c10_val': did you mean 'c10_val_12'"),
        (("--methods", "eeea", "--preset", "paper"), "eeea: 3 weights: expected 2"),
        (("--seeds", 0), "seeds = 0: expected 1"),
        (("--set", "eeea.strategy.population=0"), "eeea: population = 0: expected 1 or more"),
        (("--data", "shoes"), "data is of no use with a table"),
        (("--set", "space.channels=3"), "space is of no use with a table"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_written(tmp_path, capsys, options, message) -> None:
    table = written(tmp_path / "t.csv", 30)
    assert run("compare", "--table", table, "--out", tmp_path / "out", *options) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert run("compare", "--validation", "x") == 2
    assert "expected --table" in capsys.readouterr().err


def test_a_folder_from_elsewhere_is_checked(tmp_path, here, capsys) -> None:
    out = tmp_path / "out"
    arguments = ("--table", written(tmp_path / "t.csv"), "--trials", 5, "--seeds", 1)
    assert run("compare", *arguments, "--out", out) == 0
    text = (out / "compare.json").read_text()
    for change, message in (
        (('"seeds": 1', '"seeds": -1'), "seeds = -1"),
        (('"random": {', '"../up": {'), "the random twin is missing"),
        (('"trials": 5', '"trials": 6'), "differ in more than strategies"),  # in one of them
        (('"frugalnas": "', '"frugalnas": "9'), "written by version 9"),
        (("{", "["), "is of no comparison"),
    ):
        (out / "compare.json").write_text(text.replace(*change, 1))
        assert run("resume", out) == 2
        assert message in capsys.readouterr().err
    (out / "compare.json").unlink()
    assert run("compare", *arguments, "--out", out) == 2
    assert "holds searches that are of no comparison" in capsys.readouterr().err


def test_a_comparison_is_no_search(tmp_path, here, capsys) -> None:
    data, out, tabled = images(tmp_path / "tiny.npz"), tmp_path / "out", tmp_path / "tabled"
    searches = ("compare", "--data", data, *SMALL, "--trials", 1, "--seeds", 1)
    assert run(*searches, "--out", out) == 0
    assert run("compare", "--table", written(tmp_path / "t.csv"), "--trials", 5, "--seeds", 1, "--out", tabled) == 0
    files = sorted(out.rglob("*"))
    capsys.readouterr()
    for verb, folder, hint in (
        (("show",), out, f"such as {out / 'eeea' / 'seed-0'}"),
        (("train",), out, f"such as {out / 'eeea' / 'seed-0'}"),
        (("latency", "measure"), out, f"such as {out / 'eeea' / 'seed-0'}"),
        (("show",), tabled, "with a table there are none"),
    ):
        assert run(*verb, folder) == 2
        said = capsys.readouterr().err
        assert f"{folder} holds a comparison: expected one of its searches" in said and hint in said
    for verb in ("search", "proxies", "fit"):
        assert run(verb, "--data", data, "--out", out) == 2
        assert capsys.readouterr().err == f"frugalnas: {out} holds a comparison: choose another --out\n"
    assert run(*searches, "--methods", "nsganet", "--out", out) == 2
    assert "holds a comparison with methods eeea, random, not nsganet, random" in capsys.readouterr().err
    assert run(*searches, "--limit", "params=3k", "--out", out) == 2
    assert "holds a comparison with limits.params = 250000.0, not 3000.0" in capsys.readouterr().err
    assert sorted(out.rglob("*")) == files
    assert run(*searches, "--out", data) == 2
    assert f"cannot make the folder {data}" in capsys.readouterr().err


def test_the_report_of_a_comparison_is_written_again_once_it_has_ended(tmp_path, here, capsys) -> None:
    out = tmp_path / "out"
    arguments = ("--table", written(tmp_path / "t.csv"), "--trials", 5, "--seeds", 2, "--out", out)
    assert run("compare", *arguments) == 0
    said = capsys.readouterr().out
    page = (out / "compare.html").read_text()
    (out / "compare.html").unlink()
    assert run("report", out) == 0
    assert (out / "compare.html").read_text() == page
    assert capsys.readouterr().out.strip() == said[: said.index("\n\nPage: ")]
    assert run("report", out, "--json") == 0
    assert json.loads(capsys.readouterr().out)["seeds"] == 2
    (out / "random" / "seed-1.json").unlink()
    assert run("report", out) == 0
    assert "1 of 2 seeds have ended with every method. With 1 seed no difference" in capsys.readouterr().out
    assert "1 of 2 seeds have ended" in (out / "compare.html").read_text()
    assert [row["seed"] for row in without_time(out / "compare.csv")] == ["0", "0"]
    (out / "random" / "seed-0.json").unlink()
    assert run("report", out) == 2
    assert f"no seed has ended with every method, go on with 'frugalnas resume {out}'" in capsys.readouterr().err


def test_more_seeds_go_on_in_the_same_folder(tmp_path, here, capsys) -> None:
    out = tmp_path / "out"
    arguments = ("--table", written(tmp_path / "t.csv"), "--trials", 5, "--out", out)
    assert run("compare", *arguments, "--seeds", 1) == 0
    first = {file: file.stat().st_mtime_ns for file in out.glob("*/*.json")}
    assert run("compare", *arguments, "--seeds", 3) == 0
    assert "2 methods, 3 seeds" in capsys.readouterr().out
    assert len([*out.glob("*/*.json")]) == 6 and all(file.stat().st_mtime_ns == t for file, t in first.items())
    assert compare.plan(["eeea"], seeds=1).folder == compare.plan(["eeea"], seeds=2).folder


def test_the_page_needs_nothing_else(tmp_path, here) -> None:
    data, out = images(tmp_path / "tiny.npz"), tmp_path / "out"
    assert run("compare", "--data", data, *SMALL, "--trials", 3, "--seeds", 1, "--out", out) == 0
    page = (out / "compare.html").read_text()
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("<figure>") == 2
    assert re.search(r"<title>random at 3 trials: \d+\.\d\d % \(", page)
    linked = set(re.findall(r'href="([^"]+)"', page))
    assert linked == {"compare.csv", "curves.csv", "eeea/seed-0/report.html", "random/seed-0/report.html"}
    assert all((out / name).is_file() for name in linked)
    for words in (
        "train (epochs 1, samples 0.5",
        "With 1 seed no difference",
        "training images",
        "paid within the budget",
    ):
        assert words in page


def test_the_live_view_says_how_far_the_runs_are(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr(progress, "Console", lambda file: console)
    with progress.comparing() as tell:
        tell(compare.Glance(3, 12, {"econas/seed-1": 0.5}))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "3 of 12 runs" in shown
    assert "econas/seed-1" in shown
