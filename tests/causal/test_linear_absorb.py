"""Fixed effects and weights of the linear comparison: against dummies in loops, and pyfixest."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose

from rfpcore import DesignWarning
from rfpcore.causal import linear_effect, wild_interval
from rfpcore.causal._intervals import wild_signs

RANDOM = np.random.default_rng(0)
G, T = 12, 5
FRAME = pd.DataFrame(
    {
        "g": np.repeat(np.arange(G), 3 * T),
        "id": np.repeat(np.arange(3 * G), T),
        "t": np.tile([f"y{t}" for t in range(T)], 3 * G),
    }
)
N = len(FRAME)
FRAME["x"] = RANDOM.standard_normal(N) + FRAME["id"] / 10
FRAME["d"] = (RANDOM.random(N) < 0.4).astype(float)
FRAME["w"] = RANDOM.uniform(0.5, 2.0, N)
FRAME["y"] = FRAME["x"] + FRAME["d"] + RANDOM.standard_normal(3 * G)[FRAME["id"]] + RANDOM.standard_normal(N)
NAMES = {"y": "y", "treatment": "d", "groups": "g", "covariates": ["x"]}
GROUPS = FRAME["g"].to_numpy()
CASES = [(fe, w) for fe in (("id",), ("id", "t"), ("g", "t"), ("t",)) for w in (None, "w")]
IDS = ["-".join([*fe, "weighted" if w else "alike"]) for fe, w in CASES]


def design(fe):
    """All dummies and the covariate, then the treatment."""
    dummies = [
        (FRAME[name].to_numpy(object)[:, None] == FRAME[name].unique().astype(object)).astype(float)
        for name in fe
    ]
    return np.column_stack([*dummies, FRAME["x"], FRAME["d"]])


def weight(w):
    return np.ones(N) if w is None else FRAME[w].to_numpy()


@pytest.mark.parametrize(("fe", "w"), CASES, ids=IDS)
def test_jackknife_by_loops(fe, w):
    W, root, y = design(fe), np.sqrt(weight(w)), FRAME["y"].to_numpy()

    def by_hand(keep):
        return np.linalg.lstsq((root[:, None] * W)[keep], (root * y)[keep], rcond=None)[0][-1]

    effect = linear_effect(FRAME, **NAMES, absorb=list(fe), sample_weight=w)
    assert_allclose(effect.estimate, by_hand(np.ones(N, bool)), rtol=1e-9)
    assert_allclose(effect.draws, [by_hand(c != GROUPS) for c in range(G)], rtol=1e-8)


@pytest.mark.parametrize(("fe", "w"), CASES, ids=IDS)
@pytest.mark.filterwarnings("ignore")  # the peer's own
def test_errors_are_those_of_pyfixest(fe, w):
    """CR1; labels inside clusters do not count as coefficients there either. Their means are to 1e-8."""
    pyfixest = pytest.importorskip("pyfixest")
    effect = linear_effect(FRAME, **NAMES, absorb=list(fe), sample_weight=w, inference="cr1")
    fit = pyfixest.feols(f"y ~ x + d | {' + '.join(fe)}", FRAME, vcov={"CRV1": "g"}, weights=w)
    assert_allclose([effect.estimate, effect.std_error], [fit.coef()["d"], fit.se()["d"]], rtol=1e-7)


@pytest.mark.parametrize(("fe", "w"), CASES[1:4], ids=IDS[1:4])
def test_wild_bootstrap_by_loops(fe, w):
    """Each draw a weighted regression with all dummies; t up to the factor that no draw changes."""
    W, root, y = design(fe), np.sqrt(weight(w)), FRAME["y"].to_numpy()
    W, y = root[:, None] * W, root * y

    def t_of(y):
        beta = np.linalg.pinv(W) @ y
        u = y - W @ beta
        rest = W[:, -1] - W[:, :-1] @ np.linalg.lstsq(W[:, :-1], W[:, -1], rcond=None)[0]
        scores = np.bincount(GROUPS, rest * u)
        return beta[-1] / np.sqrt(scores @ scores)

    null = W[:, :-1] @ np.linalg.lstsq(W[:, :-1], y, rcond=None)[0]
    effect = linear_effect(FRAME, **NAMES, absorb=list(fe), sample_weight=w, inference="wild", n_draws=20)
    signs = wild_signs(G, 20, "rademacher", np.random.default_rng(0))
    by_hand = np.array([t_of(null + (y - null) * v[GROUPS]) for v in signs])
    assert_allclose(effect.statistics / effect.statistics[0], by_hand / by_hand[0], rtol=1e-7)


def p_by_hand(W, y, groups, signs, effect):
    """Of an effect imposed: each draw a regression of its own."""

    def t_of(y):
        beta = np.linalg.lstsq(W, y, rcond=None)[0]
        rest = W[:, -1] - W[:, :-1] @ np.linalg.lstsq(W[:, :-1], W[:, -1], rcond=None)[0]
        scores = np.bincount(groups, rest * (y - W @ beta))
        return (beta[-1] - effect) / np.sqrt(scores @ scores)

    null = effect * W[:, -1] + W[:, :-1] @ np.linalg.lstsq(W[:, :-1], y - effect * W[:, -1], rcond=None)[0]
    draws = np.array([t_of(null + (y - null) * v[groups]) for v in signs])
    return np.mean(np.abs(draws) >= abs(t_of(y)) * (1 - 1e-9))


@pytest.mark.parametrize("absorb", [None, "t"], ids=["plain", "absorbed"])
def test_the_interval_ends_where_the_test_refuses(absorb):
    """Of 8 clusters, with all 256 sign vectors."""
    frame = FRAME[FRAME["g"] < 8]
    signs, groups, y = wild_signs(8, 256, "rademacher", None), frame["g"].to_numpy(), frame["y"].to_numpy()
    W = design(("t",))[: len(frame)] if absorb else np.column_stack([np.ones(len(y)), frame[["x", "d"]]])
    low, high = wild_interval(frame, **NAMES, absorb=absorb, n_draws=256, level=0.9)
    (inner,), width = [linear_effect(frame, **NAMES, absorb=absorb).estimate], 1e-4 * (high - low)
    assert low < inner < high
    for end, outwards in ((low, -1), (high, 1)):
        assert p_by_hand(W, y, groups, signs, end + outwards * width) <= 0.1
        assert p_by_hand(W, y, groups, signs, end - outwards * width) > 0.1


def test_intervals_agree_with_p_values_and_units():
    low, high = wild_interval(FRAME, **NAMES, n_draws=999)
    effect = linear_effect(FRAME, **NAMES, inference="wild", n_draws=999)
    assert (low > 0 or high < 0) == (effect.p_value <= 0.05)
    wide = wild_interval(FRAME.assign(y=1000 * FRAME["y"]), **NAMES, n_draws=999)
    assert_allclose(wide, [1000 * low, 1000 * high], rtol=1e-5)
    webb = wild_interval(FRAME, **NAMES, n_draws=999, weights="webb")
    assert_allclose(webb, [low, high], rtol=0.5)


def test_too_few_sign_vectors():
    few = FRAME[FRAME["g"] < 4]  # the least p-value is 2 / 16
    with pytest.warns(DesignWarning, match="the interval is infinite"):
        assert wild_interval(few, **NAMES) == (-np.inf, np.inf)


def test_weights_of_zero_are_no_rows():
    w = FRAME["w"].where(np.arange(N) % 4 > 0, 0.0)
    effect = linear_effect(FRAME, **NAMES, sample_weight=w.to_numpy(), absorb="t")
    kept = FRAME[w > 0]
    expected = linear_effect(kept, **NAMES, sample_weight="w", absorb="t")
    assert (effect.estimate, effect.std_error) == (expected.estimate, expected.std_error)


def test_forms_of_labels():
    expected = linear_effect(FRAME, **NAMES, absorb=["id", "t"])
    columns = {name: FRAME[name].to_list() for name in FRAME}
    for effect in (
        linear_effect(pl.DataFrame(columns), **NAMES, absorb=["id", "t"]),
        linear_effect(FRAME, **NAMES, absorb=[FRAME["id"], "t"]),
        linear_effect(
            FRAME[["x"]].to_numpy(),
            *(FRAME[name].to_numpy() for name in ("y", "d", "g")),
            absorb=[FRAME["id"].to_numpy(), FRAME["t"].to_list()],
        ),
    ):
        assert_allclose(
            [effect.estimate, effect.std_error], [expected.estimate, expected.std_error], rtol=1e-12
        )


def test_labels_without_a_value():
    holes = FRAME.assign(t=FRAME["t"].where(np.arange(N) != 7))
    with pytest.raises(ValueError, match=r"absorb\[0\] has no label in row 7"):
        linear_effect(holes, **NAMES, absorb="t")
    effect = linear_effect(holes, **NAMES, absorb="t", missing="drop")
    assert effect.estimate == linear_effect(FRAME.drop(index=7), **NAMES, absorb="t").estimate


def test_weights_alike_change_nothing():
    plain = linear_effect(FRAME, **NAMES)
    alike = linear_effect(FRAME, **NAMES, sample_weight=np.full(N, 3.0))
    assert_allclose([alike.estimate, alike.std_error], [plain.estimate, plain.std_error], rtol=1e-10)


def test_misuse():
    with pytest.raises(ValueError, match="linear function of the covariates and the fixed effects"):
        linear_effect(FRAME.assign(d=FRAME["g"] % 2), **NAMES, absorb="id")
    with pytest.raises(ValueError, match=r"absorb\[0\] names the column 'year'"):
        linear_effect(FRAME, **NAMES, absorb=["year"])
    n = 1200
    label, cluster = np.tile(np.arange(n), 2), np.arange(2 * n) // 7
    y, d = RANDOM.standard_normal((2, 2 * n))
    with pytest.raises(ValueError, match="absorb has 1199 labels that are not inside clusters"):
        linear_effect(np.empty((2 * n, 0)), y, d, cluster, absorb=[label])
    with pytest.raises(ValueError, match="sample_weight adds up to 0"):
        linear_effect(FRAME, **NAMES, sample_weight=np.zeros(N))
    level = FRAME.assign(x=FRAME["g"] * 1e6 + 0.1)
    with pytest.warns(match="'x' is a linear function"):
        linear_effect(level, **NAMES, absorb="g")
