"""The report of a large search: megabytes, seconds to write and to open, milliseconds to hover and to zoom.

A real study, journalled, with NSGA-II over the cell space of EEEA-Net; parameters and MACs are counted, the error is a
formula of them and of the trial's seed, so that 10,000 networks are rated in seconds. The page is opened in headless
Chromium from its file; opened means: loaded, and two frames painted. As a rival, the same points by plotly's WebGL
scatter plots, which is what the report was made with before; in turns, medians of the repeats.

    python benchmarks/report_size.py [--trials 1000 10000] [--repeats 5]

Needs the extra `dev` and a Chromium; the rival needs plotly (the extra `bench`). Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import itertools
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from frugalnas import __version__, config
from frugalnas.core import Candidate, Objective, Problem
from frugalnas.distribute import InProcess
from frugalnas.objectives.count import COSTS
from frugalnas.record import Record
from frugalnas.report import write_report
from frugalnas.spaces.cell import CellSpace
from frugalnas.store import Journal
from frugalnas.strategies.nsga2 import NSGA2
from frugalnas.study import Study

FACTS = {"in_channels": 1, "classes": 10, "resolution": 28}
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
OPENED = """addEventListener('load', () =>
  requestAnimationFrame(() => requestAnimationFrame(() => performance.mark('opened'))))"""
HOVER = """() => new Promise(done => {
  const times = [];
  const frame = now => { times.push(now); if (window.hovered) done(times); else requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
})"""
REDRAW = "() => { const start = performance.now(); charts[0].show({}); return performance.now() - start; }"


@dataclass(frozen=True)
class Formula:
    """Larger networks err less, with some luck."""

    values: tuple[str, ...] = ("error",)

    def evaluate(self, candidate: Candidate, space: CellSpace, seed: int) -> Mapping[str, float]:
        params = space.count(candidate.genotype).params
        return {"error": 0.2 + 0.3 * math.exp(-params / 1.5e5) + 0.02 * float(np.random.default_rng(seed).random())}


def study(folder: Path, trials: int) -> None:
    """A search of so many rated networks, with the journal that `frugalnas search` would write."""
    tree = config.resolve("eeea", layers=[{"trials": trials, "limits": {"params": 250_000}}])
    space = config.make("space", tree["space"], FACTS)
    objectives = tuple(
        Objective(name, COSTS.get(name), tree["limits"].get(name, math.inf)) for name in tree["objectives"]
    )
    header = {"version": __version__, "config": tree, "facts": FACTS, "data": "", "images": {"train": 8000}}
    journal = Journal.create(folder, header)
    problem = Problem(space, objectives, (Formula(),))
    strategy = NSGA2(space, problem.minimised, population=40, offspring=40)
    Study(problem, strategy, journal=journal).run(InProcess(), trials=trials)
    journal.close()


def by_plotly(record: Record, file: Path) -> None:
    import plotly.graph_objects as go
    import plotly.io

    done, parts = [trial for trial in record.trials if trial.status == "done"], []
    for across in record.objectives[1:]:
        figure = go.Figure()
        for trials in (done, record.front):
            words = ["<br>".join(f"{name} {value:g}" for name, value in trial.values.items()) for trial in trials]
            x, y = ([trial.values[name] for trial in trials] for name in (across, record.objectives[0]))
            figure.add_scattergl(x=x, y=y, mode="markers", text=words, hoverinfo="text")
        parts.append(plotly.io.to_html(figure, full_html=False, include_plotlyjs=not parts))
    file.write_text(f"<!doctype html><meta charset=utf-8>{''.join(parts)}")


def opened(browser: Any, file: Path) -> tuple[float, Any]:
    """Seconds from the start of the navigation, and the page."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.add_init_script(OPENED)
    page.goto(file.resolve().as_uri())
    page.wait_for_function("() => performance.getEntriesByName('opened').length")
    return page.evaluate("() => performance.getEntriesByName('opened')[0].startTime") / 1e3, page


def frames(page: Any) -> list[float]:
    """Milliseconds between frames while the pointer goes over the first chart."""
    box = page.locator(".chart").first.bounding_box()
    page.evaluate("() => { window.hovered = false }")
    with page.expect_event("console", lambda message: message.text == "frames"):
        page.evaluate(f"() => {{ ({HOVER})().then(times => {{ window.times = times; console.log('frames') }}) }}")
        for step in range(120):
            place = (step * 37 % 120) / 120
            page.mouse.move(
                box["x"] + 70 + place * (box["width"] - 100), box["y"] + 40 + step / 120 * (box["height"] - 100)
            )
        page.evaluate("() => { window.hovered = true }")
    times = page.evaluate("() => window.times")
    return [after - before for before, after in itertools.pairwise(times)]


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def measure(browser_of: Callable[[], Any], folder: Path, trials: int, repeats: int) -> list[list[str]]:
    study(folder, trials)
    files = {"report.html": folder / "report.html", "plotly": folder / "plotly.html"}
    writing, opening, hovering, zooming = [], {name: [] for name in files}, [], []
    for _ in range(repeats):
        seconds, record = timed(lambda: write_report(folder))
        writing.append(seconds)
        try:
            by_plotly(record, files["plotly"])
        except ImportError:
            files.pop("plotly", None)
        for name, file in files.items():
            browser = browser_of()
            seconds, page = opened(browser, file)
            opening[name].append(seconds)
            if name == "report.html":
                hovering += frames(page)
                zooming.append(page.evaluate(REDRAW))
            browser.close()
    sizes = {name: file.stat().st_size / 1e6 for name, file in files.items()}
    front = f"{len(record.front):,}"
    ours = [
        f"{median(writing):.2f}",
        f"{median(zooming):.0f}",
        f"{median(hovering):.0f}, {np.percentile(hovering, 95):.0f}",
    ]
    return [
        [
            f"{trials:,}",
            front,
            name,
            f"{sizes[name]:.2f}",
            f"{median(opening[name]):.2f}",
            *(ours if name == "report.html" else ["", "", ""]),
        ]
        for name in files
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        rows = []
        for trials in arguments.trials:
            rows += measure(
                lambda: playwright.chromium.launch(executable_path=path, args=[*FLAGS]),
                Path(folder) / str(trials),
                trials,
                arguments.repeats,
            )
    print("| trials | on the front | page | MB | s to open | s to write | ms to redraw | ms a frame: median, 95 % |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
