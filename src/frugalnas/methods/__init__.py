"""The published systems: a page each, which composes spaces, strategies and estimators with the paper's settings.

A page is data: its `PRESETS` map a name to a configuration tree, and every key of that tree is an argument of the
constructor that the section names. Keys that a preset leaves out have the constructor's defaults.
"""

from frugalnas.methods import amoebanet, cgpcnn, econas, eeea, evoapprox, nsganet, random_search, relativenas, rwe

METHODS = {
    "eeea": eeea,
    "random": random_search,
    "relativenas": relativenas,
    "econas": econas,
    "nsganet": nsganet,
    "rwe": rwe,
    "amoebanet": amoebanet,
    "cgpcnn": cgpcnn,
    "evoapprox": evoapprox,
}
