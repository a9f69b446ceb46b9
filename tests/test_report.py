"""Reports: made from the journal alone, true to it, and safe to open wherever it is from."""

from __future__ import annotations

import csv
import html.parser
import io
import itertools

import pytest

from frugalnas import record, report, store, zoo
from frugalnas.core import Candidate, InputError, Trial
from frugalnas.drawing import _ACROSS, _CARD, _DOWN, _places, svg_of, text_of

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
    """Text and table cells of a page, without its scripts."""

    def __init__(self):
        super().__init__()
        self.tags, self.rows, self.words, self._inside = [], [], "", []

    def handle_starttag(self, tag, attributes):
        self._inside.append(tag)
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag):
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data):
        if self._inside and self._inside[-1] in ("td", "th"):
            self.rows[-1].append(data)
        if not self._inside or self._inside[-1] not in ("script", "style"):
            self.words += data


def test_the_page_shows_the_front_and_escapes_everything_from_the_journal(tmp_path):
    record = report.write_report(journal(tmp_path))
    text = (tmp_path / "report.html").read_text()
    page = Page()
    page.feed(text)
    assert page.rows[0] == ["trial", "validation error", "multiply-accumulates for one image", "parameters", "loss"]
    assert len(page.rows) == 1 + len(record.front)
    assert page.rows[1][1:] == [report.amount(n, record.front[0].values[n]) for n in (*OBJECTIVES, "loss")]
    assert EVIL in page.words and EVIL not in text
    assert f"6 failed: RuntimeError: {EVIL}" in page.words and "6 rejected by params" in page.words
    assert "params ≤ 200 k" in page.words
    assert text.count('class="plotly-graph-div"') == 2 and "cdn.plot.ly" not in text.replace(
        "https://cdn.plot.ly/un", ""
    )


def test_names_from_the_journal_cannot_become_markup(tmp_path):
    given = [Trial(0, Candidate((1,)), "done", {EVIL: 0.5, "error": 0.1, "b</script>": 1.0})]
    config = CONFIG | {
        "objectives": ["error", EVIL, "b</script>"],
        "data": {"source": "x"},
        "method": EVIL,
        "seed": EVIL,
    }
    report.write_report(journal(tmp_path, {"config": config, "version": EVIL}, given))
    text = (tmp_path / "report.html").read_text()
    assert EVIL not in text and "b</script>" not in text
    assert '"name":"best by &lt;script' in text, "plotly takes some markup in names"


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


@pytest.mark.parametrize("name", zoo.names())
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
    assert _CARD < _ACROSS and _DOWN > 44


@pytest.mark.parametrize("name", zoo.names())
def test_drawing_and_text_name_every_operation(name):
    found = zoo.load(name)
    cells = found.space.describe(found.genotype)
    operations = [op for cell in cells.values() for block in cell.blocks for op, _ in block]
    svg, text = svg_of(cells), text_of(cells)
    for operation, group in itertools.groupby(sorted(operations)):
        assert svg.count(f">{operation}</text>") == text.count(f"{operation}(") == len(list(group))
