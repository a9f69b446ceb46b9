"""CGP-CNN: networks of Cartesian genetic programming, found by a (1 + 2) evolution strategy for their error alone.

Suganuma, Shirakawa, Nagao: "A Genetic Programming Approach to Designing Convolutional Neural Network Architectures",
GECCO 2017. See `strategies/one_plus_lambda.py` for the search and `spaces/grid.py`, `spaces/wiring.py` for networks.

Presets
- `paper`: ConvSet, blocks of a convolution, as in the paper and its released code: a grid of 5 x 30 nodes that read up
  to 10 columns back, 10 to 50 of them with an effect; 32, 64 or 128 channels, 3x3 or 5x5 kernels, max and average
  pooling, sums, concatenations; 1,000 networks, trained for 50 epochs each.
- `resset`: ResSet, the same with residual blocks.
- `laptop`: the same search on a grid of 3 x 8 nodes at a size that two CPU cores finish in minutes.

Differences from the paper
- Those of `strategies/one_plus_lambda.py` and `spaces/wiring.py`.
- The classifier reads the mean over the last map; theirs reads every pixel of it, which makes the size of the network
  depend on how often it pools.
- Networks of fewer than 10 or more than 50 active nodes are drawn or mutated again, a bounded number of times; their
  PyTorch code never checks the upper end.
- A concatenation keeps the first 1,024 channels; theirs keeps all, without a limit.
- The error is that on a validation part after the last epoch, never on the test images; theirs in the search is the
  best of the last ten epochs, and their retraining reports the best test accuracy of 450 epochs.
- Networks are trained as in the other methods, by SGD with a cosine; theirs by Adam, whose rate falls by steps.
"""

from __future__ import annotations

from typing import Any

SUMMARY = "(1 + 2) evolution of networks of Cartesian genetic programming for their error (CGP-CNN, 2017)"

_REST = ("max_pool", "avg_pool", "sum", "concat")  # theirs are these and a block for each of 6 widths and kernels

PAPER: dict[str, Any] = {
    "space": {
        "type": "cgp",
        "rows": 5,
        "cols": 30,
        "levels_back": 10,
        "functions": ("conv",) * 6 + _REST,
        "channels": 32,
        "widths": (1, 2, 4),
        "kernels": (3, 5),
        "strides": (1,),
        "expansions": (1,),
        "widest": 32,
        "smallest": 1,
        "active": (10, 50),
    },
    "strategy": {"type": "one_plus_lambda", "offspring": 2, "gene_probability": 0.05},
    "task": {"type": "classification", "recipe": {"batch": 128, "lr": 0.05, "weight_decay": 1e-4}},
    "estimators": [{"type": "train", "fidelity": {"epochs": 50}}],
    "objectives": ["error"],
    "trials": 1000,
}

RESSET: dict[str, Any] = PAPER | {"space": PAPER["space"] | {"functions": ("residual",) * 6 + _REST}}

LAPTOP: dict[str, Any] = {
    "space": PAPER["space"]
    | {"rows": 3, "cols": 8, "levels_back": 3, "channels": 16, "widest": 8, "smallest": 4, "active": (4, 16)},
    "strategy": PAPER["strategy"],
    "task": {"type": "classification", "recipe": {"batch": 64, "lr": 0.05, "weight_decay": 3e-4}},
    "estimators": [{"type": "train", "fidelity": {"epochs": 2, "resolution": 16, "width": 8}}],
    "objectives": ["error"],
    "limits": {"params": 250_000},
    "trials": 48,
}

PRESETS = {"laptop": LAPTOP, "paper": PAPER, "resset": RESSET}
