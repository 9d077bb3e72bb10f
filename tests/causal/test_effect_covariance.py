"""How effects vary together: against refits by hand, and the joint test against SciPy."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.linear_model import LinearRegression
from small_effects import policy, staggered

import rfpcore
from rfpcore.causal import ClusterEffect, DifferenceInDifferences, StaggeredEffect

pytestmark = pytest.mark.filterwarnings("ignore::rfpcore.exceptions.DesignWarning")
REFITS = 1e-9  # relative: closed forms against refits in double precision


def panel(n_clusters, seed, n_periods=5):
    """A third adopts in the period 2, a third in 3; there are no effects."""
    random = np.random.default_rng(seed)
    groups, time = np.repeat(np.arange(n_clusters), n_periods), np.tile(np.arange(n_periods), n_clusters)
    y = random.standard_normal(n_clusters)[groups] + random.standard_normal(len(groups))
    start = np.array([2, 3, 99])[groups % 3]
    return {"X": np.empty((len(y), 0)), "y": y, "treatment": time >= start, "groups": groups, "time": time}


def without(data, cluster):
    keep = data["groups"] != cluster
    return {name: values[keep] for name, values in data.items()}


@pytest.mark.parametrize("inference", ["jackknife", "cv3"])
@pytest.mark.parametrize("by", [None, "dynamic", "cells"])
def test_covariance_of_refits_by_hand(inference, by):
    data = panel(12, 0)
    model = StaggeredEffect(inference=inference).fit(**data)

    def estimates(given):
        return StaggeredEffect(inference=inference).fit(**given).to_frame(by=by)["estimate"].to_numpy()

    left_out = np.array([estimates(without(data, c)) for c in range(12)])
    if inference == "cv3":
        off = left_out - estimates(data)
        expected = 11 / 12 * off.T @ off
    else:
        expected, adopts = 0.0, np.arange(12) % 3 < 2
        for arm in (left_out[adopts], left_out[~adopts]):
            off = arm - arm.mean(axis=0)
            expected = expected + (len(arm) - 1) / len(arm) * off.T @ off
    found = model.vcov(by)
    assert_allclose(found, expected, rtol=REFITS, atol=REFITS)
    assert_allclose(np.sqrt(np.diag(found)), model.to_frame(by=by)["std_error"], rtol=1e-12)


def test_covariance_of_the_bootstrap():
    model = StaggeredEffect(inference="bootstrap", n_draws=200).fit(**panel(24, 1))
    effects = model.aggregate("dynamic")
    draws = np.array([effect.draws for effect in effects])
    assert not np.isnan(draws).any()
    assert_allclose(model.vcov("dynamic"), np.cov(draws), rtol=1e-10)


def test_effects_without_an_error_have_no_covariance():
    data = panel(12, 2)
    data["treatment"] = data["time"] >= np.where(data["groups"] == 0, 1, np.where(data["groups"] % 3, 99, 3))
    model = StaggeredEffect().fit(**data)
    missing = model.to_frame(by="group")["std_error"].isna().to_numpy()
    assert missing.tolist() == [True, False]
    assert np.isnan(model.vcov("group")).tolist() == [[True, True], [True, False]]
    assert np.isnan(model.difference("adopted 1", "adopted 3").std_error)


@pytest.mark.parametrize("inference", ["jackknife", "cv3"])
def test_difference_of_subgroups_by_hand(inference):
    data = policy(4.0)
    by = np.where(np.arange(len(data["y"])) % 4 < 2, "men", "women")
    options = {"outcome": LinearRegression(), "inference": inference}
    model = ClusterEffect(**options).fit(**data, by=by)
    found = model.difference("men", "women")
    _, men, women = model.effects_
    assert found.name == "men minus women"
    assert found.estimate == men.estimate - women.estimate
    covariance = model.vcov()
    error = np.sqrt(covariance[1, 1] + covariance[2, 2] - 2 * covariance[1, 2])
    assert_allclose(found.std_error, error, rtol=1e-9)
    replicates = men.draws - women.draws
    full = found.estimate
    if inference == "jackknife":
        arm = np.array([data["treatment"][data["groups"] == g][0] for g in np.unique(data["groups"])])
        parts = [replicates[arm == a] for a in (0, 1)]
        expected = sum((len(p) - 1) / len(p) * np.sum((p - p.mean()) ** 2) for p in parts)
    else:
        n = len(replicates)
        expected = (n - 1) / n * np.sum((replicates - full) ** 2)
    assert_allclose(found.std_error**2, expected, rtol=1e-9)
    assert (found.df, found.method) == (men.df, men.method)
    t = full / found.std_error
    assert_allclose(found.p_value, 2 * stats.t.sf(abs(t), men.df))


@pytest.mark.parametrize("inference", ["jackknife", "cv3", "bootstrap"])
def test_equal_subgroups(inference):
    """Hotelling's T² of the differences by the covariance of the effects; of two, the square of a t."""
    data = policy(4.0)
    by = np.array(["a", "b", "c"])[np.arange(len(data["y"])) % 3]
    model = ClusterEffect(outcome=LinearRegression(), inference=inference, n_draws=50).fit(**data, by=by)
    effects, V = model.effects_[1:], model.vcov()[1:, 1:]
    b, C = np.array([effect.estimate for effect in effects]), np.array([[1, -1, 0], [0, 1, -1]])
    wald = (C @ b) @ np.linalg.solve(C @ V @ C.T, C @ b)
    df = effects[0].df
    test = model.equality_test()
    assert test.df == (2, df - 1)
    # The bootstrap's draws without a value are left out of the matrix and not of the errors.
    assert_allclose(test.wald, wald, rtol=1e-2 if inference == "bootstrap" else 1e-9)
    assert_allclose(test.statistic, test.wald * (df - 1) / (2 * df), rtol=1e-12)
    assert_allclose(test.p_value, stats.f.sf(test.statistic, 2, df - 1), rtol=1e-9)
    assert_allclose(model.equality_test(["c", "a", "b"]).wald, test.wald, rtol=1e-7)
    pair = model.difference("a", "c")
    two = model.equality_test(["a", "c"])
    assert_allclose(
        [two.statistic, two.p_value], [(pair.estimate / pair.std_error) ** 2, pair.p_value], rtol=1e-7
    )


def test_what_cannot_be_compared():
    data = policy(1.0)
    model = ClusterEffect(outcome=LinearRegression()).fit(**data)
    with pytest.raises(
        ValueError, match="there are 0 effects to compare; at least two are needed: fit with by="
    ):
        model.equality_test()
    few = np.where(data["groups"] == data["groups"][0], "one", np.arange(len(data["y"])) % 2)
    model = ClusterEffect(outcome=LinearRegression()).fit(**data, by=few)
    with pytest.raises(ValueError, match="without a standard error there is no test of one"):
        model.equality_test()
    assert model.equality_test(["0", "1"]).df[0] == 1
    for names, what in ((["0", "0"], "more than once"), (["0", "2"], "names no effect")):
        with pytest.raises(ValueError, match=what):
            model.equality_test(names)
    with pytest.raises(TypeError, match="a sequence of names is needed"):
        model.equality_test("0")
    staged = StaggeredEffect().fit(**panel(12, 0))
    with pytest.raises(ValueError, match="at least two are needed"):
        staged.equality_test()
    assert staged.equality_test(["event time 0", "event time 1"]).df[0] == 1


def test_misnamed_differences_and_methods_without_replicates():
    by = np.arange(40) % 2
    model = ClusterEffect(outcome=LinearRegression()).fit(**policy(1.0), by=by)
    with pytest.raises(
        ValueError, match="second='2' names no effect; there are Average effect on the treated, 0, 1"
    ):
        model.difference("0", "2")
    with pytest.raises(ValueError, match="first=1 names no effect"):
        model.difference(1, "0")
    model = ClusterEffect(outcome=LinearRegression(), inference="cr1").fit(**policy(1.0), by=by)
    for call in (model.vcov, lambda: model.difference("0", "1")):
        with pytest.raises(ValueError, match="inference='cr1' has no replicates of all effects; 'jackknife'"):
            call()


@pytest.mark.parametrize("inference", ["jackknife", "cv3", "bootstrap"])
def test_the_joint_test_is_hotellings(inference):
    model = StaggeredEffect(inference=inference, n_draws=99).fit(**panel(20, 3))
    before = np.array(model.event_times()) < 0
    b = model.to_frame(by="dynamic")["estimate"].to_numpy()[before]
    V = model.vcov("dynamic")[np.ix_(before, before)]
    df = 18 if inference == "jackknife" else 19
    wald, q = b @ np.linalg.inv(V) @ b, len(b)
    test = model.pretrend_test()
    assert_allclose(test.wald, wald, rtol=1e-9)
    assert test.df == (q, df - q + 1)
    assert_allclose(test.statistic, wald * (df - q + 1) / (df * q), rtol=1e-9)
    assert_allclose(test.p_value, stats.f.sf(test.statistic, *test.df), rtol=1e-9)


def test_of_one_effect_it_is_the_t_test():
    data = panel(20, 4)
    data["treatment"] = data["time"] >= np.where(data["groups"] % 2, 99, 2)
    model = StaggeredEffect().fit(**data)
    (before,) = [
        e for e, time in zip(model.aggregate("dynamic"), model.event_times(), strict=True) if time < 0
    ]
    assert_allclose(model.pretrend_test().p_value, before.p_value, rtol=1e-9)


def test_units_do_not_matter():
    data = panel(15, 5)
    found = StaggeredEffect().fit(**data).pretrend_test()
    scaled = StaggeredEffect().fit(**(data | {"y": 1e9 * data["y"]})).pretrend_test()
    assert_allclose(scaled.statistic, found.statistic, rtol=1e-7)


def test_it_holds_its_size():
    """Of 200 panels without effects 5 % are rejected, give or take three standard errors (4.5 points)."""
    p = [StaggeredEffect().fit(**panel(18, seed)).pretrend_test().p_value for seed in range(200)]
    assert 0.005 <= np.mean(np.array(p) < 0.05) <= 0.1


def test_too_few_clusters_or_no_placebo_is_an_error():
    model = StaggeredEffect().fit(**panel(6, 6, n_periods=12))
    model._events = [-1.0] * len(model._events)  # more of them than six clusters tell of
    with pytest.raises(ValueError, match="too few clusters for a joint test"):
        model.pretrend_test()
    data = panel(12, 7)
    data["treatment"] = data["time"] >= np.where(data["groups"] % 2, 99, 1)
    with pytest.raises(ValueError, match="no effect before adoption has a standard error"):
        StaggeredEffect().fit(**data).pretrend_test()


def test_files_know_covariances(tmp_path):
    model = StaggeredEffect().fit(**staggered(3.0))
    model.save(tmp_path / "effect")
    loaded = rfpcore.load(tmp_path / "effect")
    assert np.array_equal(loaded.vcov("cells"), model.vcov("cells"), equal_nan=True)
    assert loaded.difference("event time 0", "event time 1").std_error > 0


def test_two_periods_have_a_variance():
    data = panel(8, 8, n_periods=2)
    data["treatment"] = data["groups"] % 2
    model = DifferenceInDifferences().fit(**data)
    assert_allclose(model.vcov(), [[model.std_error_**2]])
