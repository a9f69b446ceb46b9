"""The command line: whole searches on tiny images, and one line with exit code 2 for everything that is wrong."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import frugalnas
from frugalnas import launch, store
from frugalnas.catalogue import LISTINGS
from tiny import SMALL, OneProcess, images, run

COMMAND = str(Path(sys.executable).with_name("frugalnas"))
SEARCH = ("--trials", "14", "--workers", "2", "--seed", "3", *SMALL, "--set", "strategy.population=5")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120", "FORCE_COLOR": ""}


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A real search by the real command: its folder, images and what it printed."""
    folder = tmp_path_factory.mktemp("searched")
    data = images(folder / "images.npz")
    command = [COMMAND, "search", "--data", data, "--out", folder / "run", "--json", *SEARCH]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=ENVIRONMENT, check=False)
    return folder / "run", data, done


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """Searches run in this process, in an empty folder with good images."""
    monkeypatch.setattr(launch, "executor_of", OneProcess)
    monkeypatch.chdir(tmp_path)
    images(tmp_path / "good.npz")


def complaint(capsys, *arguments, code=2):
    """The one line that the command line says."""
    assert run(*arguments) == code
    said = capsys.readouterr()
    assert said.err.startswith("frugalnas: ") and said.err.count("\n") == 1, said.err
    return said.err.removeprefix("frugalnas: ")


def searching(*more, data="good.npz", out="run"):
    return ["search", "--data", data, "--out", out, "--trials", "3", *SMALL, *more]


def test_search_prints_json_and_nothing_else(searched):
    folder, _, done = searched
    assert done.returncode == 0 and done.stderr == ""
    facts = json.loads(done.stdout)
    assert facts["ended"] == "trials" and facts["statuses"]["done"] == 14 and facts["folder"] == str(folder)
    assert facts["config"]["seed"] == 3 and facts["objectives"] == ["error", "macs", "params"]
    rows = list(csv.DictReader(io.StringIO((folder / "front.csv").read_text())))
    assert [entry["trial"] for entry in facts["front"]] == [int(row["trial"]) for row in rows]
    assert (folder / "report.html").stat().st_size > 20_000


def test_report_prints_the_front_again_in_plain_text(searched, capsys):
    folder, _, done = searched
    assert run("report", folder) == 0
    said = capsys.readouterr().out
    assert "14 networks rated, 0 rejected before training, 0 failed" in said and "\x1b" not in said
    assert run("report", folder, "--json") == 0
    assert json.loads(capsys.readouterr().out)["front"] == json.loads(done.stdout)["front"]


def test_the_shown_architecture_is_the_searched_and_the_trained_one(searched, capsys):
    folder, _, done = searched
    for entry in json.loads(done.stdout)["front"]:
        assert run("show", folder, "--trial", entry["trial"], "--json") == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown["genotype"] == entry["genotype"]
        count = frugalnas.count(shown)
        assert (count.params, count.macs) == (entry["values"]["params"], entry["values"]["macs"])
        network = frugalnas.create_model(shown)
        assert sum(parameter.numel() for parameter in network.parameters()) == count.params
        assert (network.classifier.out_features, shown["space"]["in_channels"]) == (4, 1)


def test_a_search_shows_its_knee_not_the_first_of_its_front(searched, capsys):
    folder, _, done = searched
    assert run("show", folder, "--json") == 0
    shown = json.loads(capsys.readouterr().out)["genotype"]
    front = json.loads(done.stdout)["front"]
    values = np.array([[entry["values"][name] for name in ("error", "macs", "params")] for entry in front])
    scaled = (values - values.min(0)) / np.maximum(np.ptp(values, axis=0), 1e-12)
    assert shown == front[int(scaled.sum(1).argmin())]["genotype"]


def test_the_same_seed_writes_the_same_journal_whatever_the_test_images(alone, searched, tmp_path, capsys):
    """And another seed another one; a search that read the garbled test part would end with an error."""
    journals = {}
    for name, seed, extra in (
        ("a", 3, {}),
        ("b", 3, {"x_test": np.array(["no"]), "y_test": np.array([-1.5])}),
        ("c", 4, {}),
    ):
        data = images(tmp_path / "images.npz", **extra)
        assert run(*searching("--seed", seed, data=data, out=name)) == 0
        journals[name] = (tmp_path / name / store.JOURNAL).read_bytes()
    assert journals["a"] == journals["b"]
    assert journals["a"].splitlines()[1:] != journals["c"].splitlines()[1:]
    capsys.readouterr()


def test_the_seed_reaches_the_training(alone, tmp_path, capsys):
    """One genotype, rated in studies of two seeds: other weights, another loss; and again with the first, the same."""
    losses = []
    for name, seed in (("a", 1), ("b", 2), ("c", 1)):
        one = ("--set", 'space.operations=["skip_connect"]', "--set", "space.blocks=1", "--trials", 1, "--seed", seed)
        assert run(*searching(*one, out=name)) == 0
        _, events = store.read(tmp_path / name)
        losses.append(store.trials_of(events)[0].values["loss"])
    assert losses[0] == losses[2] != losses[1]


def test_ctrl_c_names_the_command_that_goes_on_to_the_same_journal(searched, tmp_path):
    twin, data, _ = searched
    folder = tmp_path / "run"
    command = [COMMAND, "search", "--data", str(data), "--out", str(folder), *SEARCH]
    search = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    journal = folder / store.JOURNAL
    deadline = time.monotonic() + 120
    while not (journal.exists() and b'"tell"' in journal.read_bytes()) and time.monotonic() < deadline:
        time.sleep(0.02)
    search.send_signal(signal.SIGINT)
    out, err = search.communicate(timeout=60)
    assert (search.returncode, out, err) == (130, "", f"frugalnas: stopped, go on with: frugalnas resume {folder}\n")
    whole = (twin / store.JOURNAL).read_bytes()
    assert whole.startswith(journal.read_bytes()) and len(journal.read_bytes()) < len(whole)
    assert (folder / "front.csv").exists(), "what was found is reported"
    resumed = subprocess.run(
        [COMMAND, "resume", str(folder)], capture_output=True, text=True, env=ENVIRONMENT, check=False
    )
    assert resumed.returncode == 0 and "14 networks rated" in resumed.stdout
    assert journal.read_bytes() == whole


def test_a_larger_budget_goes_on_where_it_was(alone, searched, tmp_path, capsys):
    folder = tmp_path / "copy"
    shutil.copytree(searched[0], folder)
    before = (folder / store.JOURNAL).read_bytes()
    assert run("resume", folder, "--json") == 0
    assert json.loads(capsys.readouterr().out)["ended"] == "trials" and (folder / store.JOURNAL).read_bytes() == before
    assert run("resume", folder, "--trials", 17) == 0
    assert "17 networks rated" in capsys.readouterr().out
    assert (folder / store.JOURNAL).read_bytes().startswith(before)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--method", "eea"], "unknown method 'eea': did you mean 'eeea'?"),
        (["--preset", "lap"], "method 'eeea' has no preset 'lap': did you mean 'laptop'?"),
        (["--set", "space.chanels=3"], "did you mean 'channels'?"),
        (["--workers", "0"], "workers = 0: expected 1 or more"),
        (["--trials", "0"], "trials = 0: expected more than 0"),
        (["--minutes", "-1"], "minutes = -1.0: expected more than 0"),
        (["--seed", "-3"], "seed = -3: expected 0 or more"),
        (["--trials", "many"], "Invalid value for '--trials'"),
        (["--limits", "params=3"], "No such option: --limits"),
        (["--limit", "nonsense"], "expected NAME=NUMBER, such as params=200k"),
        (
            ["--limit", "parms=3k"],
            "unknown objective 'parms', neither a cost nor a value of estimators.0: did you mean 'params'?",
        ),
        (["--limit", "error=0.3"], "only what is known before training can be limited"),
        (["--limit", "params=10"], "within the limits params <= 10 (smallest 1,016)"),
        (
            ["--set", 'objectives=["eror"]'],
            "unknown objective 'eror', neither a cost nor a value of estimators.0: did you mean 'error'?",
        ),
        (["--set", 'objectives=["error", "error"]'], "one of them stands there twice"),
        (["--set", "strategy.population=0"], "population = 0: expected 1 or more"),
        (["--set", "strategy.weights=[1]"], "1 weights: expected 3"),
        (["--set", "task.device=cudda"], "unknown device 'cudda'"),
        (["--set", "task.recipe.batch=0"], "recipe.batch = 0: expected 2 or more"),
        (["--set", "estimators.0.fidelity.samples=0"], "fidelity.samples = 0.0: expected a share in (0, 1]"),
        (["--set", "estimators.0.fidelity.depth=1"], "cells = 1: expected a whole number from 3"),
        (["--set", 'space.operations=["sep_conv"]'], "unknown operation 'sep_conv': did you mean 'sep_conv_"),
        (["--config", "absent.toml"], "no configuration file absent.toml"),
        (["--out", "good.npz/run"], "cannot make the folder good.npz/run: Not a directory"),
        (["--out", "good.npz"], "cannot make the folder good.npz: File exists"),
        (["--data", "absent"], "there is no data set, folder or file 'absent'"),
        (["--data", "god.npz"], "did you mean 'good.npz'?"),
    ],
)
def test_a_wrong_option_ends_before_anything_is_made(alone, capsys, more, message):
    assert message in complaint(capsys, *searching(*more))
    assert not Path("run").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc refuses new folders")
def test_a_folder_that_cannot_be_made_is_named(alone, capsys):
    assert "cannot make the folder /proc/run" in complaint(capsys, *searching(out="/proc/run"))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": np.full((120, 8, 8), np.nan)}, "NaN or infinite values"),
        ({"y_train": np.zeros(120, int)}, "one class"),
        ({"y_train": np.arange(120) - 1}, "label"),
        ({"y_train": np.full(120, 10**6)}, "expected 0 to K-1"),
        ({"y_train": np.arange(119) % 4}, "120 images but there are 119 labels"),
        ({"x_train": np.zeros((0, 8, 8), np.uint8)}, "0 images but there are 120 labels"),
        ({"x_train": np.zeros((120, 8, 8), np.uint8) - 1.0}, "holds values from -1"),
        ({"x_train": np.array(["a"] * 120)}, "shape (120,)"),
    ],
)
def test_bad_arrays_are_named(alone, capsys, tmp_path, arrays, message):
    data = images(tmp_path / "bad.npz", **arrays)
    assert message in complaint(capsys, *searching(data=data))
    assert not Path("run").exists()
    assert run("data", "check", data) == 2
    assert "cannot be searched on" in capsys.readouterr().out


def test_files_that_hold_no_images_are_named(alone, capsys, tmp_path):
    (tmp_path / "broken.npz").write_bytes((tmp_path / "good.npz").read_bytes()[:300])
    assert "broken.npz is not a readable .npz file" in complaint(capsys, *searching(data="broken.npz"))
    (tmp_path / "empty").mkdir()
    assert "empty" in complaint(capsys, *searching(data="empty"))
    for name in ("cat", "dog"):
        (tmp_path / "texts" / name).mkdir(parents=True)
        (tmp_path / "texts" / name / "1.png").write_text("no image")
    assert "texts" in complaint(capsys, *searching(data="texts"))


def test_mixed_sizes_and_modes_are_searched(alone, capsys, caplog, tmp_path):
    rng = np.random.default_rng(0)
    for name, mode in (("cat", "L"), ("dog", "RGBA")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(8):
            pixels = rng.integers(0, 255, (9 + number, 12, 4), dtype=np.uint8)
            Image.fromarray(pixels, "RGBA").convert(mode).save(tmp_path / "photos" / name / f"{number}.png")
    given = ["--set", "data.resolution=8"]
    assert run(*searching(*given, data="photos")) == 0
    assert "3 networks rated" in capsys.readouterr().out
    assert len(caplog.messages) == 3 and all(said.startswith("frugalnas: photos: ") for said in caplog.messages)
    assert "grayscale" in caplog.text and "transparency" in caplog.text and "sizes" in caplog.text
    (tmp_path / "photos/cat/broken.png").write_text("no image")
    for command in (searching(*given, data="photos", out="again"), ["inspect", "--data", "photos", *given, *SMALL]):
        caplog.clear()
        assert run(*command) == 0
        skipped = [said for said in caplog.messages if "skipped" in said]
        assert len(skipped) == 1 and "1 files were skipped, e.g. cat/broken.png: " in skipped[0]
        assert "see: frugalnas data check photos" in skipped[0]
        capsys.readouterr()
        assert "broken.png" in complaint(capsys, *command[: -2 * (command[0] == "search") or None], "--strict")


def test_a_run_folder_among_the_images_is_refused(alone, capsys, tmp_path):
    """The workers, which read the images again, would take it for a class."""
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(5):
            Image.fromarray(np.full((8, 8), 10 * number, dtype=np.uint8)).save(tmp_path / name / f"{number}.png")
    (tmp_path / "good.npz").unlink()
    assert "run is in the folder of the images, ., as if it were a class" in complaint(capsys, *searching(data="."))
    assert not Path("run").exists()


def test_notes_are_lines_on_stderr_and_a_search_that_rates_nothing_exits_with_1(tmp_path):
    rng = np.random.default_rng(0)
    data = tmp_path / "photos"
    for name in ("cat", "dog"):
        (data / name).mkdir(parents=True)
        for number in range(30):
            Image.fromarray(rng.integers(0, 255, (8, 8), dtype=np.uint8)).save(data / name / f"{number}.png")
    (data / "cat/broken.png").write_text("no image")
    command = [COMMAND, "search", "--data", data, "--out", tmp_path / "run", "--trials", 2, "--workers", 1, *SMALL]
    command += ["--set", "task.recipe.lr=1e30", "--set", "data.resolution=8", "--set", "task.recipe.clip=0"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=ENVIRONMENT, check=False)
    lines = done.stderr.splitlines()
    assert done.returncode == 1 and len(lines) == 2, done.stderr
    assert lines[0].startswith("frugalnas: 1 files were skipped, e.g. cat/broken.png")
    assert lines[1].startswith("frugalnas: no network was rated; most often: failed: FloatingPointError")
    assert "2 failed" in done.stdout and "Report: " in done.stdout


def test_another_study_in_the_folder_is_left_alone(alone, searched, capsys, tmp_path):
    shutil.copytree(searched[0], tmp_path / "run")
    before = (tmp_path / "run" / store.JOURNAL).read_bytes()
    assert "run already holds a study: continue it with 'frugalnas resume run'" in complaint(capsys, *searching())
    assert (tmp_path / "run" / store.JOURNAL).read_bytes() == before


@pytest.mark.parametrize("command", ["resume", "report", "show"])
def test_a_folder_without_a_study_is_named(alone, capsys, command):
    Path("nothing").mkdir()
    assert "nothing holds no study" in complaint(capsys, command, "nothing")


def rewritten(folder, **header):
    """The study in `folder` with another header, its checksums made anew."""
    old, events = store.read(folder)
    del old["format"]
    (folder / store.JOURNAL).unlink()
    journal = store.Journal.create(folder, old | header)
    for event in events:
        journal.append(event)
    journal.close()


def test_a_study_that_does_not_fit_is_refused_and_left_alone(alone, searched, capsys, caplog, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(searched[0], folder)
    path, good = folder / store.JOURNAL, (folder / store.JOURNAL).read_bytes()
    header, _ = store.read(folder)
    for changes, message in (
        (
            {"config": header["config"] | {"colour": 1}, "version": "9.1"},
            "was written by version 9.1 of frugalnas and this is",
        ),
        ({"config": header["config"] | {"colour": 1}}, "unknown key 'colour'"),
        ({"config": header["config"] | {"seed": 4}}, "the journal does not fit"),
        ({"config": {"seed": 4}}, "holds a journal of no search"),
        ({"data": "00000000"}, "have changed since the study"),
    ):
        rewritten(folder, **changes)
        before = path.read_bytes()
        assert message in complaint(capsys, "resume", folder, "--trials", 20)
        assert path.read_bytes() == before
        path.write_bytes(good)
    path.write_bytes(good.replace(b'"status":"done"', b'"status":"gone"', 1))
    assert "does not match its checksum" in complaint(capsys, "resume", folder)
    path.write_bytes(good[:100])
    assert "is not a FrugalNAS journal" in complaint(capsys, "resume", folder)
    caplog.clear()
    path.write_bytes(good[:-100])
    assert run("resume", folder) == 0 and path.read_bytes() == good
    assert [said for said in caplog.messages if "ended in an unfinished line, which was cut" in said] == caplog.messages
    assert len(caplog.messages) == 1
    assert "trials = 0" in complaint(capsys, "resume", folder, "--trials", 0)
    assert "workers = 0" in complaint(capsys, "resume", folder, "--workers", 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"config": {}},
        {
            "config": {
                "objectives": ["error"],
                "limits": {},
                "method": "",
                "preset": "",
                "seed": 0,
                "data": {"source": ""},
            }
        },
        {"facts": {"in_channels": "x", "classes": 4, "resolution": 8}},
        {"facts": {"in_channels": 0}},
    ],
)
def test_a_hostile_run_folder_is_refused_in_one_line(searched, capsys, tmp_path, changes):
    shutil.copytree(searched[0], tmp_path / "run")
    rewritten(tmp_path / "run", **changes)
    for command in ("show", "resume") if "config" in changes else ("show",):
        assert str(tmp_path / "run") in complaint(capsys, command, tmp_path / "run")


def test_a_search_resumes_from_another_working_folder(alone, capsys, tmp_path, monkeypatch):
    assert run(*searching()) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run("resume", "../run", "--trials", 4) == 0


def test_images_that_changed_are_noticed(alone, capsys, tmp_path):
    assert run(*searching()) == 0
    capsys.readouterr()
    images(tmp_path / "good.npz", seed=1)
    assert "good.npz' have changed" in complaint(capsys, "resume", "run", "--trials", 4)
    (tmp_path / "good.npz").unlink()
    assert "there is no data set, folder or file" in complaint(capsys, "resume", "run", "--trials", 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"genotype": [0] * 31}, "the genotype has 31 genes: expected 32"),
        ({"genotype": [99] + [0] * 31}, "gene 0 is 99: expected 0 to 8"),
        ({"genotype": ["x"] * 32}, "gene 0 is 'x': expected a whole number"),
        ({"version": 2}, "version is 2"),
        ({"genotipe": []}, "did you mean 'genotype'?"),
    ],
)
def test_a_bad_architecture_file_is_named(searched, capsys, tmp_path, change, message):
    assert run("show", searched[0], "--json") == 0
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(json.loads(capsys.readouterr().out) | change))
    said = complaint(capsys, "show", file)
    assert message in said and str(file) in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serch"], "No such command 'serch'"),
        (["list", "method"], "did you mean 'methods'?"),
        (["show", "EEEA-Z"], "unknown architecture 'EEEA-Z'"),
        (["show", "runs/none"], "it is no file, no folder and no name in 'frugalnas list architectures'"),
        (["show", "EEEA-C", "--trial", "3"], "'EEEA-C' is not the folder of a search"),
        (["show", "EEEA-C", "--convention", "dn"], "Invalid value for '--convention'"),
        (["show", '{"format": 1}'], "format is 1"),
        (["show", "absent.json"], "absent.json: No such file or directory"),
        (["show", "EEEA-C", "--svg", "/proc/no/x.svg"], "cannot write /proc/no/x.svg"),
        (["data", "check", "absent"], "there is no data set"),
        (["inspect", "--samples", "0"], "Invalid value for '--samples'"),
    ],
)
def test_other_wrong_words_are_named(alone, capsys, arguments, message):
    assert message in complaint(capsys, *arguments)


def test_a_trial_that_the_search_does_not_have_is_named(searched, capsys):
    assert "has no trial 99: it has 14" in complaint(capsys, "show", searched[0], "--trial", 99)


def test_inspect_says_what_the_limits_accept(alone, capsys):
    given = ["inspect", "--data", "good.npz", "--samples", 300, *SMALL]
    assert run(*given, "--limit", "params=inf") == 0
    assert "Limits: none; they accept 100.0% of random genotypes" in capsys.readouterr().out
    assert run(*given, "--limit", "params=inf", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["accepted"] == 1 and facts["possible"] and facts["genotypes"] > 1e20
    assert all(facts["costs"]["params"].values())
    assert set(facts["costs"]) == {"params", "macs", "model_bytes", "peak_bytes"}
    low = facts["costs"]["params"]["smallest"]
    assert run(*given, "--limit", f"params={low}") == 0
    said = capsys.readouterr().out
    assert "they accept a tiny share, none of 300 random genotypes: a search will mostly reject" in said
    assert run(*given, "--limit", f"params={low - 1}", "--json") == 2
    said = capsys.readouterr()
    assert not json.loads(said.out)["possible"] and f"(smallest {low:,.6g})" in said.err


def test_limits_that_stop_a_search_midway_leave_its_report(alone, capsys):
    said = complaint(capsys, *searching("--limit", "params=8k", "--set", "max_rejections=4", "--trials", 200))
    assert "4 candidates in a row were rejected, 4 by params <= 8,000" in said
    rows = list(csv.DictReader(Path("run/trials.csv").read_text().splitlines()))
    assert {row["status"] for row in rows} == {"done", "rejected"} and Path("run/report.html").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="limits the file size through setrlimit")
def test_a_full_disk_keeps_what_was_told_and_says_how_to_go_on(alone, capsys, tmp_path):
    import resource

    assert run(*searching(out="twin")) == 0
    twin = Path("twin", store.JOURNAL).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(twin) - 300, hard))
        said = complaint(capsys, *searching())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)
    assert "cannot write run/journal.jsonl: File too large; nothing told is lost" in said
    assert "continue with 'frugalnas resume run'" in said
    cut = Path("run", store.JOURNAL).read_bytes()
    assert run("resume", "run") == 0
    assert len(cut) > 1000 and twin.startswith(cut) and Path("run", store.JOURNAL).read_bytes() == twin
    assert "3 networks rated" in capsys.readouterr().out


def test_minutes_alone_are_the_whole_budget(alone, capsys):
    """The preset's 48 trials would end these searches of tiny networks well before."""
    tiny = ["--set", 'space.operations=["skip_connect"]', "--set", "space.blocks=1"]
    given = ["search", "--data", "good.npz", "--out", "run", *SMALL, *tiny, "--set", "strategy.type=random"]
    assert run(*given, "--minutes", 0.02, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["config"]["trials"] is None and facts["config"]["minutes"] == 0.02


def test_resuming_for_minutes_goes_on_beyond_the_old_trials(alone, capsys):
    assert run(*searching()) == 0
    capsys.readouterr()
    assert run("resume", "run", "--minutes", 0.05, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["ended"] == "minutes" and facts["statuses"]["done"] > 3


def test_show_counts_by_every_convention_and_says_what_it_leaves_out(capsys):
    said = {}
    for convention in ("conv_linear", "nsganet", "dna"):
        assert run("show", "EEEA-C", "--convention", convention) == 0
        said[convention] = capsys.readouterr().out
        count = frugalnas.count("EEEA-C")
        assert f"MACs {count.macs_by(convention):,} (convention {convention})" in said[convention]
        left_out = said[convention].splitlines()[-1]
        for name, elements in count.not_counted(convention).items():
            assert f"{elements:,} {name}" in left_out
    assert "batch_norm" in said["conv_linear"] and "batch_norm" not in said["dna"]
    assert run("show", "EEEA-C") == 0 and capsys.readouterr().out == said["conv_linear"]


def test_report_picks_networks_of_the_front(searched, capsys):
    folder, _, done = searched
    assert run("report", folder, "--pick", 2, "--json") == 0
    picked = json.loads(capsys.readouterr().out)["front"]
    front = json.loads(done.stdout)["front"]
    assert len(picked) == min(2, len(front)) and all(entry in front for entry in picked)
    assert run("report", folder, "--pick", 2) == 0
    assert f"{len(picked)} of {len(front)}" in capsys.readouterr().out
    assert "k = 0: expected 1 or more" in complaint(capsys, "report", folder, "--pick", 0)


@pytest.mark.parametrize("what", LISTINGS)
def test_lists_are_not_empty_and_come_as_json(capsys, what):
    assert run("list", what) == 0
    lines = capsys.readouterr().out.splitlines()
    assert run("list", what, "--json") == 0
    entries = json.loads(capsys.readouterr().out)
    assert len(lines) == len(entries) > 0
    for line, (name, about) in zip(lines, entries.items(), strict=True):
        assert line.startswith(name) and (about if isinstance(about, str) else about.get("title", name)) in line


@pytest.mark.parametrize("command", ["", "search", "resume", "report", "inspect", "list", "show", "data check"])
def test_help_teaches_by_example(command, capsys, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    assert run(*command.split(), "--help") == 0
    said = capsys.readouterr().out
    assert f"frugalnas {command}".strip() in said.split("Usage:")[1].split("\n", 1)[1] and "\x1b" not in said


def test_data_check_prints_json(alone, capsys):
    assert run("data", "check", "good.npz", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["usable"] and facts["parts"] == {"train": 120} and facts["resolution"] == 8


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_sees_the_front_while_it_searches(alone, monkeypatch, capsys):
    """The live view is for stderr as a terminal only: elsewhere (see above) a search says nothing there."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert run(*searching("--trials", 12)) == 0
    seen = terminal.getvalue()
    assert "rated" in seen and "networks/min" in seen and "min left" in seen and "(knee)" in seen
    assert "12 networks rated" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_sees_how_many_were_rated_on_which_rung(tmp_path, alone, monkeypatch, capsys):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    rungs = [f"estimators.{rung}.fidelity.{size}" for rung in range(3) for size in ("width=2", "depth=3", "epochs=3")]
    sets = ("space.channels=4", "space.cells=3", "task.recipe.batch=16", "strategy.population=2", *rungs)
    options = [word for each in sets for word in ("--set", each)]
    data = images(tmp_path / "some.npz")
    out = tmp_path / "out"
    assert run("search", "--method", "econas", "--data", data, *options, "--trials", 5, "--out", out) == 0
    assert "rated (rung 0: " in terminal.getvalue()
