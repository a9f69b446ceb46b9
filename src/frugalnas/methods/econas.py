"""EcoNAS: evolution over a ladder of proxies, in which most networks are trained a third and the best to the end.

Zhou, Zhou, Zhang, Yi, Zhang, Dong, Liu, Ouyang: "EcoNAS: Finding Proxies for Economical Neural Architecture Search",
CVPR 2020, arXiv 2001.01233.

The paper finds by experiment which reductions keep the order of networks: fewer channels and pixels, but all images
(`frugalnas proxies` repeats that on your data). Its proxy is c4r4s0e60: 9 of 36 channels, 8 of 32 pixels, 60 epochs.
Networks are compared after 20, 40 and 60 of them, and a network that is promoted goes on from its checkpoint: see
`strategies/hierarchical.py` for the evolution and `estimators/train.py` for the rungs.

Presets
- `paper`: the released code's settings, 100 cycles: 1,601 networks, 2,797 trainings of 20 epochs.
- `laptop`: the same at the size of eeea's preset of that name, with half of the paper's numbers and rungs of one epoch
  of three. It ends with a cycle's promotions, about where that preset ends in images.

Differences from the paper
- Those of `strategies/hierarchical.py`.
- Networks are compared on a validation part of the training images; the released code has the test images.
- A promoted network keeps the momentum of its optimiser, and every epoch has an order of images of its own. In the
  released code momentum starts anew on each rung, and all epochs have the same order.
- Images are made small first, then cropped with a border of a pixel; the released code crops, then makes them small.
- The final size for counted costs is 36 channels and 20 cells. The search has one objective, as the paper; with more of
  them (`--set objectives=...`) promotion is by non-dominated rank.
"""

from __future__ import annotations

from typing import Any

from frugalnas.methods import eeea
from frugalnas.spaces.cell import OPERATION_LISTS

SUMMARY = "Evolution over three rungs of one training, the best of each go on (EcoNAS, 2020)"


def _ladder(fidelity: dict[str, Any], stops: tuple[int | None, ...]) -> list[dict[str, Any]]:
    return [{"type": "train", "fidelity": fidelity, "stop": stop} for stop in stops]


PAPER: dict[str, Any] = {
    "space": {
        "type": "cell",
        "operations": OPERATION_LISTS["econas"],
        "blocks": 4,
        "inputs": "full",
        "concat": "unused",
        "channels": 36,
        "cells": 20,
    },
    "strategy": {
        "type": "hierarchical",
        "population": 16,
        "promotions": (8, 4),
        "children": (6, 5, 5),
        "age_limit": 10,
        "cycles": 100,
    },
    "task": {
        "type": "classification",
        "recipe": {"batch": 384, "lr": 0.1, "momentum": 0.9, "weight_decay": 3e-4, "clip": 5.0},
    },
    "estimators": _ladder({"epochs": 60, "width": 9, "resolution": 8}, (20, 40, None)),
    "objectives": ["error"],
    "trials": 1601 + 800 + 396,  # on the three rungs in 100 cycles
}

LAPTOP: dict[str, Any] = eeea.LAPTOP | {
    "strategy": {"type": "hierarchical", "population": 8, "promotions": (4, 2), "children": (3, 2, 2)},
    "estimators": _ladder(eeea.LAPTOP["estimators"][0]["fidelity"] | {"epochs": 3}, (1, 2, None)),
    "trials": 45,  # one epoch each
}

PRESETS = {"laptop": LAPTOP, "paper": PAPER}
