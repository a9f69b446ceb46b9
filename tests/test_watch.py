"""The live view: a study is followed from its files alone, whatever is in them, and served to this computer only."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugalnas import record, store
from frugalnas.core import Candidate, InputError, Trial
from frugalnas.report.effort import growth
from frugalnas.watch import figures, page, state
from frugalnas.watch.follow import Followed
from frugalnas.watch.page import Runs
from frugalnas.watch.serve import application, bound
from hostile import bodies_of, changes, fuzz, journal_of
from tiny import run

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
EVIL = "<img src=http://evil.example/x onerror=alert(1)></script>"
SPACE = {"type": "cell", "operations": ["skip_connect", "sep_conv_3x3", "max_pool_3x3"], "blocks": 2}


def journal(folder, objectives=("error", "params"), trials=40, **more):
    config = {
        **{"method": "eeea", "preset": EVIL, "objectives": [*objectives], "limits": {"params": 230_000}, "seed": 3},
        **{"data": {"source": "shoes"}, "space": SPACE, "trials": trials, "minutes": None, "epochs": None},
        **{"executor": {"type": "processes", "workers": 2}, "estimators": [{"type": "train"}], **more},
    }
    facts = {"in_channels": 3, "classes": 4, "resolution": 16}
    header = {"version": "0.1.0", "config": config, "facts": facts, "data": "", "images": {"train": 100}}
    return store.Journal.create(folder, header)


def network(n, rung=0, objectives=("error", "params", "macs")):
    """Later ones err less and are larger, but every fifth is worse than the one before, and every seventh fails."""
    genes = (n % 3, 0, 1, 0, 2, n % 2, n // 3 % 3, 1) * 2
    bad = n % 5 == 4
    values = (0.9 / (2 + n) + 0.1 * bad, 1e5 + 9e3 * n + 1e4 * bad, 1e6 * (30 + n * 7 % 9 + 9 * bad))
    status = "failed" if n % 7 == 6 else "done"
    named = dict(zip(objectives, values, strict=False)) if status == "done" else {}
    return Trial(n, Candidate(genes, rung, (n - 1,) if n else ()), status, named, EVIL if status == "failed" else "")


def tell(log, trial, ask=True):
    if ask:
        log.append(store.ask_event(trial.number, trial.candidate))
    log.append(store.tell_event(trial))
    log.time(trial.number, 1.5)


def followed(folder):
    study = Followed(folder)
    study.read()
    return study


@pytest.mark.parametrize("objectives", [("error", "params"), ("error", "params", "macs"), ("error",)])
@pytest.mark.parametrize("step", [1, 7])
def test_a_growing_study_is_followed_as_the_report_reads_it(tmp_path, objectives, step):
    log, study, revisions = journal(tmp_path, objectives), Followed(tmp_path), set()
    for n in range(21):
        tell(log, network(n, objectives=objectives))
        if n % step == step - 1:
            study.read()
            revisions.add(study.revision)
            whole = record.load(tmp_path)
            assert {t.number for t in study.archive.members} == {t.number for t in whole.front}
            assert [*study.trials.values()] == [*whole.trials] and study.seconds == whole.seconds
            assert study.causes == dict(record.reasons(whole.trials))
    assert len(revisions) == 21 // step
    study.read()
    assert study.revision == max(revisions), "nothing new, nothing to draw"
    grown = growth(whole)
    assert state.growth_of(study)[-1][2] == pytest.approx(grown.shares[-1])
    curve = [[share for at, _, share in state.growth_of(study) if at <= rated][-1] for rated in grown.rated]
    assert curve == pytest.approx(grown.shares), "between its points the curve is level"
    log.close()


def test_a_torn_line_is_read_once_it_is_whole(tmp_path):
    log = journal(tmp_path)
    tell(log, network(0))
    path, whole = tmp_path / store.JOURNAL, (tmp_path / store.JOURNAL).read_bytes()
    tell(log, network(1))
    log.close()
    more = path.read_bytes()[len(whole) :]
    study = Followed(tmp_path)
    for end in (0, 9, more.index(b"\n"), more.index(b"\n") + 5, len(more)):
        path.write_bytes(whole + more[:end])
        study.read()
        assert not study.trouble and len(study.trials) == 1 + (end == len(more))
        assert len(study.untold) == (more.index(b"\n") < end < len(more))


def test_damage_is_told_of_and_a_mended_or_another_journal_is_read_anew(tmp_path):
    log, path = journal(tmp_path / "a"), tmp_path / "a" / store.JOURNAL
    tell(log, network(0))
    study = followed(tmp_path / "a")
    tell(log, network(1))
    log.close()
    good = path.read_bytes()
    path.write_bytes(good[:-30] + b"x" + good[-29:])
    study.read()
    assert state.life_of(study)[0] == "unreadable" and "line 5 does not match its checksum" in state.life_of(study)[1]
    assert figures.front(study, "params", {}, False)["data"] == []
    seen = study.revision
    study.read()
    assert study.revision == seen, "what is damaged is not read again and again"
    path.write_bytes(good)
    study.read()
    assert len(study.trials) == 2 and not study.trouble
    other = journal(tmp_path / "b", ("error", "macs"))
    tell(other, network(0))
    other.close()
    for name in (store.JOURNAL, store.TIMES):
        shutil.copy(tmp_path / "b" / name, tmp_path / "a" / name)
    study.read()
    assert study.objectives == ("error", "macs") and len(study.trials) == 1 and study.seconds == {0: 1.5}


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"what": 1}, "holds a journal of no search"),
        ({"config": {"objectives": ["error"], "limits": {"params": "<b>"}}}, "holds a journal of no search"),
    ],
)
def test_a_journal_of_something_else_is_told_of(tmp_path, header, words):
    store.Journal.create(tmp_path, header).close()
    assert words in followed(tmp_path).trouble


@pytest.mark.parametrize(
    "text", [b"\n", b"{}\n", b'{"format":1}\n', b'{"format":1,"sum":"00000000"}\n', b"[" * 9999 + b"\n"]
)
def test_a_file_that_is_no_journal_is_told_of(tmp_path, text):
    (tmp_path / store.JOURNAL).write_bytes(text)
    (tmp_path / store.TIMES).write_bytes(text + b'{"pid":1}\n\xff\xfe\n')
    assert "does not match its checksum" in followed(tmp_path).trouble


def test_events_that_no_search_writes_are_told_of(tmp_path):
    for number, event in enumerate(
        [
            {"tell": 5, "status": "done", "values": {}, "reason": ""},
            {"ask": 0, "genotype": "x", "rung": 0, "parents": []},
            {"ask": 0, "genotype": [10**400], "rung": 0, "parents": []},
            {"hello": 1},
        ]
    ):
        log = journal(tmp_path / str(number))
        log.append(event)
        if "genotype" in event:
            log.append({"tell": 0, "status": "done", "values": {"error": 0.1, "params": 1.0}, "reason": ""})
        log.close()
        assert "no search" in followed(tmp_path / str(number)).trouble
    log = journal(tmp_path / "lacking")
    tell(log, Trial(0, Candidate((0,) * 16), "done", {"error": 0.1}))
    log.close()
    assert "no value 'params'" in followed(tmp_path / "lacking").trouble


def test_whether_a_study_runs(tmp_path):
    assert state.life_of(followed(tmp_path / "none"))[0] == "waiting"
    log = journal(tmp_path / "run", trials=3)
    tell(log, network(0))
    log.append(store.ask_event(1, network(1).candidate))
    study = followed(tmp_path / "run")
    assert (
        state.life_of(study) == ("running", state.life_of(study)[1]) and f"pid {os.getpid()}" in state.life_of(study)[1]
    )
    assert [(number, round(seconds)) for number, _, seconds in study.under_way()] == [(1, 0)]
    log.close()
    study.read()
    life, words = state.life_of(study)
    assert life == "interrupted" and f"frugalnas resume {tmp_path / 'run'}" in words
    log = store.Journal(tmp_path / "run")
    tell(log, network(1), ask=False)
    tell(log, network(2))
    log.close()
    study.read()
    assert state.life_of(study)[0] == "finished" and state.share_of(study) == 1
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for pid, host, life in ((gone.pid, socket.gethostname(), "interrupted"), (gone.pid, "elsewhere", "running")):
        with (tmp_path / "run" / store.TIMES).open("a") as file:
            file.write(json.dumps({"pid": pid, "host": host, "elapsed": 9.0}) + "\n")
        study.read()
        assert state.life_of(study)[0] == life
    assert "elsewhere, which cannot be asked" in state.life_of(study)[1]


def test_speed_and_time_left_follow_the_present_session(tmp_path):
    log = journal(tmp_path, trials=30)
    lines = [{"pid": 1, "host": "a", "elapsed": 0.0}, {"tell": 0, "seconds": 4.0, "elapsed": 500.0}]
    lines += [{"pid": 1, "host": "a", "elapsed": 600.0}]
    lines += [{"tell": n, "seconds": 4.0, "elapsed": 600.0 + 6 * n} for n in range(1, 11)]
    for n in range(11):
        log.append(store.ask_event(n, network(n).candidate))
        log.append(store.tell_event(network(n)))
    (tmp_path / store.TIMES).write_text("".join(json.dumps(line) + "\n" for line in lines))
    study = followed(tmp_path)
    assert state.speed_of(study) == pytest.approx(10.0)
    assert state.left_of(study) == pytest.approx(19 * 6)
    assert state.share_of(study) == pytest.approx(11 / 30)
    ends, rates = state.rates_of(study)
    assert ends[-1] == pytest.approx(11.0) and sum(rates) * ends[0] == pytest.approx(11)
    assert ("workers busy, on average", f"{44 / 660:.2f}") in state.work_of(study)
    log.close()


def test_rungs_and_looks_are_parted(tmp_path):
    ladder = [{"type": "zero_cost"}, {"type": "train"}, {"type": "train"}]
    log = journal(tmp_path, prescreen={"candidates": 3}, estimators=ladder)
    for n, rung in enumerate([0, 0, 1, 1, 2, 2]):
        tell(log, network(n, rung))
    log.close()
    study, whole = followed(tmp_path), record.load(tmp_path)
    assert study.looks == {trial.number for trial in whole.looks} == {0, 1}
    assert state.rungs_of(study) == [("rung 0", "train", "2"), ("rung 1", "train", "2")]
    assert [trial.number for trial in whole.front] == sorted(t.number for t in study.archive.members)
    assert ("looked at before", "2") in state.figures_of(study)
    assert state.portrait_of(study, 0).standing.startswith("only looked at")


def test_runs_are_found_below_a_folder_and_links_are_not_followed(tmp_path):
    for name in ("one", "group/two", "group/deep/er/three", ".hidden/four", "outside/five"):
        journal(tmp_path / "runs" / name).close()
    (tmp_path / "runs" / "outside").rename(tmp_path / "outside")
    (tmp_path / "runs" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "runs" / "note.txt").write_text("")
    os.utime(tmp_path / "runs" / "group" / "two" / store.JOURNAL, (2e9, 2e9))
    found = [path.relative_to(tmp_path / "runs").as_posix() for path in state.runs_in([tmp_path / "runs"])]
    assert found[0] == "group/two" and {*found} == {"one", "group/two", "group/deep/er/three"}
    runs = Runs([tmp_path / "runs"])
    assert runs.read(str(tmp_path / "outside" / "five")) is None, "only what is listed can be opened"
    assert runs.read(str(tmp_path / "runs" / "one")).header
    assert [*Runs([tmp_path / "new"]).names()] == [str(tmp_path / "new")]


def test_of_many_points_few_are_drawn_and_the_front_whole(tmp_path):
    rng, log = np.random.default_rng(0), journal(tmp_path, trials=9000)
    for n, (x, y) in enumerate(rng.random((6000, 2)).tolist()):
        x, y = (x, y) if n % 10 else (x / 100, (1 - x) / 100)  # a front of its own
        trial = Trial(n, Candidate((0,) * 16), "done", {"error": y, "params": 1e5 * x})
        log.append(store.ask_event(n, trial.candidate))
        log.append(store.tell_event(trial))
    log.close()
    study = followed(tmp_path)
    traces = {trace["name"]: trace for trace in figures.front(study, "params", {"A": 3, "B": None}, True)["data"]}
    members = {trial.number for trial in study.archive.members}
    assert members == {trial.number for trial in record.load(tmp_path).front} and len(members) > 100
    assert {*traces["Pareto front"]["customdata"]} == members
    assert 500 < len(traces["other networks"]["x"]) <= figures.MOST_DOTS
    assert traces["A"]["customdata"] == [3] and "B" not in traces
    best = sorted(study.archive.members, key=lambda trial: trial.values["params"])
    assert traces["front of these two"]["y"] == [trial.values["error"] for trial in best]


def test_markup_in_names_is_no_markup_for_plotly(tmp_path):
    log = journal(tmp_path, ("error", EVIL))
    tell(log, network(0, objectives=("error", EVIL)))
    log.close()
    study = followed(tmp_path)
    figure = json.dumps([figures.front(study, EVIL, {}, False), figures.growth(study, "minutes", False)])
    texts = re.findall(r'"(?:text|hovertext)": (?:"([^"]*)"|\[([^\]]*)\])', figure)
    assert "&lt;img" in figure and not any("<img" in "".join(text) for text in texts)


@pytest.fixture(scope="module")
def some(tmp_path_factory):
    """A study with trials of all kinds: its folder."""
    folder = tmp_path_factory.mktemp("some")
    log = journal(folder)
    for n in range(8):
        tell(log, network(n))
    rejected = Trial(8, network(8).candidate, "rejected", {"params": 3e5}, "params 300,000 > 230,000")
    tell(log, rejected)
    log.append(store.ask_event(9, network(9).candidate))
    log.close()
    return folder


@fuzz(12)
@given(data=st.data())
def test_any_journal_and_any_times_are_shown_or_told_of(some, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("hostile")
    lines = bodies_of(some / store.JOURNAL)
    at = data.draw(st.integers(0, len(lines) - 1), "line")
    texts = [json.dumps(line) for line in lines]
    texts[at] = data.draw(changes(lines[at])).of(lines[at])
    if texts[at].startswith("{"):
        (folder / store.JOURNAL).write_bytes(journal_of(texts))
    entries = [json.loads(line) for line in (some / store.TIMES).read_text().splitlines()]
    at = data.draw(st.integers(0, len(entries) - 1), "entry")
    words = [json.dumps(entry) for entry in entries]
    words[at] = data.draw(changes(entries[at])).of(entries[at])
    (folder / store.TIMES).write_bytes("\n".join(words).encode("utf-8", "surrogatepass") + b"\n")
    study = followed(folder)
    shown = [state.life_of(study), state.figures_of(study), state.work_of(study), page.heading(study)]
    shown += [figures.front(study, axis, {"A": 0, "B": 1}, True) for axis in figures.axes_of(study)]
    shown += [figures.growth(study, "minutes", True), figures.rates(study, True), state.left_of(study)]
    shown += [page.front_table(study, {}), page.causes(study), page.rungs(study), page.under_way(study, True)]
    shown += [page.panel(study, 0, 8, True), page.panel(study, 1, None, False)]
    json.dumps(shown, default=lambda each: each.to_plotly_json()).encode()
    if study.trouble:
        assert not study.trials


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """`frugalnas watch` as a process: its address, its line, and the folder of runs. Ctrl-C ends it without a word."""
    runs = tmp_path_factory.mktemp("watched") / "runs"
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from frugalnas.cli import main\nsys.argv[0] = 'frugalnas'; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "watch", str(runs)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    line = process.stdout.readline()
    try:
        yield line.split()[0], line, runs
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stdout.read() == ""
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def ask(url, **headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def test_it_answers_to_its_own_address_on_loopback_only(served):
    url, line, runs = served
    port = int(url.rsplit(":", 1)[1].strip("/"))
    assert url == f"http://127.0.0.1:{port}/" and f"waiting for {runs}" in line
    status, headers, body = ask(url)
    assert status == 200 and "Access-Control-Allow-Origin" not in headers
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe-eval" not in headers["Content-Security-Policy"]
    assert not re.search(rb"(?:src|href)=\"(?:https?:)?//", body), "nothing from elsewhere"
    assert ask(url.replace("127.0.0.1", "localhost"))[0] == 200
    for headers in ({"Host": "evil.example"}, {"Host": f"evil.example:{port}"}, {"Origin": "http://evil.example"}):
        assert ask(url, **headers)[0] == 403
        assert ask(f"{url}_dash-layout", **headers)[0] == 403
    for address in (
        "127.0.0.2",
        *(info[4][0] for info in socket.getaddrinfo(socket.gethostname(), port, socket.AF_INET)),
    ):
        if address != "127.0.0.1":
            with pytest.raises(OSError):
                socket.create_connection((address, port), timeout=2)


def test_a_taken_port_is_one_line(served):
    port = int(served[0].rsplit(":", 1)[1].strip("/"))
    with pytest.raises(InputError, match=f"--port {port}: .*in use"):
        bound(port)


def test_a_file_is_no_folder_of_runs(tmp_path, capsys):
    (tmp_path / "journal.jsonl").write_text("")
    assert run("watch", tmp_path / "journal.jsonl") == 2
    assert "is a file: expected the folder of a search" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["dash", "waitress"])
def test_a_missing_library_is_one_line(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(InputError, match=r"pip install 'frugalnas\[watch\]'"):
        application([], list)


@pytest.fixture(scope="module")
def opened(served):
    """The page in a browser, before there is any run; in the end, that nothing outside was asked for."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[dev]'")
    if CHROMIUM is None:
        pytest.skip("no chromium and no google-chrome on the PATH")
    asked, complaints, url = [], [], served[0]
    with sync_api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
        except sync_api.Error as error:
            pytest.skip(f"{CHROMIUM} does not start: {str(error).splitlines()[0]}")
        tab = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("dialog", lambda dialog: complaints.append(dialog.message))
        tab.goto(url)
        yield tab
        browser.close()
    assert not complaints
    assert asked and all(each.startswith((url, "data:")) for each in asked)


LOCATE = """number => {
    for (const plot of document.querySelectorAll("#charts .js-plotly-plot")) for (const trace of plot.data) {
        const place = (trace.customdata || []).indexOf(number), {xaxis, yaxis} = plot._fullLayout;
        if (place < 0) continue;
        const {left, top} = plot.getBoundingClientRect();
        return [left + xaxis._offset + xaxis.d2p(trace.x[place]), top + yaxis._offset + yaxis.d2p(trace.y[place])];
    }
}"""
NUMBERS = """() => [...new Set([...document.querySelectorAll("#charts .js-plotly-plot")].flatMap(
    plot => plot.data.flatMap(trace => trace.customdata || [])))].sort((a, b) => a - b)"""


def until(tab, script, value):
    """Wait until a script of the page gives this; its policy forbids Playwright's own way."""
    for _ in range(300):
        if tab.evaluate(script) == value:
            return
        tab.wait_for_timeout(50)
    assert tab.evaluate(script) == value


def drawn(tab, numbers):
    until(tab, NUMBERS, numbers)


def click(tab, number):
    """Click the point of a trial, again where the chart was just drawn anew."""
    shown = tab.locator("#panel h2", has_text=f"Trial {number}")
    for _ in range(10):
        tab.mouse.click(*tab.evaluate(LOCATE, number))
        for _ in range(30):
            if shown.count():
                return
            tab.wait_for_timeout(100)
    raise AssertionError(f"no click shows trial {number}")


def test_the_page_follows_a_study_from_before_its_beginning(opened, served):
    tab, runs = opened, served[2]
    tab.locator("#life.waiting").wait_for()
    log = journal(runs / "first")
    for n in range(6):
        tell(log, network(n))
    drawn(tab, [*range(6)])
    tab.locator("#life.running").wait_for()
    assert tab.locator("h1").inner_text() == "eeea on shoes" and EVIL in tab.locator("#facts").inner_text()
    for n in range(6, 9):
        tell(log, network(n))
    log.append(store.ask_event(9, network(9).candidate))
    drawn(tab, [0, 1, 2, 3, 4, 5, 7, 8])
    tab.locator("#under-way td", has_text="9").first.wait_for()
    front = [trial.number for trial in record.load(runs / "first").front]
    assert [int(words.split()[0]) for words in tab.locator("#front button").all_inner_texts()] == front
    assert tab.locator("#causes td").all_inner_texts() == ["1", f"failed: {EVIL}"]
    names = tab.locator("#figures dt").all_inner_texts()
    figure = dict(zip(names, tab.locator("#figures dd").all_inner_texts(), strict=True))
    assert figure["networks rated"] == "8" and figure["failed"] == "1" and figure["on the front"] == str(len(front))
    assert tab.locator("#growth .js-line").count() and tab.locator("#rates .bars .point").count()
    log.close()
    tab.locator("#life.interrupted").wait_for()


def test_a_click_shows_values_and_cells_and_a_second_one_compares(opened, served):
    tab = opened
    click(tab, 3)
    assert tab.locator("#panel tr", has_text="parameters").inner_text().split("\t") == [
        "parameters",
        "127 k",
        "127,000",
    ]
    cells = tab.locator("#panel img")
    assert cells.count() == 2 and cells.first.get_attribute("src").startswith("data:image/svg+xml;base64,")
    assert tab.evaluate("[...document.querySelectorAll('#panel img')].every(image => image.naturalWidth > 100)")
    assert "sep_conv_3x3" in cells.first.get_attribute("alt")
    tab.get_by_label("the next click compares").check()
    click(tab, 4)
    assert tab.locator("#panel img").count() == 4
    row = tab.locator("#panel tr", has_text="validation error").inner_text().split("\t")
    assert row == ["validation error", "18.00 %", "25.00 %", "+7.00 % (+38.9 %)"]
    assert tab.locator("#a").input_value() == "3" and tab.locator("#b").input_value() == "4"
    tab.locator("#b").fill("5")
    tab.keyboard.press("Enter")
    tab.locator("#panel h2", has_text="Trial 5").wait_for()
    tab.locator("#front button").first.press("Enter")
    tab.locator("#panel h2", has_text="Trial 8").wait_for()


def test_runs_can_be_chosen_and_new_ones_appear(opened, served):
    tab, runs = opened, served[2]
    log = journal(runs / "group" / "second", ("error", "params", "macs"))
    tell(log, network(0))
    tab.wait_for_timeout(2000)  # until the clock of the page has struck
    tab.locator("#run").click()
    tab.get_by_text("group/second", exact=True).click()
    until(tab, "document.querySelectorAll('#charts .js-plotly-plot').length", 2)
    drawn(tab, [0])
    assert tab.locator("#panel").inner_text() == "" and tab.locator("#a").input_value() == ""
    log.append({"hello": 1})
    log.close()
    tab.locator("#life.unreadable", has_text="no search").wait_for()


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_it_fits_a_narrow_window_in_both_colour_schemes(opened, scheme):
    tab = opened
    tab.set_viewport_size({"width": 390, "height": 800})
    tab.emulate_media(color_scheme=scheme)
    ground, ink = {"light": ("rgb(255, 255, 255)", "#566372"), "dark": ("rgb(18, 23, 29)", "#a3afbd")}[scheme]
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == ground
    until(tab, "document.querySelector('#growth .js-plotly-plot').layout.font.color", ink)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
