"""Configuration: the constructors are the schema; unknown names and wrong values are refused in one line."""

from __future__ import annotations

import json
import math

import pytest

from frugalnas import config
from frugalnas.core import InputError
from frugalnas.strategies import STRATEGIES


def resolved(*assignments: str, **options: object) -> config.Tree:
    return config.resolve(layers=[*map(config.assignment, assignments), config.options(**options)])  # type: ignore[arg-type]


def test_a_completed_configuration_is_plain_json_and_completes_to_itself():
    tree = resolved()
    assert json.loads(json.dumps(tree)) == tree == config.complete(tree)
    assert tree["strategy"]["tournament_size"] == 2, "a default that no preset names"
    assert tree["estimators"][0]["fidelity"]["epochs"] == 1


@pytest.mark.parametrize(
    ("assignment", "path", "value"),
    [
        ("space.channels=24", ("space", "channels"), 24),
        ("space.channels = 24", ("space", "channels"), 24),
        ('space.stem="imagenet"', ("space", "stem"), "imagenet"),
        ("space.stem=imagenet", ("space", "stem"), "imagenet"),
        ("data.source=a=b", ("data", "source"), "a=b"),
        ("task.recipe.lr=1", ("task", "recipe", "lr"), 1.0),
        ("estimators.0.fidelity.samples=0.5", ("estimators", 0, "fidelity", "samples"), 0.5),
        ("limits.params=1e5", ("limits", "params"), 1e5),
        ('objectives=["error", "params"]', ("objectives",), ["error", "params"]),
        ("executor.time_limit_s=60", ("executor", "time_limit_s"), 60.0),
        ("ordered=false", ("ordered",), False),
    ],
)
def test_set_changes_one_key_and_no_other(assignment, path, value):
    before, after = resolved(), resolved(assignment)
    inner, outer = after, before
    for key in path[:-1]:
        inner, outer = inner[key], outer[key]
    assert inner[path[-1]] == value and type(inner[path[-1]]) is type(value)
    if path[-1] in outer:
        inner[path[-1]] = outer[path[-1]]
    else:
        del inner[path[-1]]
    assert after == before


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("space.chanels=24", "unknown key 'space.chanels': did you mean 'channels'?"),
        ("objectivs=1", "unknown key 'objectivs': did you mean 'objectives'?"),
        ("task.recipe.momentun=1", "unknown key 'task.recipe.momentun': did you mean 'momentum'?"),
        ("estimators.0.fidelity.epoch=1", "unknown key 'estimators.0.fidelity.epoch': did you mean 'epochs'?"),
        ("estimators.1.fidelity.epochs=1", "there is no entry 1: the list has 1, counted from 0"),
        ("estimators.².type=train", "estimators: expected a list of at least one table"),
        ("estimators.٣.type=train", "estimators: expected a list of at least one table"),
        ("estimators." + "9" * 5000 + ".type=train", "estimators: expected a list of at least one table"),
        ("strategy.type=nsga", "strategy.type = 'nsga': did you mean 'nsga2'?"),
        ("space.type=cel", "space.type = 'cel': did you mean 'cell'?"),
        ("estimators.0.type=trian", "estimators.0.type = 'trian': did you mean 'train'?"),
        ("task.type=classify", "task.type = 'classify': did you mean 'classification'?"),
        ("estimators=[]", "estimators: expected a list of at least one table"),
        ("space=3", "space = 3: expected a table of keys"),
        ("space.classes=3", "space.classes cannot be set: it follows from the data"),
        ("space.channels=wide", "space.channels = 'wide': expected a whole number"),
        ("space.channels=2.5", "space.channels = 2.5: expected a whole number"),
        ("space.channels=true", "space.channels = True: expected a whole number"),
        ("space.operations=5", "space.operations = 5: expected a list, each a string"),
        ('space.operations=["skip_connect", 3]', "expected a list, each a string"),
        ("space.inputs=wide", "space.inputs = 'wide': expected one of narrow, full"),
        ("executor.workers=two", "executor.workers = 'two': expected a whole number or nothing"),
        ("ordered=1", "ordered = 1: expected true or false"),
        ("limits.params=many", "limits = {'params': 'many'}: expected a table, each a number"),
        ("limits.params=nan", "limits.params is not a number"),
        ("objectives=[]", "objectives is empty: expected at least one"),
        ("seed=-1", "seed = -1: expected 0 or more"),
        ("trials=0", "trials = 0: expected more than 0"),
        ("minutes=-1", "minutes = -1.0: expected more than 0"),
        ("minutes=inf", "minutes = inf: expected more than 0"),
        ("seed", "--set 'seed': expected KEY=VALUE"),
        ("=3", "--set '=3': expected KEY=VALUE"),
        ("method=darts", "unknown method 'darts': known: eeea, random"),
        ("preset=huge", "method 'eeea' has no preset 'huge': known: laptop, paper, reference"),
        ("preset=3", "preset = 3: expected a string"),
    ],
)
def test_what_is_wrong_is_named(assignment, message):
    with pytest.raises(InputError) as refused:
        resolved(assignment)
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_another_type_of_part_has_its_own_keys():
    tree = resolved("strategy.type=random")
    assert tree["strategy"] == {"type": "random", "redraws": 100}
    tree = resolved("strategy.type=random", "strategy.redraws=3")
    assert tree["strategy"] == {"type": "random", "redraws": 3}


def test_layers_lie_over_the_file_which_lies_over_the_preset(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('method = "random"\npreset = "paper"\ntrials = 7\nseed = 3\n[space]\nchannels = 12\n')
    tree = config.resolve(file=file, layers=[config.options(seed=4)])
    assert (tree["method"], tree["preset"], tree["trials"], tree["seed"]) == ("random", "paper", 7, 4)
    assert (tree["space"]["channels"], tree["space"]["cells"]) == (12, 20)
    assert config.resolve("eeea", file=file)["strategy"]["type"] == "nsga2"


def test_a_budget_replaces_all_of_the_one_below(tmp_path):
    """Half an hour is half an hour, whatever number of trials the preset has; both hold where both are given."""
    file = tmp_path / "mine.toml"

    def budget(written, assignments=(), **options):
        file.write_text(written)
        layers = [*map(config.assignment, assignments), config.options(**options)]
        tree = config.resolve(file=file, layers=layers)
        return tree["trials"], tree["minutes"]

    assert budget("") == (48, None)
    assert budget("", minutes=30) == budget("minutes = 30") == budget("", ["minutes=30"]) == (None, 30)
    assert budget("trials = 7", minutes=30) == budget("", ["minutes=30"], trials=7) == (7, 30)
    assert budget("", trials=7) == (7, None)
    tree = config.resolve(layers=[{"minutes": None}])
    assert tree["trials"] == 48
    tree = config.changed(tree, config.options(minutes=5))
    assert (tree["trials"], tree["minutes"]) == (None, 5)
    tree = config.changed(tree, config.options(workers=2))
    assert (tree["trials"], tree["minutes"]) == (None, 5)
    tree = config.changed(tree, config.options(trials=9))
    assert (tree["trials"], tree["minutes"]) == (9, None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[space\n", "is not valid TOML"),
        (b"\xff\xfe", "cannot read"),
        (b"colour = 3\n", "unknown key 'colour'"),
        (b"seed = 1979-05-27\n", "seed = datetime.date(1979, 5, 27): expected a whole number"),
        (b'[[estimators]]\ntype = "train"\n[[estimators]]\n', "estimators.1.type = None: known:"),
    ],
)
def test_a_bad_file_is_named(tmp_path, content, message):
    file = tmp_path / "bad.toml"
    file.write_bytes(content)
    with pytest.raises(InputError) as refused:
        config.resolve(file=file)
    assert message in str(refused.value) and len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["absent.toml", "."])
def test_a_file_that_is_none_is_named(tmp_path, name):
    with pytest.raises(InputError, match="no configuration file|cannot read"):
        config.resolve(file=tmp_path / name)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("params=200k", "params", 2e5),
        ("params<=0.2M", "params", 2e5),
        (" macs < 1.5e3K ", "macs", 1.5e6),
        ("peak_bytes=1g", "peak_bytes", 1e9),
        ("params=inf", "params", math.inf),
    ],
)
def test_limits_have_units(text, name, value):
    assert config.limit(text) == {"limits": {name: value}}


@pytest.mark.parametrize(
    "text", ["params", "params=", "params=many", "=3", "params>=3", "params=3 4", "params=2kk", "params=0x10"]
)
def test_a_limit_that_is_none_is_refused(text):
    with pytest.raises(InputError, match="expected NAME=NUMBER, such as params=200k"):
        config.limit(text)


def test_a_limit_of_infinity_is_no_limit():
    assert config.resolve(layers=[config.limit("params=3k"), config.limit("params=inf")])["limits"] == {}


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_is_configured_by_its_constructor(name):
    section = config.resolve(layers=[config.assignment(f"strategy.type={name}")])["strategy"]
    made = config.make("strategy", section, {"space": _Digits(), "objectives": ("error", "macs", "params")})
    assert {key: value for key, value in section.items() if key != "type"} == {
        key: list(value) if isinstance(value := getattr(made, key), tuple) else value
        for key in section
        if key != "type"
    }


class _Digits:
    domains = (3,) * 8


def test_a_look_has_the_size_of_what_it_chooses_for_unless_it_is_told():
    tree = config.resolve("eeea", layers=[{"prescreen": {"candidates": 4}}])
    look, rung = tree["prescreen"]["estimator"], tree["estimators"][0]["fidelity"]
    assert look["type"] == "auto"
    assert {key: look["fidelity"][key] for key in ("width", "depth", "resolution")} == {
        key: rung[key] for key in ("width", "depth", "resolution")
    }
    assert (look["fidelity"]["epochs"], look["fidelity"]["samples"]) == (1, 1.0) != (rung["epochs"], rung["samples"])
    assert config.complete(tree) == tree
    other = {"candidates": 4, "estimator": {"type": "zero_cost", "fidelity": {"width": 3}}}
    told = config.resolve("eeea", layers=[{"prescreen": other}])["prescreen"]["estimator"]["fidelity"]
    assert (told["width"], told["depth"]) == (3, None)
