"""RWE: networks are rated by their random features, in a second or so each, without training.

Hu, Cheng, He, Lu: "Multi-objective Neural Architecture Search with Almost No Training", EMO 2021, arXiv 2011.13591;
Hu, Cheng, He, Lu, Wang, Zhang: "Accelerating Multi-Objective Neural Architecture Search by Random-Weight Evaluation",
Complex & Intelligent Systems 9 (2023), arXiv 2110.05242.

NSGA-II minimises the error of a linear classifier on frozen random features, and the size of the network. Both papers
search in NSGA-Net's code, whose settings of NSGA-II are taken here; the journal paper searches in two spaces.

Presets
- `laptop`: random features as a first look, at the size, the limit and the objectives of `eeea`'s preset of that name:
  of each ten networks that NSGA-II asks for the one whose features span the images most richly is trained, as there.
- `untrained`: the same size, nothing is trained: NSGA-II over that score, MACs and parameters. Its front is to be
  trained, which `frugalnas train` does.
- `paper`: the cells of NSGA-Net, error by RWE and MACs.
- `darts`: the cells of DARTS, the other space, error by RWE and MACs.
- `macro`: the connections of NSGA-Net's phases, error by RWE and MACs.

Differences from the papers
- Of the papers no settings of the estimator are known but that the last layer is trained and the rest random. Here
  `paper`, `darts` and `macro` fit softmax regression, 30 epochs of SGD, to what the classifier reads, on all training
  images, at the size of networks in NSGA-Net's search.
- The other two take another score of the same features, `freedom`: on tables of trained networks the papers' score
  orders networks hardly or not at all, see docs/estimators.md. `laptop` trains what it chooses.
- Of `methods/nsganet.py` its differences.
"""

from __future__ import annotations

from typing import Any

from frugalnas.methods import eeea, nsganet
from frugalnas.spaces.cell import OPERATION_LISTS

SUMMARY = "NSGA-II for the error of a classifier on random features, and MACs (RWE, 2021)"

_AS_PUBLISHED: dict[str, Any] = {
    "type": "random_weights",
    "scores": ["error"],
    "images": 0,
    "calibration": 2048,
    "features": "last",
    "pool": 1,
    "head": "sgd",
}

PAPER: dict[str, Any] = nsganet.PAPER | {
    "estimators": [_AS_PUBLISHED | {"fidelity": {"width": 16, "depth": 8}}],
    "task": {"type": "classification"},
}

DARTS: dict[str, Any] = PAPER | {
    "space": nsganet.PAPER["space"]
    | {"operations": OPERATION_LISTS["relativenas"], "blocks": 4, "concat": "all", "channels": 36}
}

MACRO: dict[str, Any] = nsganet.MACRO | {
    "estimators": [_AS_PUBLISHED | {"fidelity": {"width": 16}}],
    "task": PAPER["task"],
}

_SMALL = {key: eeea.LAPTOP["estimators"][-1]["fidelity"][key] for key in ("resolution", "width", "depth")}
_FREEDOM: dict[str, Any] = {"type": "random_weights", "scores": ["freedom"]}

LAPTOP: dict[str, Any] = nsganet.LAPTOP | {"prescreen": {"candidates": 10, "estimator": _FREEDOM}}

UNTRAINED: dict[str, Any] = nsganet.LAPTOP | {
    "estimators": [_FREEDOM | {"fidelity": _SMALL}],
    "objectives": ["freedom", "macs", "params"],
    "strategy": nsganet.LAPTOP["strategy"] | {"population": 20, "offspring": 10},
    "trials": 200,
}

PRESETS = {"laptop": LAPTOP, "untrained": UNTRAINED, "paper": PAPER, "darts": DARTS, "macro": MACRO}
