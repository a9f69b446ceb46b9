"""`frugalnas list multipliers` and `frugalnas show` of one: what is printed, drawn, kept and refused."""

from __future__ import annotations

import base64
import io
import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from frugalnas.multipliers import library
from frugalnas.multipliers.about import EXACT_SUMS, facts
from frugalnas.multipliers.picture import error_map
from frugalnas.multipliers.published import PUBLISHED
from tiny import run


def said(capsys, *arguments, code=0):
    capsys.readouterr()
    assert run(*arguments) == code
    printed = capsys.readouterr()
    return printed.out if code == 0 else printed.err


def test_the_list_has_the_fronts_and_the_published_designs(capsys):
    lines = said(capsys, "list", "multipliers").splitlines()
    names = [line.split()[0] for line in lines]
    assert len(set(names)) == len(names)
    assert set(names) >= {member.name for signed in (True, False) for member in library.usual(signed)}
    assert set(names) >= {design.name for design in PUBLISHED}
    (line,) = [line for line in lines if line.startswith("8s-2-0-5 ")]
    for part in (
        "0.2890 mW published",
        "0.680 of exact",
        "MAE  0.1545 %",
        "WCE  0.6851 %",
        "rank 4",
        "mul8s_1KX5@v2022",
    ):
        assert part in line
    found = json.loads(said(capsys, "list", "multipliers", "--json"))
    assert [*found] == names
    assert found["8s-2-0-5"]["published_as"] == ["mul8s_1KX5@v2022", "mul8s_1KVL@master"]


def test_show_prints_what_there_is_to_know(capsys):
    text = said(capsys, "show", "8s-2-0-5+swap")
    for part in (
        "operands exchanged",
        "0.289 mW (published)",
        "WCE 449 (0.6851 %)",
        "EP 91.89 %",
        "4 exact convolutions",
    ):
        assert part in text
    assert library.find("8s-2-0-5+swap").sha256 in text
    assert said(capsys, "show", "mul8s_1KX5@v2022") == said(capsys, "show", "8s-2-0-5")
    found = json.loads(said(capsys, "show", "8s-2-0-5", "--json"))
    assert found == json.loads(json.dumps(facts(library.find("8s-2-0-5"))))


def test_the_printed_length_of_exact_sums_holds(capsys):
    member = library.find("8s-0-0-4")
    (length,) = re.findall(r"float32 sums of ([\d,]+) products", said(capsys, "show", member.name))
    worst = np.abs(member.factors.rows).max(axis=0) @ np.abs(member.factors.columns).max(axis=0)
    assert int(length.replace(",", "")) == EXACT_SUMS // worst


def test_a_table_is_shown_kept_and_found_again(tmp_path, capsys):
    path, kept = tmp_path / "mine.bin", tmp_path / "mine.safetensors"
    library.find("8u-0-0-6").table.astype("<u2").tofile(path)
    shown = said(capsys, "show", path, "--power-mw", "0.2", "--save", kept)
    assert "0.2 mW (given)" in shown
    assert "rank     7: layers compute it as 7 exact convolutions" in shown
    assert said(capsys, "show", kept) == shown
    narrow = tmp_path / "narrow.npy"
    np.save(narrow, library.find("8x4s-1-0-0").table)
    assert "signed 4-bit weight" in said(capsys, "show", narrow, "--power-mw", "0.1", "--signed", "--bits", "4")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["8s-2-0"], "no multiplier '8s-2-0'"),
        (["mul8s_1KV8"], "mul8s_1KV8@v2022 or mul8s_1KV8@master"),
        (["mine.bin", "--power-mw", "0.1"], "mine.bin: no such file"),
        (["8s-2-0-5", "--power-mw", "0.1"], "are of tables of products, as .bin or .npy"),
        (["8s-2-0-5", "--trial", "3"], "it has no trials"),
        (["8s-2-0-5", "--save", "mine.bin"], "expected a name that ends in .safetensors"),
        (["EEEA-C", "--signed"], "EEEA-C is no multiplier"),
        (["EEEA-C", "--save", "a.safetensors"], "EEEA-C is no multiplier"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(capsys, monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    line = said(capsys, "show", *arguments, code=2)
    assert message in line
    assert line.count("\n") == 1
    assert not [*tmp_path.iterdir()]


def pixels(document: str) -> np.ndarray:
    """The map's colours, top row first."""
    images = ElementTree.fromstring(document).findall("{http://www.w3.org/2000/svg}image")
    content = images[0].attrib["href"].removeprefix("data:image/png;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB")).astype(int)


@pytest.mark.parametrize("name", ["8s-2-0-5", "8u-1-0-4", "8u-2-0-5+sign", "8x3s-1-0-0"])
def test_the_error_map_shows_every_error_where_its_operands_are(name):
    member = library.find(name)
    found = pixels(error_map(member))
    errors = member.table - member.exact
    assert found.shape == (256, 1 << member.bits, 3)
    lowest = [-128 if member.signed[0] else 0, -(1 << member.bits - 1) if member.signed[1] else 0]
    for a, w in np.random.default_rng(0).integers(0, (256, 1 << member.bits), (300, 2)):
        activation, weight = int(lowest[0] + a), int(lowest[1] + w)
        error = errors[activation & 255, weight & ((1 << member.bits) - 1)]
        red, _, blue = found[255 - a, w]
        assert np.sign(red - blue) == np.sign(error), (activation, weight, error)


def test_the_exact_error_map_is_blank():
    assert (pixels(error_map(library.exact())) == 255).all()


def test_the_error_map_is_drawn_into_a_file(tmp_path, capsys):
    said(capsys, "show", "8s-1-1-0", "--svg", tmp_path / "errors.svg")
    document = (tmp_path / "errors.svg").read_text()
    assert document == error_map(library.find("8s-1-1-0"))
    words = [text.text for text in ElementTree.fromstring(document).iter("{http://www.w3.org/2000/svg}text")]
    for word in ("weight", "activation", "-128", "127", "-64", "+255", "-255"):
        assert word in words
    assert len(document) < 100_000
