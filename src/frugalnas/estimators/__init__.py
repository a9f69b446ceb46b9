"""How good a candidate is. An estimator listed here can be configured by name."""

from frugalnas.estimators.approximate import Approximate
from frugalnas.estimators.auto import Auto
from frugalnas.estimators.predicted import Predicted
from frugalnas.estimators.random_weights import RandomWeights
from frugalnas.estimators.shared_weights import SharedWeights
from frugalnas.estimators.table import Table
from frugalnas.estimators.train import Train
from frugalnas.estimators.zero_cost import ZeroCost

ESTIMATORS = {
    "train": Train,
    "approximate": Approximate,
    "random_weights": RandomWeights,
    "shared_weights": SharedWeights,
    "table": Table,
    "zero_cost": ZeroCost,
    "auto": Auto,
    "predicted": Predicted,
}
