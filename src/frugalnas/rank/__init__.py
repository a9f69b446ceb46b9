"""How well cheap ratings order networks whose error after a careful training is known, beside counting their size.

The networks are rows of a table, such as NAS-Bench-201's, or those that a search trained. Every estimator rates each of
them on the user's images; what comes out is its rank correlation with the truth, what that takes, and how much of it is
more than size: many published scores correlate with the error because they grow with the network.
"""

from frugalnas.rank.findings import Findings, Rating, findings_in
from frugalnas.rank.run import NETWORKS, PAGE, TABLE, Ranked, begin, resume, write_findings
from frugalnas.rank.settings import MOST, is_ranking, ratings_in, study_of
from frugalnas.rank.text import ending_of, text_of
from frugalnas.rank.truth import Truth, from_run, from_table

__all__ = [
    "MOST",
    "NETWORKS",
    "PAGE",
    "TABLE",
    "Findings",
    "Ranked",
    "Rating",
    "Truth",
    "begin",
    "ending_of",
    "findings_in",
    "from_run",
    "from_table",
    "is_ranking",
    "ratings_in",
    "resume",
    "study_of",
    "text_of",
    "write_findings",
]
