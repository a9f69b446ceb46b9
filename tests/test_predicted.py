"""The estimator `predicted`: what it learns from searches and tables, and what it refuses."""

import json
import subprocess
import sys

import numpy as np
import pytest

from frugalnas.core import Candidate, Fidelity, InputError, Trial
from frugalnas.estimators import ESTIMATORS
from frugalnas.estimators.predicted import Predicted
from frugalnas.ranking import spearman
from frugalnas.spaces.cell import CellSpace
from frugalnas.spaces.macro import MacroSpace
from frugalnas.spaces.nasbench201 import NasBench201
from frugalnas.store import Journal, ask_event, tell_event
from frugalnas.variation import random_genotype

SPACE = NasBench201(channels=4, cells=1)
FACTS = {"in_channels": 3, "classes": 10, "resolution": 32}
SECTION = {"type": "nasbench201", "channels": 4, "cells": 1}


def truth(genotype):
    """More convolutions, fewer errors, in this made-up world."""
    return 0.9 - 0.1 * sum(gene in (2, 3) for gene in genotype) - 0.02 * genotype[5]


def genotypes(count, seed=0):
    rng = np.random.default_rng(seed)
    return [*dict.fromkeys(random_genotype(rng, SPACE.domains) for _ in range(count))]


def searched(folder, networks, *, rungs=1, section=SECTION, config=None, value="error"):
    """A run folder whose search rated these networks on each of so many rungs, worst on the lowest."""
    header = {"config": {"space": section, **(config or {})}, "facts": FACTS}
    journal = Journal.create(folder, header)
    number = 0
    for genotype in networks:
        for rung in range(rungs):
            candidate = Candidate(genotype, rung)
            journal.append(ask_event(number, candidate))
            error = truth(genotype) if rung == rungs - 1 else 1 - truth(genotype)
            journal.append(tell_event(Trial(number, candidate, "done", {value: error})))
            number += 1
    journal.close()
    return str(folder)


def table(path, networks):
    lines = [f"{SPACE.to_string(each)},{100 * (1 - truth(each)):.4f},50.0" for each in networks]
    path.write_text("\n".join(["arch_str,c10_val_200,c10_test_200", *lines]))
    return str(path)


def agreement(estimator):
    rest = genotypes(200, seed=9)
    found = [estimator.evaluate(Candidate(genotype), SPACE, 0) for genotype in rest]
    assert all(0 <= each["error"] <= 1 and each["error_std"] > 0 for each in found)
    return spearman([each["error"] for each in found], [truth(genotype) for genotype in rest])


def test_it_orders_networks_that_a_search_did_not_train(tmp_path):
    assert agreement(Predicted(searched(tmp_path, genotypes(60)))) > 0.8


def test_only_the_highest_rung_is_learnt_from_and_looks_never_are(tmp_path):
    assert agreement(Predicted(searched(tmp_path / "ladder", genotypes(60), rungs=3))) > 0.8
    looks = searched(tmp_path / "looks", genotypes(20), config={"prescreen": {"candidates": 2}})
    with pytest.raises(InputError, match="looks has 0 trained networks: expected 8 or more"):
        Predicted(looks)


def test_it_learns_from_a_table_also_compared_with_networks_of_another_size(tmp_path):
    estimator = Predicted(table(tmp_path / "some.csv", genotypes(80)))
    assert agreement(estimator) > 0.8
    small = estimator.evaluate(Candidate((3,) * 6), SPACE.at(Fidelity(width=2)), 0)
    assert small["error"] < 0.5


def test_neither_the_trial_s_seed_nor_the_process_changes_anything(tmp_path):
    source, known = searched(tmp_path, genotypes(40)), genotypes(5, seed=3)
    estimator = Predicted(source, seed=4)
    here = [estimator.evaluate(Candidate(genotype), SPACE, seed) for seed, genotype in enumerate(known)]
    code = (
        "import json, sys\n"
        "from frugalnas.core import Candidate\n"
        "from frugalnas.estimators.predicted import Predicted\n"
        "from frugalnas.spaces.nasbench201 import NasBench201\n"
        "estimator = Predicted(sys.argv[1], seed=4)\n"
        "known = json.loads(sys.argv[2])\n"
        "print(json.dumps([estimator.evaluate(Candidate(tuple(g)), NasBench201(4, 1), 7) for g in known]))\n"
    )
    said = subprocess.run([sys.executable, "-c", code, source, json.dumps(known)], capture_output=True, check=True)
    assert json.loads(said.stdout) == here
    assert Predicted(source, seed=5).evaluate(Candidate(known[0]), SPACE, 0) != here[0]


def test_of_many_networks_only_some_are_learnt_from(tmp_path):
    source = table(tmp_path / "many.csv", genotypes(300))
    assert agreement(Predicted(source)) > agreement(Predicted(source, most=10))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "forest"}, "unknown model 'forest'"),
        ({"most": 7}, "predicted.most = 7: expected 8 or more"),
        ({"seed": -1}, "predicted.seed = -1: expected 0 or more"),
        ({"validation": "c10"}, "predicted.validation = 'c10': .* is a search, which has no columns"),
        ({"space": MacroSpace()}, "has networks of the space 'nasbench201', not of MacroSpace"),
    ],
)
def test_refuses_wrong_settings(tmp_path, settings, message):
    source = searched(tmp_path, genotypes(20))
    with pytest.raises(InputError, match=message):
        Predicted(source, **settings).evaluate(Candidate((3,) * 6), SPACE, 0)


def test_refuses_sources_that_teach_nothing(tmp_path):
    (tmp_path / "shoes").mkdir()
    few = searched(tmp_path / "few", genotypes(7))
    costs = searched(tmp_path / "costs", genotypes(20), value="params")
    foreign = searched(tmp_path / "foreign", genotypes(20), section={"type": "tree"})
    for source, message in (
        (tmp_path / "shoe", "no search and no table in .*shoe: did you mean 'shoes'?"),
        (tmp_path / "shoes", "shoes holds no search"),
        (few, "few has 7 trained networks: expected 8 or more to learn from"),
        (costs, "costs has 0 trained networks"),
        (foreign, "foreign holds a journal of no search: KeyError 'tree'"),
    ):
        with pytest.raises(InputError, match=message.replace("?", r"\?")):
            Predicted(str(source))


def test_cells_of_other_operations_mean_other_networks(tmp_path):
    operations = ("sep_conv_3x3", "max_pool_3x3", "skip_connect")
    space = CellSpace(operations, 1, channels=4, cells=3)
    rng = np.random.default_rng(0)
    networks = [random_genotype(rng, space.domains) for _ in range(40)]
    section = {"type": "cell", "operations": list(operations), "blocks": 1, "channels": 4, "cells": 3}
    source = searched(tmp_path, [*dict.fromkeys(map(space.canonical, networks))], section=section)
    assert Predicted(source, space=CellSpace(operations, 1, channels=16, cells=8)).source == source
    with pytest.raises(InputError, match=r"has networks of space.operations = \('sep_conv_3x3'"):
        Predicted(source, space=CellSpace(operations[::-1], 1))


def test_it_can_be_configured_by_name():
    assert ESTIMATORS["predicted"] is Predicted and Predicted.values == ("error", "error_std")
