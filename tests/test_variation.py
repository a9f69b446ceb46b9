"""Every result in its domains, and each operator with the distribution it promises."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frugalnas.variation import (
    mutate_forced,
    mutate_gene,
    mutate_neutral,
    mutate_pair,
    mutate_points,
    mutate_untrained,
    polynomial_mutation,
    random_genotype,
    random_viable,
    sample_chain,
    tournament,
    two_point_crossover,
    uniform_crossover,
)

settings.register_profile("steady", deadline=None)  # a busy machine is not a failure
settings.load_profile("steady")
DOMAINS = st.lists(st.integers(1, 12), min_size=1, max_size=11).map(tuple)
SEEDS = st.integers(0, 2**32 - 1)
CROSSOVERS = pytest.mark.parametrize("crossover", [uniform_crossover, two_point_crossover])


def generator(seed):
    return np.random.default_rng(seed)


def valid(genotype, domains):
    return (
        type(genotype) is tuple
        and len(genotype) == len(domains)
        and all(type(gene) is int and 0 <= gene < domain for gene, domain in zip(genotype, domains, strict=True))
    )


@given(DOMAINS, SEEDS, st.floats(0, 30), st.floats(0, 1))
def test_everything_stays_in_the_domains(domains, seed, eta, probability):
    rng = generator(seed)
    first, second = random_genotype(rng, domains), random_genotype(rng, domains)
    results = [first, second, *uniform_crossover(rng, first, second), *two_point_crossover(rng, first, second)]
    results += [mutate_pair(rng, first, domains), polynomial_mutation(rng, first, domains, eta, probability)]
    results += [mutate_gene(rng, first, domains), sample_chain(rng, [first, second], 3)[0]]
    assert all(valid(genotype, domains) for genotype in results)


@given(DOMAINS, SEEDS)
def test_the_generator_decides_everything(domains, seed):
    def all_of(rng):
        first, second = random_genotype(rng, domains), random_genotype(rng, domains)
        crossed = uniform_crossover(rng, first, second), two_point_crossover(rng, first, second)
        mutated = mutate_pair(rng, first, domains), polynomial_mutation(rng, first, domains, 3.0, 0.5)
        mutated += mutate_gene(rng, first, domains), sample_chain(rng, [first, second, mutated[0]], 2)
        return first, second, crossed, mutated, tournament(rng, [(1.0,)] * 9, 3)

    np.random.seed(1)  # noqa: NPY002
    before = all_of(generator(seed))
    np.random.seed(2)  # noqa: NPY002
    assert all_of(generator(seed)) == before


def test_random_genotypes_are_uniform():
    rng = generator(0)
    drawn = Counter(random_genotype(rng, (2, 3)) for _ in range(6000))
    assert len(drawn) == 6
    assert all(abs(count - 1000) < 150 for count in drawn.values())


@CROSSOVERS
@given(DOMAINS, SEEDS)
def test_children_are_complementary(crossover, domains, seed):
    rng = generator(seed)
    first, second = random_genotype(rng, domains), random_genotype(rng, domains)
    children = crossover(rng, first, second)
    for a, b, x, y in zip(first, second, *children, strict=True):
        assert (x, y) in ((a, b), (b, a))


@CROSSOVERS
def test_every_gene_comes_from_either_parent(crossover):
    rng, zeros, ones = generator(0), (0,) * 9, (1,) * 9
    share = np.mean([crossover(rng, zeros, ones)[0] for _ in range(3000)], axis=0)
    if crossover is uniform_crossover:
        assert np.abs(share - 0.5).max() < 0.05
    else:
        assert share.min() > 0.1
        assert share[4] > share[0]  # a middle gene lies between two random cuts more often


@given(st.integers(1, 12), SEEDS)
def test_two_points_swap_one_run_of_genes(genes, seed):
    child, _ = two_point_crossover(generator(seed), (0,) * genes, (1,) * genes)
    text = "".join(map(str, child))
    assert "1" in text
    assert "0" not in text.strip("0")


@given(DOMAINS, SEEDS)
def test_a_pair_mutation_touches_one_aligned_pair(domains, seed):
    rng = generator(seed)
    genotype = random_genotype(rng, domains)
    mutated = mutate_pair(rng, genotype, domains)
    assert len({i // 2 for i, gene in enumerate(mutated) if gene != genotype[i]}) <= 1


def test_a_pair_mutation_reaches_every_value_of_every_pair():
    rng, domains = generator(0), (2, 3, 2, 2, 3)
    reached = {mutate_pair(rng, (0, 0, 0, 0, 0), domains) for _ in range(2000)}
    expected = {(a, b, 0, 0, 0) for a in range(2) for b in range(3)}
    expected |= {(0, 0, c, d, 0) for c in range(2) for d in range(2)} | {(0, 0, 0, 0, e) for e in range(3)}
    assert reached == expected


class TestPolynomialMutation:
    def moved(self, start, domain, eta, samples=20_000):
        rng = generator(0)
        genes = polynomial_mutation(rng, (start,) * samples, (domain,) * samples, eta, 1.0)
        return np.bincount(genes, minlength=domain) / samples

    def test_probability_0_changes_nothing(self):
        assert polynomial_mutation(generator(0), (1, 2, 3), (9, 9, 9), 3.0, 0.0) == (1, 2, 3)

    def test_probability_is_per_gene(self):
        genes = polynomial_mutation(generator(0), (500,) * 20_000, (1001,) * 20_000, 0.0, 0.2)
        assert np.mean(np.array(genes) != 500) == pytest.approx(0.2, abs=0.01)

    def test_a_larger_eta_makes_shorter_steps(self):
        steps = [np.abs(np.arange(21) - 10) @ self.moved(10, 21, eta) for eta in (0.0, 3.0, 20.0)]
        assert steps[0] > 1.3 * steps[1]
        assert steps[1] > 1.3 * steps[2] > 0

    def test_from_the_middle_eta_0_is_uniform(self):
        assert self.moved(2, 5, 0.0) == pytest.approx([0.2] * 5, abs=0.02)

    def test_is_symmetric(self):
        assert self.moved(1, 7, 3.0) == pytest.approx(self.moved(5, 7, 3.0)[::-1], abs=0.02)

    @pytest.mark.parametrize(("start", "eta"), [(0, 3.0), (3, 1.0), (8, 20.0)])
    def test_has_the_distribution_of_pymoo(self, start, eta):
        mut_pm = pytest.importorskip("pymoo.operators.mutation.pm").mut_pm
        n, domain = 20_000, 9
        low, high = np.array([-0.5]), np.array([domain - 0.5])
        x = np.full((n, 1), float(start))
        moved = mut_pm(x, low, high, np.full(n, eta), np.ones(n), False, random_state=generator(1))
        expected = np.bincount(np.rint(moved[:, 0]).astype(int).clip(0, domain - 1), minlength=domain) / n
        assert self.moved(start, domain, eta) == pytest.approx(expected, abs=0.02)


class TestTournament:
    @given(st.lists(st.tuples(st.integers(0, 5)), min_size=1, max_size=8), SEEDS)
    def test_among_all_the_smallest_key_wins(self, keys, seed):
        assert keys[tournament(generator(seed), keys, len(keys) + 3)] == min(keys)

    def test_the_last_never_wins_and_better_ones_win_more(self):
        rng, keys = generator(0), [(3.0,), (0.0,), (2.0,), (1.0,)]
        wins = Counter(tournament(rng, keys, 2) for _ in range(6000))
        assert wins[0] == 0  # contestants are different
        assert [index for index, _ in wins.most_common()] == [1, 3, 2]
        assert wins[1] / 6000 == pytest.approx(1 / 2, abs=0.03)

    def test_equal_keys_are_decided_by_the_draw(self):
        rng = generator(0)
        wins = Counter(tournament(rng, [(0.0, 1.0)] * 4, 2) for _ in range(4000))
        assert all(abs(wins[index] - 1000) < 150 for index in range(4))


def test_a_gene_takes_every_other_value_equally_often():
    rng, domains, first = generator(0), (4, 1, 3, 2), (1, 0, 2, 0)
    found = Counter(mutate_gene(rng, first, domains) for _ in range(12_000))
    expected = {(v, 0, 2, 0): 1 / 9 for v in (0, 2, 3)} | {(1, 0, v, 0): 1 / 6 for v in (0, 1)} | {(1, 0, 2, 1): 1 / 3}
    assert set(found) == set(expected)
    for genotype, share in expected.items():
        assert found[genotype] / 12_000 == pytest.approx(share, abs=0.02)
    assert mutate_gene(rng, (0, 0), (1, 1)) == (0, 0)


def test_a_chain_follows_what_it_has_seen_and_sometimes_something_else():
    """Of three parts: A is followed by C in two of three, by D in one; then one observation spread over all four."""
    rng = generator(0)
    seen = [(0, 0, 2, 2, 4, 4), (0, 0, 2, 2, 5, 5), (0, 0, 3, 3, 6, 6), (1, 1, 3, 3, 7, 7)]
    drawn = [sample_chain(rng, seen, 3) for _ in range(20_000)]
    for genotype, places in drawn[:200]:
        parts = [seen[place][2 * part : 2 * part + 2] for part, place in enumerate(places)]
        assert genotype == (*parts[0], *parts[1], *parts[2])
    after = [genotype[2] for genotype, _ in drawn if genotype[0] == 0]
    assert len(after) / 20_000 == pytest.approx(3 / 4, abs=0.02)
    assert after.count(2) / len(after) == pytest.approx((2 + 2 / 4) / 4, abs=0.02)
    last = [genotype[4] for genotype, _ in drawn if genotype[2] == 3]
    assert [last.count(v) / len(last) for v in (4, 5, 6, 7)] == pytest.approx(
        [1 / 12, 1 / 12, 5 / 12, 5 / 12], abs=0.02
    )
    assert {genotype for genotype, _ in drawn} > set(seen)


def test_a_chain_of_one_part_is_a_copy_and_of_many_an_unequal_cut():
    rng = generator(0)
    assert {sample_chain(rng, [(1, 2, 3)], 1) for _ in range(5)} == {((1, 2, 3), (0,))}
    assert len(sample_chain(rng, [(1, 2, 3), (4, 5, 6)], 2)[0]) == 3
    assert sample_chain(rng, [(1, 2)], 5)[0] == (1, 2)


@given(DOMAINS, SEEDS, st.floats(0, 1), st.sets(st.integers(0, 10)))
def test_point_mutation_stays_inside_the_domains(domains, seed, probability, ordinal):
    rng = generator(seed)
    genotype = random_genotype(rng, domains)
    child = mutate_points(rng, genotype, domains, probability, ordinal)
    assert valid(child, domains)
    if probability == 0:
        assert child == genotype
    if probability == 1:
        assert all(a != b for a, b, size in zip(child, genotype, domains, strict=True) if size > 1)


def test_point_mutation_draws_other_values_equally_and_neighbours_half_of_the_time():
    rng = generator(0)
    drawn = Counter(mutate_points(rng, (2, 2, 0), (5, 5, 5), 1.0, {1, 2}) for _ in range(8000))
    plain, inner, end = (Counter({}) for _ in range(3))
    for child, times in drawn.items():
        for counter, value in zip((plain, inner, end), child, strict=True):
            counter[value] += times
    assert all(abs(plain[value] / 8000 - 1 / 4) < 0.02 for value in (0, 1, 3, 4))
    shares = {0: 1 / 8, 1: 1 / 4 + 1 / 8, 3: 1 / 4 + 1 / 8, 4: 1 / 8}  # half to a neighbour, half to any other
    assert all(abs(inner[value] / 8000 - share) < 0.02 for value, share in shares.items())
    shares = {1: 1 / 2 + 1 / 8, 2: 1 / 8, 3: 1 / 8, 4: 1 / 8}
    assert all(abs(end[value] / 8000 - share) < 0.02 for value, share in shares.items())


class Folded:
    """A space whose last gene has no effect, whose second is seen by no training, and whose first may not be 0."""

    domains = (4, 4, 4)
    ordinal = frozenset()

    def canonical(self, genotype):
        return (*genotype[:2], 0)

    def trained(self, genotype):
        return (genotype[0], 0, 0)

    def viable(self, genotype):
        return genotype[0] > 0


@given(SEEDS)
def test_forced_neutral_and_untrained_mutations_keep_what_they_say(seed):
    rng, space = generator(seed), Folded()
    parent = random_viable(rng, space)
    child = mutate_forced(rng, parent, space, 0.3)
    assert parent[0] > 0 and child[0] > 0 and child[:2] != parent[:2]
    assert mutate_neutral(rng, parent, space, 0.5)[:2] == parent[:2]
    other = mutate_untrained(rng, parent, space, 0.3)
    assert other[0] == parent[0] and other[1] != parent[1]


def test_half_of_the_untrained_mutations_give_one_level_to_many_genes():
    class Scales:
        """The first gene is trained, ten others are places on a scale."""

        domains = (9, *[100] * 10)
        ordinal = frozenset(range(1, 11))

        def canonical(self, genotype):
            return genotype

        def trained(self, genotype):
            return genotype[:1]

    rng, alike = generator(0), 0
    for _ in range(400):
        child = mutate_untrained(rng, (4, *[0] * 10), Scales(), 0.3)
        assert child[0] == 4 and any(child[1:])
        alike += any(child[1:].count(level) > 2 for level in {*child[1:]} - {0, 1})  # 1 is what steps lead to
    assert 150 < alike < 250


def test_genes_without_effect_drift_along():
    rng, space = generator(0), Folded()
    assert {mutate_forced(rng, (1, 1, 0), space, 0.3)[2] for _ in range(200)} == {0, 1, 2, 3}
    assert {mutate_neutral(rng, (1, 1, 0), space, 0.3)[2] for _ in range(200)} == {0, 1, 2, 3}


def test_a_space_without_another_network_ends_no_mutation():
    class Single(Folded):
        domains = (1, 1, 1)

        def viable(self, genotype):
            return False

    rng = generator(0)
    assert mutate_forced(rng, (0, 0, 0), Single(), 0.5) == random_viable(rng, Single()) == (0, 0, 0)


def test_a_space_that_says_nothing_of_viability_gets_the_plain_draw():
    class Plain:
        domains = (5,) * 8

    assert random_viable(generator(3), Plain()) == random_genotype(generator(3), Plain.domains)
