"""NSGA-Net: NSGA-II for error and multiply-accumulates, over cells (micro) or over the connections of phases (macro).

Lu, Whalen, Boddeti, Dhebar, Deb, Goodman, Banzhaf: "NSGA-Net: Neural Architecture Search using Multi-Objective Genetic
Algorithm", GECCO 2019, arXiv 1810.03522.

Presets
- `paper`: the micro space at the settings that the authors recommend: population 40, 20 offspring, 30 generations of
  networks of 8 cells and 16 channels, trained for 20 epochs.
- `macro`: the macro space of 3 phases and 6 nodes, with the decoder of the authors' search: 30 generations of 40
  networks of 16 channels, trained for 25 epochs. See `spaces/macro.py`.
- `laptop`: the micro preset's variation on eeea's preset of that name.

Differences from the paper
- Exploitation by a Bayesian network, which the released code does not have either, is off: `--set
  strategy.exploit_from=20` lets the last of 30 generations have it (see `strategies/nsga2.py`).
- Multiply-accumulates are those of convolutions and linear layers. The authors count normalisations, activations and
  poolings too, for some 3 to 5 % more.
- Repeats are recognised by the architecture; the released code by the genotype.
- The images are shuffled in every epoch; in the released code they always come in the same order.
- The final size for counted costs is that of the published networks: 35 channels and 20 cells, and of the macro space
  32 channels with the decoder of the search. The authors train the result of the macro space with another decoder.
- Of `spaces/macro.py` its differences.
"""

from __future__ import annotations

from typing import Any

from frugalnas.methods import eeea
from frugalnas.spaces.cell import OPERATION_LISTS

SUMMARY = "NSGA-II over cells or phases for error and MACs (NSGA-Net, 2019)"

_VARIATION: dict[str, Any] = {
    "type": "nsga2",
    "crossover": "two_point",
    "crossover_probability": 0.9,
    "mutation": "polynomial",
    "eta": 3.0,
}

PAPER: dict[str, Any] = {
    "space": {
        "type": "cell",
        "operations": OPERATION_LISTS["nsganet"],
        "blocks": 5,
        "inputs": "full",
        "concat": "loose",
        "channels": 35,
        "cells": 20,
    },
    "strategy": _VARIATION | {"population": 40, "offspring": 20, "generations": 30, "parts": 2},
    "task": {
        "type": "classification",
        "recipe": {"batch": 128, "lr": 0.025, "momentum": 0.9, "weight_decay": 3e-4, "clip": 5.0},
    },
    "estimators": [{"type": "train", "fidelity": {"epochs": 20, "width": 16, "depth": 8}}],
    "objectives": ["error", "macs"],
    "trials": 40 + 29 * 20,
}

MACRO: dict[str, Any] = PAPER | {
    "space": {"type": "macro", "nodes": 6, "decoder": "residual", "channels": 32},
    "strategy": _VARIATION | {"population": 40, "offspring": 40, "generations": 30, "parts": 3},
    "estimators": [{"type": "train", "fidelity": {"epochs": 25, "width": 16}}],
    "trials": 40 * 30,
}

LAPTOP: dict[str, Any] = eeea.LAPTOP | {"strategy": _VARIATION | {"population": 12, "offspring": 4}}

PRESETS = {"laptop": LAPTOP, "paper": PAPER, "macro": MACRO}
