"""Which cheap training orders networks as a careful one does: EcoNAS' study on the user's own images.

Zhou, Zhou, Zhang, Yi, Zhang, Dong, Liu, Ouyang: "EcoNAS: Finding Proxies for Economical Neural Architecture Search",
CVPR 2020, arXiv 2001.01233, section 3. Random networks are trained at a reference fidelity and at cheaper ones, the
proxies; a proxy is worth what its order of the networks tells of the order by the reference. See docs/proxies.md.

Differences from the paper: the networks are drawn by the search space and limits at hand; correlations come with
bootstrap intervals, beside what counting parameters and repeating the reference reach; cost is measured.
"""

from frugalnas.proxies.findings import Cost, Findings, Rating, findings_in
from frugalnas.proxies.run import PAGE, TABLE, Studied, begin, resume, write_findings
from frugalnas.proxies.rungs import FILE, with_ladder
from frugalnas.proxies.settings import (
    GRID,
    NETWORKS,
    REFERENCE,
    Outlook,
    images_of,
    is_study,
    names_in,
    outlook,
    study_of,
)
from frugalnas.proxies.text import ending_of, text_of

__all__ = [
    "FILE",
    "GRID",
    "NETWORKS",
    "PAGE",
    "REFERENCE",
    "TABLE",
    "Cost",
    "Findings",
    "Outlook",
    "Rating",
    "Studied",
    "begin",
    "ending_of",
    "findings_in",
    "images_of",
    "is_study",
    "names_in",
    "outlook",
    "resume",
    "study_of",
    "text_of",
    "with_ladder",
    "write_findings",
]
