"""Economical neural architecture search: a Pareto front of small, accurate CNNs for your own images and device.

The names below are imported when they are first used, so `import frugalnas` is quick and does not load torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from frugalnas.assign import Approximated as Approximated
    from frugalnas.assign import approximate as approximate
    from frugalnas.classifier import FrugalClassifier as FrugalClassifier
    from frugalnas.core import Candidate as Candidate
    from frugalnas.core import Fidelity as Fidelity
    from frugalnas.core import InputError as InputError
    from frugalnas.core import Objective as Objective
    from frugalnas.core import Problem as Problem
    from frugalnas.core import Trial as Trial
    from frugalnas.launch import Result as Result
    from frugalnas.launch import resume as resume
    from frugalnas.launch import search as search
    from frugalnas.model import Model as Model
    from frugalnas.spaces.architecture import Architecture as Architecture
    from frugalnas.study import Study as Study
    from frugalnas.zoo import count as count
    from frugalnas.zoo import create_model as create_model

_MODULE_OF = {
    "Approximated": "frugalnas.assign",
    "approximate": "frugalnas.assign",
    "FrugalClassifier": "frugalnas.classifier",
    "Candidate": "frugalnas.core",
    "Fidelity": "frugalnas.core",
    "InputError": "frugalnas.core",
    "Objective": "frugalnas.core",
    "Problem": "frugalnas.core",
    "Trial": "frugalnas.core",
    "Result": "frugalnas.launch",
    "resume": "frugalnas.launch",
    "search": "frugalnas.launch",
    "Model": "frugalnas.model",
    "Architecture": "frugalnas.spaces.architecture",
    "Study": "frugalnas.study",
    "count": "frugalnas.zoo",
    "create_model": "frugalnas.zoo",
}


# Hidden from type checkers, which would otherwise take any misspelt name for an attribute.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
        return value


def __dir__() -> list[str]:
    return sorted([*_MODULE_OF, "__version__"])
