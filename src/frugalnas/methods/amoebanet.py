"""AmoebaNet: regularized evolution, in which the oldest network dies, over the cells of NASNet.

Real, Aggarwal, Huang, Le: "Regularized Evolution for Image Classifier Architecture Search", AAAI 2019, arXiv
1802.01548. See `strategies/aging.py` for the search, which has been the baseline of the field since.

Presets
- `paper`: the run that found AmoebaNet-A: population 100, samples of 25, 20,000 networks of three normal cells between
  reductions (11 cells) and 24 channels, trained for 25 epochs.
- `laptop`: the same search on eeea's preset of that name, with a population of 12 and samples of a quarter of it, and
  without repeats.

Differences from the paper
- Those of `strategies/aging.py`.
- Networks are trained as in the other methods, by SGD with a cosine; the authors' recipe (RMSProp, auxiliary head) is
  not here.
- The dilated convolution is DARTS' 3x3, the 1x7 then 7x1 convolution that of NSGA-Net.
- The final size for counted costs is 36 channels and 20 cells (six normal cells between reductions).
"""

from __future__ import annotations

from typing import Any

from frugalnas.methods import eeea

SUMMARY = "Regularized evolution, in which the oldest dies (AmoebaNet, 2019)"

PAPER: dict[str, Any] = {
    "space": {
        "type": "cell",
        "operations": (
            *("skip_connect", "sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7"),
            *("avg_pool_3x3", "max_pool_3x3", "dil_conv_3x3", "conv_7x1_1x7"),
        ),
        "blocks": 5,
        "inputs": "full",
        "concat": "unused",
        "channels": 36,
        "cells": 20,
    },
    "strategy": {"type": "aging", "population": 100, "sample": 25, "identity_probability": 0.05},
    "task": {"type": "classification", "recipe": {"batch": 128, "lr": 0.05, "weight_decay": 3e-4}},
    "estimators": [{"type": "train", "fidelity": {"epochs": 25, "width": 24, "depth": 11}}],
    "objectives": ["error"],
    "trials": 20_000,
}

LAPTOP: dict[str, Any] = eeea.LAPTOP | {
    "strategy": {"type": "aging", "population": 12, "sample": 3, "identity_probability": 0.0, "attempts": 50}
}

PRESETS = {"laptop": LAPTOP, "paper": PAPER}
