"""The final training of one network: from an architecture and a data source to a model and its test error.

A training folder holds `training.json` (what was asked for, written at the start), `checkpoint.safetensors` (until the
training is finished), and then `model.safetensors`, `architecture.json`, `model.html` and `metrics.json`, which comes
last and so is the sign that all is done. Whatever ends a training, `resume` goes on from its last whole epoch, and
where the budget is a number of epochs the result has the same bits as if nothing had happened.
"""

from frugalnas.tasks.recipe import RECIPES, Recipe
from frugalnas.training.run import Progress, Trained, resume, train
from frugalnas.training.settings import METRICS, SETTINGS, Settings, holds_training, is_finished, settings_of
from frugalnas.training.work import TooShort

__all__ = [
    "METRICS",
    "RECIPES",
    "SETTINGS",
    "Progress",
    "Recipe",
    "Settings",
    "TooShort",
    "Trained",
    "holds_training",
    "is_finished",
    "resume",
    "settings_of",
    "train",
]
