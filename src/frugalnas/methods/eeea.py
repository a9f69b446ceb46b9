"""EEEA-Net: evolutionary search with early exit, for error, multiply-accumulates and parameters at once.

Termritthikun, Jamtsho, Ieamsaard, Muneesawang, Lee: "EEEA-Net: An Early Exit Evolutionary Neural Architecture Search",
Engineering Applications of Artificial Intelligence 104 (2021) 104397, arXiv 2108.06156.

Early-exit population initialisation (eq. 6): an individual of the first generation is drawn again until its parameters,
counted on the network at its final size, are within a limit beta. Here that is a limit on an objective, checked before
anything is trained, and a strategy that goes on until its generation is full. Any cost can be limited in the same way.

Presets
- `paper`: section 3 and 4.1.1 of the paper. beta = 5 million gives EEEA-Net-C; 3 and 4 give A and B; inf gives EA-Net.
- `reference`: what the authors' released code does instead (see `strategies/truncation.py` for its selection).
- `laptop`: the same algorithm at a size that two CPU cores finish in minutes: beta is 250,000 parameters, a child is
  selected against after every fourth, networks are compared at half the images and 16 pixels.

Differences from the paper (preset `paper`)
- The limit holds for every generation: a child beyond it is bred again. The paper limits the first generation only, so
  that its later populations, and its front, may leave the limit.
- The paper's cells have four blocks in its figure 3 and five in its published genotypes; here five, loose ends joined.
- The final size for the counted costs is 36 channels: the paper's text says 32, its published counts fit only 36.
- Selection is NSGA-II's with one third as weight of each objective in the crowding distance, as the text says.
- Networks are compared on a validation part of the training images, never on the test images.
- One population is drawn by early exit, not a population and its offspring (P1 and Q1 of algorithm 1).
- The ramp of drop-path starts at 0, so that it has no effect in a single epoch; the paper states the rate only.

Differences from the released code (preset `reference`)
- It rates on the test images; no preset does.
- It counts the weights of layers that the network never runs (40,000 to 55,000 more parameters), and accepts below
  beta rather than up to it.
- A late child beyond the limit takes its slot here as there, but does not count as a trial; 30 generations end both.
- Its learning rate is constant in the one epoch; here it falls by a cosine from batch to batch.
- It redraws without end where beta cannot be met, and shrinks its population by duplicates; here both are bounded.
"""

from __future__ import annotations

from typing import Any

from frugalnas.spaces.cell import OPERATION_LISTS

SUMMARY = "NSGA-II over cells for error, MACs and parameters, with early exit at a limit (EEEA-Net, 2021)"

PAPER: dict[str, Any] = {
    "space": {
        "type": "cell",
        "operations": OPERATION_LISTS["eeea"],
        "blocks": 5,
        "inputs": "narrow",
        "concat": "loose",
        "channels": 36,
        "cells": 20,
    },
    "strategy": {
        "type": "nsga2",
        "population": 40,
        "crossover": "uniform",
        "crossover_probability": 1.0,
        "mutation": "pair",
        "weights": (1 / 3, 1 / 3, 1 / 3),
        "generations": 30,
    },
    "task": {
        "type": "classification",
        "recipe": {
            "batch": 128,
            "lr": 0.05,
            "momentum": 0.9,
            "weight_decay": 3e-4,
            "clip": 0.0,
            "cutout": 16,
            "drop_path": 0.2,
        },
    },
    "estimators": [{"type": "train", "fidelity": {"epochs": 1, "width": 32, "depth": 8}}],
    "objectives": ["error", "macs", "params"],
    "limits": {"params": 5e6},
    "trials": 40 * 30,  # population x generations
}

REFERENCE: dict[str, Any] = {
    "space": {
        "type": "cell",
        "operations": (*OPERATION_LISTS["eeea"][:7], "conv_7x1_1x7", *OPERATION_LISTS["eeea"][7:]),
        "blocks": 4,
        "inputs": "narrow",
        "concat": "all",
        "channels": 36,
        "cells": 20,
        "auxiliary": True,
    },
    "strategy": {"type": "truncation", "generations": 30},
    "task": {
        "type": "classification",
        "recipe": {
            "batch": 128,
            "lr": 0.025,
            "momentum": 0.9,
            "weight_decay": 5e-4,
            "nesterov": True,
            "clip": 5.0,
            "cutout": 16,
            "drop_path": 0.3,  # a ramp that starts at 0: without effect in one epoch
            "auxiliary": 0.4,
        },
    },
    "estimators": [{"type": "train", "fidelity": {"epochs": 1, "width": 16, "depth": 8}}],
    "objectives": ["error", "params", "macs"],
    "limits": {"params": 5e6},
    "trials": 40 + 29 * 36,
}

LAPTOP: dict[str, Any] = {
    "space": PAPER["space"] | {"blocks": 4, "channels": 16, "cells": 8},
    "strategy": {"type": "nsga2", "population": 12, "offspring": 4, "crossover_probability": 1.0},
    "task": {"type": "classification", "recipe": {"batch": 64, "lr": 0.05, "weight_decay": 3e-4}},
    "estimators": [
        {"type": "train", "fidelity": {"epochs": 1, "samples": 0.5, "resolution": 16, "width": 8, "depth": 5}}
    ],
    "objectives": ["error", "macs", "params"],
    "limits": {"params": 250_000},  # about the median of the space
    "trials": 48,
}

PRESETS = {"laptop": LAPTOP, "paper": PAPER, "reference": REFERENCE}
