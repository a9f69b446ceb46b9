"""The report in a browser: it opens from its file, asks the network for nothing, and answers a click and the keys."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from frugalnas import pareto, report, store
from frugalnas.core import Candidate, Trial

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[dev]'")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium and no google-chrome on the PATH")

EVIL = "<img src=http://evil.example/x onerror=alert(1)></script>"
SPACE = {"type": "cell", "operations": ["skip_connect", "sep_conv_3x3", "max_pool_3x3"], "blocks": 2}
TITLES = {"error": "validation error", "params": "parameters", "macs": "multiply-accumulates for one image"}
COUNT = 14


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        try:
            chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
        except sync_api.Error as error:
            pytest.skip(f"{CHROMIUM} does not start: {str(error).splitlines()[0]}")
        yield chromium
        chromium.close()


def networks(rungs, objectives):
    """Later ones err less and are larger, but every fifth is worse than the one before; each has two parents."""
    for n in range(COUNT):
        genes = (n % 3, 0, 1, 0, 2, n % 2, n // 3 % 3, 1) * 2
        parents = () if n < 3 else (n - 1, n - 3, *[13] * (n == 13))  # the last is its own parent
        bad = n % 5 == 4
        values = (0.5 - 0.02 * n + 0.1 * bad, 1e5 + 9e3 * n + 1e4 * bad, 1e6 * (30 + n * 7 % 9 + 9 * bad) + 123)
        named = dict(zip(objectives, values, strict=False))
        candidate = Candidate(genes, int(n >= 7) if rungs > 1 else 0, parents)
        yield Trial(n, candidate, "done", named, EVIL if n == 13 else "")


def written(folder, objectives, rungs=1):
    config = {
        **{"method": "eeea", "preset": EVIL, "objectives": [*objectives], "limits": {"params": 230_000}, "seed": 3},
        **{"data": {"source": EVIL}, "space": SPACE},
    }
    facts = {"in_channels": 3, "classes": 4, "resolution": 16}
    journal = store.Journal.create(folder, {"version": "0.1.0", "config": config, "facts": facts, "data": ""})
    for trial in networks(rungs, objectives):
        journal.append(store.ask_event(trial.number, trial.candidate))
        journal.append(store.tell_event(trial))
        journal.time(trial.number, 1.5)
    journal.close()
    return report.write_report(folder)


@pytest.fixture
def opened(browser, tmp_path):
    """A function that writes a report and opens it; in the end, that nothing was asked for and nothing complained."""
    asked, complaints, pages = [], [], []

    def open_(objectives, rungs=1, width=1280, **settings):
        record = written(tmp_path / "run of <b>", objectives, rungs)
        context = browser.new_context(viewport={"width": width, "height": 900}, **settings)
        page = context.new_page()
        pages.append(page)
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.goto((record.folder / "report.html").as_uri())
        return record, page

    yield open_
    assert pages and not complaints
    assert all(url.startswith("file:///") and "report.html" in url for url in asked) and len(asked) == len(pages)
    for page in pages:
        page.context.close()


def click(page, chart, trial):
    page.mouse.click(*page.evaluate(f"charts[{chart}].locate({trial})"))


@pytest.mark.parametrize("objectives", [("error", "params"), ("error", "params", "macs")])
def test_a_click_on_a_point_shows_that_network(opened, objectives):
    record, page = opened(objectives)
    assert page.locator(".chart").count() == {2: 1, 3: 3}[len(objectives)] + 1, "one is the hypervolume"
    front = [trial.number for trial in record.front]
    for across in objectives[1:]:
        drawn = [replace(trial, reason="") for trial in record.trials]  # also those that repeat another
        corners = [pareto.point(trial, (across, "error")) for trial in pareto.front(drawn, (across, "error"))]
        assert np.allclose(page.evaluate(f"stairs(points('{across}', 'error'))"), corners)
    for chart, number in enumerate([front[1], front[-1], front[2]][: 2 * len(objectives) - 3]):
        click(page, chart, number)
        trial = record.trials[number]
        assert page.locator("#picked").inner_text().startswith(f"Trial {number}:")
        rows = [row.split("\t") for row in page.locator("#values").inner_text().splitlines()]
        exact = {name: "" if name == "error" else f"{value:,.0f}" for name, value in trial.values.items()}
        assert rows == [[TITLES[name], report.amount(name, trial.values[name]), exact[name]] for name in record.columns]
        assert page.locator("#cells svg").count() == 2
        cells = page.locator("#cells").inner_html().count("sep_conv_3x3")
        assert cells == 2 * trial.candidate.genotype[::2].count(1) // 2 > 0
        assert page.locator("tr.picked").count() == 1
        assert f"{number}" in page.locator("tr.picked").inner_text()
        assert f"--trial {number}" in page.locator("#commands").inner_text()


def test_the_lineage_leads_to_a_root_and_can_be_followed(opened):
    record, page = opened(("error", "params"))
    click(page, 0, 8)
    lineage = page.locator("#lineage").inner_text()
    assert "8 ancestors in 4 generations" in lineage
    rows = [row.inner_text().replace("\n", " ") for row in page.locator("#lineage .kin").all()]
    shown = {n: f"{n} · {report.amount('error', record.trials[n].values['error'])}" for n in range(9)}
    assert rows[0] == f"{shown[7]} {shown[5]}"
    assert rows[1] == " ".join(shown[n] for n in (6, 4, 2))
    better = {
        n: min(record.trials[n].candidate.parents, key=lambda p: record.trials[p].values["error"]) for n in (7, 6, 5, 3)
    }
    line = [7]
    while line[-1] in better:
        line.append(better[line[-1]])
    assert line[-1] < 3 and rows[2] == " ← ".join(shown[n] for n in line)
    page.locator("#lineage button").first.click()
    assert page.locator("#picked").inner_text().startswith("Trial 7")
    page.get_by_label("trial", exact=False).first.fill("1")
    page.keyboard.press("Enter")
    assert "A root" in page.locator("#lineage").inner_text()
    for unknown in ("", "99"):
        page.get_by_label("trial", exact=False).first.fill(unknown)
        page.keyboard.press("Enter")
        assert page.locator("#picked").inner_text().split(":")[0] == "Trial 1"
        assert page.evaluate("document.querySelector('input').validity.valid") == (unknown == "")


def test_keys_reach_every_network_of_the_front(opened):
    record, page = opened(("error", "params"))
    by_size = [trial.number for trial in sorted(record.front, key=lambda t: t.values["params"])]
    page.get_by_role("button", name="least params").focus()
    page.keyboard.press("Enter")
    page.locator(".chart").first.focus()
    seen = []
    for _ in by_size:
        seen.append(int(page.locator("#picked").inner_text().split(":")[0].split()[1]))
        page.keyboard.press("ArrowRight")
    assert seen == by_size
    page.locator(f"tr[data-trial='{by_size[1]}'] button").press("Enter")
    assert page.locator("#picked").inner_text().startswith(f"Trial {by_size[1]}:")


def test_pointing_shows_values_as_the_tables_write_them(opened):
    record, page = opened(("error", "params", "macs"))
    for number in (record.front[0].number, 4):
        page.mouse.move(*page.evaluate(f"charts[0].locate({number})"))
        lines = page.locator(".tip:visible").inner_text().splitlines()
        assert lines[0].startswith(f"trial {number}")
        values = record.trials[number].values
        assert lines[1:] == [f"{name}  {report.amount(name, values[name])}" for name in record.columns]
    page.mouse.move(5, 5)
    assert page.locator(".tip:visible").count() == 0


def test_amounts_are_written_alike_in_the_page_and_in_text(opened):
    _, page = opened(("error", "params"))
    for name, value in (
        *(("error", 0.12345), ("params", 9999.0), ("params", 231_311.0), ("macs", 31_490_000.0), ("macs", 2.5e13)),
        *(("model_bytes", 1_824_000.0), ("peak_bytes", 512.0), ("loss", 1.16389), ("latency_ms", 3.14159)),
        *(("loss", 0.00123456), ("energy_uj", 12_345.6), ("loss", -2.5), ("loss", 0.0), ("energy_uj", 9999.6)),
        *(("float_error", 0.12345), ("energy", 1_234_567.25), ("relative_energy", 0.70824)),
        *(("score", -231_311.0), ("macs", 1e15), ("error", 1e300), ("model_bytes", 2.5e18)),
    ):
        assert page.evaluate(f"amount('{name}', {value})") == report.amount(name, value)


def test_a_drawn_box_zooms_and_escape_shows_the_whole_again(opened):
    record, page = opened(("error", "params"))
    ends = record.front[0].number, record.front[-1].number
    before = [page.evaluate(f"charts[0].locate({n})") for n in ends]
    (x1, y1), (x2, y2) = before
    page.mouse.move(x2 - 20, y2 - 20)
    page.mouse.down()
    page.mouse.move((x1 + x2) / 2, (y1 + y2) / 2, steps=4)
    page.mouse.up()
    inside, outside = page.evaluate(f"charts[0].locate({ends[1]})"), page.evaluate(f"charts[0].locate({ends[0]})")
    assert abs(inside[0] - before[1][0]) < 60 and outside[0] > before[0][0] + 100
    page.locator(".chart").first.focus()
    page.keyboard.press("Escape")
    assert [page.evaluate(f"charts[0].locate({n})") for n in ends] == before


def test_the_axes_of_the_last_chart_can_be_chosen(opened):
    _, page = opened(("error", "params", "macs"))
    before = page.evaluate("charts[2].locate(3)")
    page.locator("select").nth(1).select_option("error")
    assert page.evaluate("charts[2].locate(3)") != before
    assert page.locator(".chart").nth(2).get_attribute("aria-label").startswith("validation error against parameters")


def test_lower_rungs_are_shown_when_asked_for(opened):
    record, page = opened(("error", "params"), rungs=2)
    assert page.evaluate("charts[0].locate(3)") is None and page.evaluate("charts[0].locate(9)")
    page.get_by_label("also networks of lower rungs", exact=False).check()
    assert page.evaluate("charts[0].locate(3)")
    click(page, 0, 3)
    assert "rung 0" in page.locator("#standing").inner_text()


def test_the_json_can_be_copied(opened):
    record, page = opened(("error", "params"))
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator(".command button").last.click()
    page.get_by_role("button", name="copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText().then(JSON.parse)")
    assert copied["genotype"] == list(record.knee.candidate.genotype) and copied["space"]["type"] == "cell"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_narrow_window_in_both_colour_schemes(opened, scheme):
    _, page = opened(("error", "params", "macs"), width=400, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 23, 29)"}[scheme]


def test_hostile_names_are_only_words(opened):
    names = ("error", "__proto__", EVIL)
    record, page = opened(names)
    click(page, 1, record.front[1].number)
    rows = [row.split("\t")[0] for row in page.locator("#values").inner_text().splitlines()]
    assert rows == ["validation error", "__proto__", EVIL] and page.locator("img").count() == 0
    click(page, 0, 13)
    assert EVIL in page.locator("#standing").inner_text()


def test_without_scripts_the_front_is_there(opened):
    record, page = opened(("error", "params"), java_script_enabled=False)
    assert page.locator("noscript svg").count() == 1
    assert page.locator("tr[data-trial]").count() == len(record.front)
