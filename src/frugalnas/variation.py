"""Crossover, mutation and tournament on genotypes: pure functions of an explicit generator.

Gene i stays in `range(domains[i])`. Nothing here brings a genotype into canonical form: genes without an effect drift
freely, as neutral mutations should. Random numbers are drawn as one array, the rest is plain Python, which for tuples
of some tens of genes is the fastest mix.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import pairwise

import numpy as np

from frugalnas.core import Bounded, Candidate, Genotype, Ordinal, Space, Trainable

REDRAWS = 100  # at most, for a genotype that is viable, or whose network is another one
UNSEEN = 0.3  # the chance of a gene to change that training does not see: such a change costs no training


def bred_anew(
    breed: Callable[[int], Candidate],
    representative: Callable[[Genotype], Genotype],
    known: set[Genotype],
    attempts: int,
) -> Candidate:
    """What `breed` gives, bred again while the `representative` of its genotype is `known`, which then has it too.

    `breed` is handed the number of the attempt, from 0. The last of `attempts` is taken as it is: a space that is used
    up stops no search.
    """
    for attempt in range(attempts):
        candidate = breed(attempt)
        representing = representative(candidate.genotype)
        if representing not in known:
            break
    known.add(representing)
    return candidate


def random_genotype(rng: np.random.Generator, domains: tuple[int, ...]) -> Genotype:
    """Every gene uniform in its domain."""
    return tuple(rng.integers(domains).tolist())


def is_viable(space: Space, genotype: Genotype) -> bool:
    """Whether a genotype is worth a look, as far as the space says."""
    return not isinstance(space, Bounded) or space.viable(genotype)


def random_viable(rng: np.random.Generator, space: Space, attempts: int = REDRAWS) -> Genotype:
    """A random genotype, drawn again while it is not viable; the last of `attempts` is taken as it is."""
    for _ in range(attempts):
        genotype = random_genotype(rng, space.domains)
        if is_viable(space, genotype):
            break
    return genotype


def at_first(genotype: Genotype, space: Space) -> Genotype:
    """The genotype with the first value of all genes that are places on a scale, such as the exact multiplier."""
    ordinal = _ordinal(space)
    return tuple(0 if place in ordinal else gene for place, gene in enumerate(genotype)) if ordinal else genotype


def uniform_crossover(rng: np.random.Generator, first: Genotype, second: Genotype) -> tuple[Genotype, Genotype]:
    """Two complementary children: each gene from either parent with probability 0.5 (Syswerda 1989)."""
    keep = (rng.random(len(first)) < 0.5).tolist()
    return (
        tuple([a if k else b for a, b, k in zip(first, second, keep, strict=True)]),
        tuple([b if k else a for a, b, k in zip(first, second, keep, strict=True)]),
    )


def two_point_crossover(rng: np.random.Generator, first: Genotype, second: Genotype) -> tuple[Genotype, Genotype]:
    """Two complementary children that swap the genes between two distinct cuts, ends included (NSGA-Net)."""
    genes = len(first)
    start = int(rng.integers(genes + 1))
    stop = int(rng.integers(genes))
    stop += stop >= start  # distinct from start: the swap is never empty
    start, stop = min(start, stop), max(start, stop)
    return (
        first[:start] + second[start:stop] + first[stop:],
        second[:start] + first[start:stop] + second[stop:],
    )


def mutate_gene(rng: np.random.Generator, genotype: Genotype, domains: tuple[int, ...]) -> Genotype:
    """One random gene takes another value; genes of a single value are passed over.

    In a cell that is an operation or an input, half and half: the mutation of AmoebaNet (Real et al. 2019) and EcoNAS.
    """
    free = [index for index, size in enumerate(domains) if size > 1]
    if not free:
        return genotype
    at = free[int(rng.integers(len(free)))]
    value = int(rng.integers(domains[at] - 1))
    return (*genotype[:at], value + (value >= genotype[at]), *genotype[at + 1 :])


def mutate_pair(rng: np.random.Generator, genotype: Genotype, domains: tuple[int, ...]) -> Genotype:
    """One random pair of genes (2j, 2j+1), in a cell an operation and its input, drawn again (EEEA-Net, section 3).

    The new pair may equal the old one. In a genotype of odd length the last pair is a single gene.
    """
    start = 2 * int(rng.integers((len(genotype) + 1) // 2))
    pair = rng.integers(domains[start : start + 2]).tolist()
    return (*genotype[:start], *pair, *genotype[start + 2 :])


def polynomial_mutation(
    rng: np.random.Generator, genotype: Genotype, domains: tuple[int, ...], eta: float, probability: float
) -> Genotype:
    """Each gene, with `probability`, moves by a polynomially distributed step (Deb & Goyal 1996; NSGA-Net: eta 3).

    The larger `eta`, the shorter the steps. The bounded form, in which no gene leaves its domain; a gene of value v
    counts as the interval [v - 0.5, v + 0.5], so that after rounding the ends are as likely as their neighbours.
    """
    mutated = list(genotype)
    chosen, draws = rng.random((2, len(genotype))).tolist()
    for i, (chance, u) in enumerate(zip(chosen, draws, strict=True)):
        if chance < probability and domains[i] > 1:
            below = (genotype[i] + 0.5) / domains[i]  # relative position of the gene in its interval, in (0, 1)
            if u < 0.5:
                step = (2 * u + (1 - 2 * u) * (1 - below) ** (eta + 1)) ** (1 / (eta + 1)) - 1
            else:
                step = 1 - (2 * (1 - u) + (2 * u - 1) * below ** (eta + 1)) ** (1 / (eta + 1))
            mutated[i] = min(max(int((below + step) * domains[i]), 0), domains[i] - 1)
    return tuple(mutated)


def mutate_points(
    rng: np.random.Generator,
    genotype: Genotype,
    domains: tuple[int, ...],
    probability: float,
    ordinal: Collection[int] = frozenset(),
) -> Genotype:
    """Each gene, with `probability`, takes another value: the point mutation of Cartesian genetic programming.

    All others are as likely; a gene of `ordinal` goes half of the time to a value next to its own.
    """
    mutated = list(genotype)
    chosen, draws = rng.random((2, len(genotype)))
    for i in np.flatnonzero(chosen < probability).tolist():
        size, old, u = domains[i], genotype[i], float(draws[i])
        if size < 2:
            continue
        if i in ordinal:
            if u < 0.5:
                beside = [value for value in (old - 1, old + 1) if 0 <= value < size]
                mutated[i] = beside[int(2 * u * len(beside))]
                continue
            u = 2 * u - 1
        value = int(u * (size - 1))
        mutated[i] = value + (value >= old)
    return tuple(mutated)


def mutate_forced(
    rng: np.random.Generator, genotype: Genotype, space: Space, probability: float, attempts: int = REDRAWS
) -> Genotype:
    """`mutate_points`, again from the same genotype until the network is another one and viable.

    So in CGP-CNN (Suganuma et al. 2017). Genes without effect change along with the others. The last of `attempts` is
    taken as it is.
    """
    before, child = space.canonical(genotype), genotype
    for _ in range(attempts if max(space.domains) > 1 else 0):
        child = mutate_points(rng, genotype, space.domains, probability, _ordinal(space))
        if space.canonical(child) != before and is_viable(space, child):
            break
    return child


def mutate_neutral(rng: np.random.Generator, genotype: Genotype, space: Space, probability: float) -> Genotype:
    """`mutate_points`, of which only what leaves the network as it is takes place: the drift of a parent that stays."""
    drawn = mutate_points(rng, genotype, space.domains, probability, _ordinal(space))
    return _where_kept(genotype, drawn, space.canonical)


def mutate_untrained(
    rng: np.random.Generator, genotype: Genotype, space: Space, probability: float, attempts: int = REDRAWS
) -> Genotype:
    """A child with its parent's weights: of genes that training does not see, each changes with the chance UNSEEN.

    Half of these children have one level on about half of the genes that are places on a scale besides: such as one
    multiplier in about half of the layers. Where the space does not tell what training sees, or no such change is
    found, it is `mutate_forced` with `probability`.
    """
    if isinstance(space, Trainable):
        before, ordinal = space.canonical(genotype), _ordinal(space)
        for _ in range(attempts):
            drawn = mutate_points(rng, genotype, space.domains, UNSEEN, ordinal)
            child = _where_kept(genotype, drawn, space.trained)
            if space.canonical(child) != before:
                levelled = genotype
                if rng.random() < 0.5:
                    levelled = _where_kept(child, _levelled(rng, child, space.domains, ordinal), space.trained)
                return child if space.canonical(levelled) == before else levelled
    return mutate_forced(rng, genotype, space, probability, attempts)


def _levelled(
    rng: np.random.Generator, genotype: Genotype, domains: tuple[int, ...], ordinal: Collection[int]
) -> Genotype:
    """One level, drawn at random, for about half of the genes of `ordinal`."""
    level, chosen = rng.random(), (rng.random(len(genotype)) < 0.5).tolist()
    return tuple(
        int(level * size) if chosen[i] and i in ordinal else gene
        for i, (gene, size) in enumerate(zip(genotype, domains, strict=True))
    )


def _where_kept(genotype: Genotype, drawn: Genotype, kept: Callable[[Genotype], Genotype]) -> Genotype:
    """`genotype` with those genes of `drawn` that leave as it is what `kept` makes of it, one after the other."""
    before = kept(genotype)
    for place, (old, new) in enumerate(zip(genotype, drawn, strict=True)):
        if new != old:
            moved = (*genotype[:place], new, *genotype[place + 1 :])
            genotype = moved if kept(moved) == before else genotype
    return genotype


def _ordinal(space: Space) -> Collection[int]:
    return space.ordinal if isinstance(space, Ordinal) else frozenset()


def sample_chain(
    rng: np.random.Generator, genotypes: Sequence[Genotype], parts: int
) -> tuple[Genotype, tuple[int, ...]]:
    """A genotype from p(part 1) and p(part k | part k-1), and the places of those of `genotypes` that it came from.

    Each probability is how often the part is found in `genotypes`, after an equal part k-1; one such observation more
    is spread over all of them, so that parts that always came together can come apart. This is the Bayesian network of
    NSGA-Net's exploitation, in which a part, one of `parts` of about equal length, is a phase.
    """
    length = len(genotypes[0])
    ends = [length * part // parts for part in range(parts + 1)]
    pieces = [[genotype[start:end] for start, end in pairwise(ends)] for genotype in genotypes]
    places = [int(rng.integers(len(pieces)))]
    for part in range(1, parts):
        before = pieces[places[-1]][part - 1]
        alike = [place for place, piece in enumerate(pieces) if piece[part - 1] == before]
        drawn = int(rng.integers(len(alike) + 1))
        places.append(alike[drawn] if drawn < len(alike) else int(rng.integers(len(pieces))))
    return tuple(gene for part, place in enumerate(places) for gene in pieces[place][part]), tuple(places)


def tournament(rng: np.random.Generator, keys: Sequence[tuple[float, ...]], size: int = 2) -> int:
    """The index of the smallest key among `size` different ones drawn at random (all, if there are fewer).

    Equal keys are decided by the draw.
    """
    drawn: list[int] = rng.permutation(len(keys))[:size].tolist()
    return min(drawn, key=keys.__getitem__)
