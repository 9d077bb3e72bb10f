"""Shapley values and Walsh effects over all subsets, beside brute force."""

import itertools
import re

import numpy as np
import pytest

from rfpcore.studies import shapley_values, walsh_anova
from rfpcore.studies.attribution import subsets

NAMES = ("dropout", "l2", "norm", "stopping")


def random_values(n_seeds=3, k=4, seed=0):
    return np.random.default_rng(seed).standard_normal((n_seeds, 1 << k))


def test_shapley_values_are_means_over_all_orders():
    values = random_values()
    expected = np.zeros((3, 4))
    orders = list(itertools.permutations(range(4)))
    for order in orders:
        column = 0
        for technique in order:
            expected[:, technique] += values[:, column | 1 << technique] - values[:, column]
            column |= 1 << technique
    expected /= len(orders)
    found = shapley_values(values, NAMES)
    np.testing.assert_allclose(found.by_seed, expected, rtol=1e-12)
    np.testing.assert_allclose(found.values, expected.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.std_errors, expected.std(axis=0, ddof=1) / np.sqrt(3), rtol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 7])
def test_shapley_values_sum_to_what_all_do(k):
    values = random_values(5, k) + 1000
    found = shapley_values(values)
    assert found.values.sum() == pytest.approx(found.total, abs=1e-11)
    assert found.total == pytest.approx((values[:, -1] - values[:, 0]).mean(), abs=1e-11)
    np.testing.assert_allclose(found.by_seed.sum(axis=1), values[:, -1] - values[:, 0], atol=1e-11)
    assert found.names == tuple(map(str, range(k)))


def test_effects_are_walsh_products_and_carry_all_of_the_variance():
    """Against the matrix of signs, whose rows are orthogonal."""
    values = random_values() + 3 * random_values(1, seed=9)
    signs = np.array([[(-1) ** (a & b).bit_count() for b in range(16)] for a in range(16)])
    assert (signs @ signs.T == 16 * np.eye(16)).all()
    coefficients = values @ signs.T / 16
    order = np.array([a.bit_count() for a in range(16)])
    found = walsh_anova(values, NAMES)
    np.testing.assert_allclose(found.effects, coefficients.mean(axis=0) * (-2.0) ** order, rtol=1e-12)
    noise = coefficients.var(axis=0, ddof=1) / 3
    np.testing.assert_allclose(found.std_errors, np.sqrt(noise) * 2.0**order, rtol=1e-12)
    corrected = (coefficients.mean(axis=0) ** 2 - noise)[1:]
    np.testing.assert_allclose(found.shares[1:], corrected / corrected.sum(), rtol=1e-9)
    # Parseval: the squared coefficients are the variance over the subsets.
    total = values.mean(axis=0).var()
    assert (coefficients.mean(axis=0)[1:] ** 2).sum() == pytest.approx(total, rel=1e-12)
    assert found.noise_share == pytest.approx(noise[1:].sum() / total, rel=1e-9)


def test_effects_mean_what_they_say():
    """One technique: with minus without. Two: how much more together, the mean over the others."""
    values = random_values()
    found = walsh_anova(values, NAMES)
    mean = values.mean(axis=0)
    has = lambda i: np.array([column >> i & 1 for column in range(16)], bool)  # noqa: E731
    assert found.effects[found.column("norm")] == pytest.approx(mean[has(2)].mean() - mean[~has(2)].mean())
    pairs = [mean[b | 3] - mean[b | 1] - mean[b | 2] + mean[b] for b in (0, 4, 8, 12)]
    assert found.effects[found.column("l2", "dropout")] == pytest.approx(np.mean(pairs))
    assert found.effects[found.column()] == pytest.approx(mean.mean())


def test_shares_without_seed_noise_are_unbiased_and_with_noise_alone_nothing():
    """A main effect of 1, a pair of the same size of squares, and noise that is twenty times larger."""
    random = np.random.default_rng(0)
    signs = np.array([[(-1) ** (a & b).bit_count() for b in range(16)] for a in range(16)])
    truth = signs[1] + signs[6]
    shares = np.array(
        [walsh_anova(truth + 3 * random.standard_normal((10, 16))).shares_by_order for _ in range(300)]
    )
    error = shares.std(axis=0) / np.sqrt(300)
    assert (np.abs(shares.mean(axis=0) - [0.5, 0.5, 0, 0]) < 4 * error + 0.02).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-9)
    exact = walsh_anova(np.stack([truth, truth]))
    assert exact.shares[[1, 6]].tolist() == [0.5, 0.5]
    assert exact.noise_share == 0
    nothing = walsh_anova(np.stack([truth, -truth]))
    assert (nothing.shares == 0).all()
    assert nothing.noise_share == 1
    assert walsh_anova(np.ones((2, 4))).noise_share == 0


def test_a_mapping_is_the_array_in_the_order_of_subsets():
    values = random_values()
    keys = subsets(NAMES)
    assert keys[5] == {"dropout", "norm"}
    given = {key: values[:, column] for column, key in enumerate(keys)}
    shuffled = {key: given[key] for key in sorted(keys, key=sorted, reverse=True)}
    one, two = shapley_values(values, NAMES), shapley_values(shuffled)
    assert one.names == two.names
    assert (one.by_seed == two.by_seed).all()
    turned = shapley_values(given, NAMES[::-1])
    np.testing.assert_allclose(turned.values, one.values[::-1], rtol=1e-12)
    assert (walsh_anova(given).effects == walsh_anova(values, NAMES).effects).all()


def test_a_common_seed_effect_costs_nothing():
    """Standard errors are those of differences within seeds."""
    truth = random_values(1)
    values = truth + np.array([[0.0], [100.0], [-50.0]])
    assert shapley_values(values).std_errors.max() < 1e-12
    assert walsh_anova(values).std_errors[1:].max() < 1e-12
    assert walsh_anova(values).std_errors[0] > 10


GIVEN = {key: [1.0, 2.0] for key in subsets(["a", "b"])}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: shapley_values(np.ones((1, 4))), "values has 1 seeds; at least 2"),
        (lambda: shapley_values(np.ones((2, 6))), "values has 6 columns; 2^k"),
        (lambda: shapley_values(np.ones((2, 1))), "values has 1 columns; 2^k"),
        (lambda: shapley_values(np.ones(4)), "values has shape (4,)"),
        (lambda: walsh_anova([[1, 2], [3, np.nan]]), "the first is nan in row 1, column 1"),
        (lambda: walsh_anova(np.ones((2, 4)), ["a"]), "there are 1 names; values has 4 = 2^2 columns"),
        (lambda: walsh_anova(np.ones((2, 4)), ["a", "a"]), "each technique once"),
        (
            lambda: shapley_values({key: v for key, v in GIVEN.items() if len(key) < 2}),
            "values lacks 1 of 4 subsets of a, b; the first is ['a', 'b']",
        ),
        (lambda: shapley_values(GIVEN, ["a"]), "which is no subset of a"),
        (lambda: shapley_values(GIVEN | {frozenset("a"): [1.0]}), "entries of the shapes [(1,), (2,)]"),
        (lambda: walsh_anova(np.ones((2, 2)), ["a"]).column("b"), "'b' is unknown; the techniques are a"),
    ],
    ids=range(11),
)
def test_bad_input_is_refused_with_the_numbers(call, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        call()


def test_keys_must_be_sets_of_names():
    with pytest.raises(TypeError, match="values has the key 'a'; frozensets of str"):
        shapley_values({"a": [1.0, 2.0]})
