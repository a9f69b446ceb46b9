"""The whole way in one step, within a number of minutes: look at the images, search, pick, train, export, report.

The folder of a fit holds `fit.json` (what was asked for, and what is done) and, in `search`, `model` and `export`, what
the commands of these names write. Whatever kills a fit, the same call or `resume` goes on where it was.
"""

from frugalnas.fit.run import EXPORT, MODEL, SEARCH, Fitted, Watch, fit, resume
from frugalnas.fit.settings import FILE, Plan, holds_fit, plan

__all__ = ["EXPORT", "FILE", "MODEL", "SEARCH", "Fitted", "Plan", "Watch", "fit", "holds_fit", "plan", "resume"]
