"""Random search: the baseline that every search should be compared with, on the same space, estimator and budget.

Li and Talwalkar: "Random Search and Reproducibility for Neural Architecture Search", UAI 2019, arXiv 1902.07638.

Each preset is the EEEA-Net preset of the same name with the strategy exchanged, so that the two differ in nothing else.

Differences from the paper: none of its weight sharing; each network is rated on its own.
"""

from __future__ import annotations

from typing import Any

from frugalnas.methods import eeea

SUMMARY = "Uniform random architectures: the baseline to compare with, at the settings of eeea"

PRESETS: dict[str, dict[str, Any]] = {
    name: eeea.PRESETS[name] | {"strategy": {"type": "random"}} for name in ("laptop", "paper")
}
