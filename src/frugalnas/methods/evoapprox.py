"""EvoApproxNAS: networks of Cartesian genetic programming evolve together with the multipliers that compute them.

Piňos, Mrázek, Sekanina: "Evolutionary Neural Architecture Search Supporting Approximate Multipliers", EuroGP 2021,
arXiv 2101.11883; the same: "Evolutionary approximation and neural architecture search", Genetic Programming and
Evolvable Machines 23 (2022).

NSGA-II minimises the error of the quantised network as its approximate multipliers compute it, the number of
parameters, and the energy of multiplications. A genotype is a network of Cartesian genetic programming with a
multiplier for each layer, see `spaces/cgp.py`; children are mutated until their network changes, and genes without
effect drift. `estimators/approximate.py` says how a candidate is rated: one that differs from an earlier one only in
multipliers has its trained weights and costs no training. The first generation is exact, and two mutations in five
change multipliers only, some of them or about half to the same one.

Presets
- `laptop`: a grid of 3 x 8 nodes and ten multipliers, at a size that two CPU cores finish in minutes.
- `exact`: the same with the exact multiplier only: what the same number of evaluations finds without the choice.
- `paper`: a grid of 5 x 30 nodes with all of what the space can do, and the 13 signed 8-bit multipliers that
  EvoApproxLib publishes, regenerated. "paper" in its scale: the settings are ours, see below.

Differences from the papers. Of both only the abstracts were at hand, and no code is public. They say: a multi-objective
evolutionary search over CNNs that Cartesian genetic programming encodes; classification error, parameters and power of
the inference as objectives; multipliers picked automatically from a library of approximate 8-bit ones (in the second
paper 8 x N bits); CIFAR-10, and SVHN in the second. All else is ours and may differ:
- The grid, its functions and the numbers that they choose from, how operands are made to fit, the classifier. Grid and
  active nodes of `paper` are those of CGP-CNN (Suganuma et al., GECCO 2017).
- NSGA-II as the multi-objective search, its population, offspring and generations; mutation without crossover, two
  in five of it of multipliers only; an exact first generation; no training for what is trained already.
- Which multipliers, and one for each layer rather than one for the network (`space.sharing` is "global" for that).
- The epochs, the data that train and rate a candidate, quantisation; that candidates are trained in float.
- Power is that of the multipliers relative to exact 8-bit ones, times multiplications, without memory or adders.
- The limits on parameters and multiply-accumulates.
"""

from __future__ import annotations

from typing import Any

from frugalnas.multipliers.published import PUBLISHED

SUMMARY = "NSGA-II over networks and their approximate multipliers, for error, size and energy (EvoApproxNAS, 2021)"

EXACT = "8s-0-0-0"
FEW = (
    *(EXACT, "8s-0-0-4", "8s-1-0-0", "8s-1-1-0", "8s-2-0-5"),
    *("8s-2-2-0", "8s-3-2-0", "8s-3-3-0", "8s-4-3-0", "8s-4-4-0"),
)  # in falling power, from that of the exact one to a seventh of it
LIBRARY = tuple(design.name for design in sorted(PUBLISHED, key=lambda design: -PUBLISHED[design].power_mw))

PAPER: dict[str, Any] = {
    "space": {
        "type": "cgp",
        "rows": 5,
        "cols": 30,
        "levels_back": 10,
        "channels": 16,
        "active": (10, 50),
        "multipliers": LIBRARY,
    },
    "strategy": {
        "type": "nsga2",
        "population": 8,
        "mutation": "forced",
        "gene_probability": 0.05,
        "keep_weights": 0.4,
        "start_first": True,
        "crossover_probability": 0.0,
        "generations": 21,
    },
    "task": {"type": "classification", "recipe": {"batch": 128, "lr": 0.05, "weight_decay": 3e-4}},
    "estimators": [{"type": "approximate", "fidelity": {"epochs": 20}, "calibration": 512}],
    "objectives": ["error", "params", "energy"],
    "limits": {"params": 2e6, "macs": 3e8},
    "trials": 8 + 8 * 20,
}

LAPTOP: dict[str, Any] = {
    "space": {
        "type": "cgp",
        "rows": 3,
        "cols": 8,
        "levels_back": 3,
        "functions": ("conv", "residual", "inverted_residual", "inception", "max_pool", "avg_pool", "sum", "concat"),
        "channels": 16,
        "widths": (1, 2, 4),
        "kernels": (3, 5),
        "strides": (1, 2),
        "expansions": (2, 4),
        "widest": 8,
        "smallest": 4,
        "active": (3, 16),
        "multipliers": FEW,
    },
    "strategy": PAPER["strategy"] | {"population": 12, "offspring": 4, "gene_probability": 0.02, "generations": None},
    "task": {"type": "classification", "recipe": {"batch": 64, "lr": 0.05, "weight_decay": 3e-4}},
    "estimators": [{"type": "approximate", "fidelity": {"epochs": 2, "resolution": 16}, "calibration": 512}],
    "objectives": ["error", "params", "energy"],
    "limits": {"params": 250_000, "macs": 10e6},
    "trials": 12 + 4 * 27,
}

ALL_EXACT: dict[str, Any] = LAPTOP | {"space": LAPTOP["space"] | {"multipliers": (EXACT,)}}

PRESETS = {"laptop": LAPTOP, "exact": ALL_EXACT, "paper": PAPER}
