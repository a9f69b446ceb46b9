"""What to try next. A strategy listed here can be configured by name, and is checked by `tests/test_strategies.py`."""

from frugalnas.strategies.nsga2 import NSGA2
from frugalnas.strategies.random import RandomSearch
from frugalnas.strategies.truncation import Truncation

STRATEGIES = {"random": RandomSearch, "nsga2": NSGA2, "truncation": Truncation}
