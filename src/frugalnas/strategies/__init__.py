"""What to try next. A strategy listed here can be configured by name, and is checked by `tests/test_strategies.py`."""

from frugalnas.strategies.aging import Aging
from frugalnas.strategies.every_rung import EveryRung
from frugalnas.strategies.hierarchical import Hierarchical
from frugalnas.strategies.nsga2 import NSGA2
from frugalnas.strategies.one_plus_lambda import OnePlusLambda
from frugalnas.strategies.random import RandomSearch
from frugalnas.strategies.slow_fast import SlowFast
from frugalnas.strategies.truncation import Truncation

STRATEGIES = {
    "random": RandomSearch,
    "nsga2": NSGA2,
    "truncation": Truncation,
    "every_rung": EveryRung,
    "aging": Aging,
    "hierarchical": Hierarchical,
    "slow_fast": SlowFast,
    "one_plus_lambda": OnePlusLambda,
}
