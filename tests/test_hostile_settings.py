"""Configurations and architectures from somebody else: any TOML, any value at any key of the schema, any genotype."""

from __future__ import annotations

import json
import xml.etree.ElementTree
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugalnas import config, zoo
from frugalnas.core import InputError
from frugalnas.methods import METHODS
from frugalnas.parts import space_of
from frugalnas.spaces import SPACES
from frugalnas.spaces.architecture import Architecture
from frugalnas.variation import random_genotype
from hostile import MARKUP, TERMINAL, calm, changes, fuzz, places
from tiny import images

# TOML texts of values that a setting may be given
VALUES = (
    *("0", "1", "-1", "3", "0.5", "-0.0", "1e308", "nan", "inf", "-inf", "true", "false", "9223372036854775807"),
    *("1" + "0" * 400, "9" * 5000, '""', "'auto'", "[]", "{}", "[[]]", "[1, 'x']", "{type = 'x'}", "{'' = 1}"),
    *(json.dumps(MARKUP), json.dumps(TERMINAL), "'../../../../etc/passwd'", "'/dev/zero'", "'/proc/self/mem'"),
    *("1979-05-27T07:32:00Z", "07:32:00", "0xffffffffffffffff", "'''\nx\n'''", '"\\u0000"', "[" * 60 + "]" * 60),
    *("'" + "x" * 20_000 + "'", "[" + "0," * 2000 + "]", "{a.b.c.d = 1}", "'nan'", "'1e3'"),
)


def _keys(tree: Any) -> list[str]:
    return [".".join(map(str, path)) for path in places(tree) if path]


@fuzz(6)
@given(data=st.data(), values=st.lists(st.sampled_from(VALUES), min_size=1, max_size=2))
def test_any_value_at_any_key(tmp_path_factory, data, values):
    """Each setting by --set, as the command that looks before it searches takes it."""
    source = images(tmp_path_factory.getbasetemp() / "one.npz", count=40)
    method = data.draw(st.sampled_from([*METHODS]))
    keys = _keys(config.resolve(method, layers=[{"data": {"source": str(source)}}]))
    sets = [f"--set={data.draw(st.sampled_from(keys))}={value}" for value in values]
    calm("inspect", "--method", method, "--data", source, "--samples", 5, *sets)


@fuzz(40)
@given(data=st.data())
def test_a_completed_configuration_of_any_values(tmp_path_factory, data):
    """As a journal has it: what is refused is refused in one line, what is not makes a space and a strategy."""
    source = str(images(tmp_path_factory.getbasetemp() / "one.npz", count=40))
    tree = config.resolve(data.draw(st.sampled_from([*METHODS])), layers=[{"data": {"source": source}}])
    changed = json.loads(json.dumps(tree))
    for _ in range(data.draw(st.integers(1, 3))):
        text = data.draw(changes(changed)).of(changed)
        try:
            changed = json.loads(text)
        except (ValueError, RecursionError):
            return
    try:
        completed = config.complete(changed if isinstance(changed, dict) else {})
        assert config.complete(completed) == completed
        space_of(completed | {"data": tree["data"]})
    except InputError as error:
        assert "\n" not in str(error).strip() or len(str(error)) < 5000


@fuzz(6)
@given(text=st.text(max_size=200) | st.binary(max_size=200) | st.sampled_from(VALUES).map("x = {}".format))
def test_a_file_that_is_no_configuration(tmp_path_factory, text):
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_bytes(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
    source = images(tmp_path_factory.getbasetemp() / "one.npz", count=40)
    calm("inspect", "--config", file, "--data", source, "--samples", 2)


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "[" * 100_000,
        "[" + "a." * 20_000 + "a]",
        "[space]\n" + "\n".join(f"x{i} = 1" for i in range(5000)),
        "data = 1\n[data]\nsource = 2",
        "method = 'eeea'\nmethod = 'eeea'",
        f"{json.dumps(TERMINAL)} = 1",
        f"[space]\n{json.dumps(MARKUP)} = 1",
        "[[estimators]]\n" * 20_000,
    ],
)
def test_a_configuration_that_is_hard_to_read(tmp_path, text):
    (tmp_path / "x.toml").write_text(text)
    assert calm("inspect", "--config", tmp_path / "x.toml", "--samples", 2).code == 2


def _architectures() -> list[dict[str, Any]]:
    """One of each space that a method has, and a published one."""
    rng = np.random.default_rng(0)
    sections = {
        json.dumps(config.resolve(method)["space"]["type"]): config.resolve(method)["space"] for method in METHODS
    }
    spaces = [config.make("space", section, FACTS) for section in sections.values()]
    tabular = [SPACES[name]() for name in ("nasbench101", "nasbench201", "nasbench_macro", "nats_size")]  # type: ignore[call-arg]
    made = [Architecture(space, random_genotype(rng, space.domains)) for space in (*spaces, *tabular)]
    return [each.to_json() for each in (zoo.architecture_of("EEEA-C"), *made)]


FACTS = {"in_channels": 3, "classes": 10, "resolution": 32}
ARCHITECTURES = _architectures()


@fuzz(24)
@given(data=st.data())
def test_an_architecture_of_any_values(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("architecture", numbered=True)
    good = data.draw(st.sampled_from(ARCHITECTURES))
    text = data.draw(changes(good)).of(good)
    (folder / "it.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    if calm("show", folder / "it.json", "--svg", folder / "cells.svg", writes=[folder]).code == 0:
        xml.etree.ElementTree.parse(folder / "cells.svg")
    calm("show", text if text.lstrip().startswith("{") and "\0" not in text else "{}")


@pytest.mark.parametrize("kind", ["device", "folder", "loop", "binary"])
def test_a_file_that_is_none(tmp_path, kind):
    """Of a file that never ends no more is read than an architecture may have."""
    file = tmp_path / "it.json"
    if kind == "device":
        file.symlink_to("/dev/zero")
    elif kind == "folder":
        file.mkdir()
    elif kind == "loop":
        file.symlink_to(file)
    else:
        file.write_bytes(bytes(range(256)))
    assert calm("show", file).code == 2
    assert calm("inspect", "--config", file, "--samples", 1).code == 2
