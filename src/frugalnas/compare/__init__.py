"""Several methods on the same work, each beside its random twin, with statistics. See docs/compare.md."""

from frugalnas.compare.equal import plan
from frugalnas.compare.outcome import Outcome
from frugalnas.compare.plan import Plan, holds_comparison
from frugalnas.compare.text import ending_of, text_of
from frugalnas.compare.work import Glance, compare, resume, searches_in, write_outcome

__all__ = [
    "Glance",
    "Outcome",
    "Plan",
    "compare",
    "ending_of",
    "holds_comparison",
    "plan",
    "resume",
    "searches_in",
    "text_of",
    "write_outcome",
]
