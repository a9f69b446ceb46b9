"""RelativeNAS: pairs of networks that share weights meet, and the worse one learns from the better.

Tan, Cheng, Huang, He, Qiu, Yang, Luo: "RelativeNAS: Relative Neural Architecture Search via Slow-Fast Learning", IEEE
Transactions on Neural Networks and Learning Systems (2021), arXiv 2009.06193; code released in July 2021.

A learner is a vector of 32 real numbers, decoded to two cells. In each generation learners meet in random pairs; both
networks of a pair inherit the shared weights, train for one epoch, and are compared by their validation loss. The
weights of the better one, and operations that only the worse one has, become the shared ones; then the vectors of the
worse ones move towards their better ones.

Presets
- `paper`: sections III and IV of the paper as its released code has them: 20 learners, 50 generations, 16 channels and
  8 cells. It ends with a final selection (below).
- `laptop`: the same at the size, the task, the objectives and the limit of `eeea`'s preset of that name, and with the
  same last estimator, so that the two compare: 80 candidates train on a quarter of the images with shared weights and 8
  finalists on half of them from scratch, together about as many images as `eeea` trains on.

Differences from the paper (see also `strategies/slow_fast.py`, `estimators/shared_weights.py`, `layers/supernet.py`)
- The final architecture: the paper does not say how it is chosen, and the released code only prints the last
  population. Here the best distinct architectures are rated with frozen shared weights on the whole validation part,
  and the best of those are trained for a short time from scratch. The two rungs rate the same networks: their rank
  correlation, from the journal, says how far the shared weights can be trusted.
- Validation images are never augmented, and split off with a seed.
- The costs of the final network can be limited and minimised too; preset `laptop` does, the paper does not.
- The statistics of batch normalisations are measured anew where weights are frozen.
"""

from __future__ import annotations

from typing import Any

from frugalnas.methods import eeea
from frugalnas.spaces.cell import OPERATION_LISTS

SUMMARY = "Slow-fast learning over cells that share weights, for error (RelativeNAS, 2021)"

_SEARCH = {"width": 16, "depth": 8}  # the size of networks while they are compared

PAPER: dict[str, Any] = {
    "data": {"validation": 0.5},
    "space": {
        "type": "cell",
        "operations": OPERATION_LISTS["relativenas"],
        "blocks": 4,
        "inputs": "full",
        "concat": "all",
        "channels": 36,
        "cells": 20,
    },
    "strategy": {"type": "slow_fast", "population": 20, "generations": 50, "finalists": 40, "retrained": 10},
    "task": {
        "type": "classification",
        "recipe": {
            "batch": 256,
            "lr": 0.1,
            "lr_end": 0.001,
            "momentum": 0.9,
            "weight_decay": 3e-4,
            "clip": 5.0,
            "cutout": 16,
            "drop_path": 0.3,
        },
    },
    "estimators": [
        {"type": "shared_weights", "fidelity": {"epochs": 1, **_SEARCH}},
        {"type": "shared_weights", "fidelity": {"epochs": 0, **_SEARCH}},
        {"type": "train", "fidelity": {"epochs": 20, **_SEARCH}},
    ],
    "objectives": ["error"],
    "trials": 20 * 50 + 40 + 10,  # population x generations, and the final selection
}

_SMALL = eeea.LAPTOP["estimators"][-1]["fidelity"]

LAPTOP: dict[str, Any] = {
    "space": PAPER["space"] | {"channels": 16, "cells": 8},
    "strategy": {"type": "slow_fast", "population": 8, "generations": 10, "finalists": 16, "retrained": 8},
    "task": eeea.LAPTOP["task"],
    "estimators": [
        {"type": "shared_weights", "fidelity": _SMALL | {"samples": 0.25}, "validation": 1000},
        {"type": "shared_weights", "fidelity": _SMALL | {"epochs": 0}},
        eeea.LAPTOP["estimators"][-1],
    ],
    "objectives": eeea.LAPTOP["objectives"],
    "limits": eeea.LAPTOP["limits"],
    "trials": 8 * 10 + 16 + 8,
}

PRESETS = {"laptop": LAPTOP, "paper": PAPER}
