"""How good a candidate is. An estimator listed here can be configured by name."""

from frugalnas.estimators.random_weights import RandomWeights
from frugalnas.estimators.train import Train

ESTIMATORS = {"train": Train, "random_weights": RandomWeights}
