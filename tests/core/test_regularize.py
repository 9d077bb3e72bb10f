"""Specifications of regularizers: values that compose, print, hash, go to JSON and refuse misuse."""

import dataclasses
import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rfpcore import regularize
from rfpcore.regularize import (
    L1,
    L2,
    BatchNorm,
    ClipNorm,
    Dropout,
    EarlyStopping,
    InputNoise,
    LabelSmoothing,
    MaxNorm,
    Mixup,
    Regularization,
    Shifts,
)

shares = st.floats(0, 1, exclude_max=True)
sizes = st.floats(0, 1e6)
positives = st.floats(1e-300, 1e6)
TERMS = {
    "L1": st.builds(L1, sizes, st.sampled_from(["subgradient", "decoupled"]), sizes, st.booleans())
    | st.builds(L1, sizes, st.just("proximal")),
    "L2": st.builds(L2, sizes, st.booleans(), st.booleans()),
    "BatchNorm": st.builds(BatchNorm, st.floats(0, 1, exclude_min=True), positives),
    "ClipNorm": st.builds(ClipNorm, positives),
    "Dropout": st.builds(Dropout, shares | st.lists(shares), st.sampled_from(["batch", "row"])),
    "EarlyStopping": st.builds(EarlyStopping, st.integers(1, 100), st.integers(1, 9), sizes),
    "InputNoise": st.builds(InputNoise, sizes),
    "LabelSmoothing": st.builds(LabelSmoothing, shares, st.sampled_from(["others", "uniform"])),
    "MaxNorm": st.builds(MaxNorm, positives),
    "Mixup": st.builds(Mixup, positives),
    "Shifts": st.builds(
        Shifts,
        st.tuples(st.integers(5, 99), st.integers(5, 99)),
        st.lists(st.integers(-4, 4), min_size=1).map(tuple),
        st.floats(0, 1),
    ),
}
specifications = st.fixed_dictionaries({}, optional=TERMS).map(lambda kinds: Regularization(kinds.values()))


def test_every_kind_is_tried():
    assert set(TERMS) == set(regularize.__all__) - {"Regularization", "Term"}


@given(specifications)
def test_round_trips(spec):
    for again in (
        Regularization.from_json(spec.to_json()),
        eval(repr(spec), vars(regularize).copy()),
        pickle.loads(pickle.dumps(spec)),
        sum(reversed(spec.terms), Regularization()),
    ):
        assert again == spec
        assert hash(again) == hash(spec)


@given(specifications, specifications)
def test_different_specifications_differ(first, second):
    assert (first == second) == (first.to_json() == second.to_json())


def test_a_sum_is_any_sequence_of_its_terms():
    terms = [Dropout(0.4), L2(1e-3), LabelSmoothing(0.1)]
    total = terms[0] + terms[1] + terms[2]
    assert total == terms[0] + (terms[1] + terms[2]) == Regularization.of(terms) == Regularization.of(total)
    assert set(total) == set(terms)
    assert len(total) == 3
    assert total.get(L2) == L2(1e-3)
    assert total.get(L1) is None


def test_fields_are_plain_values():
    """What NumPy's types hold becomes Python's, so that it hashes and goes to JSON."""
    spec = Dropout(np.array([0.1, 0.2])) + L2(np.float32(0.5)) + Shifts(np.array([8, 8]), np.array([1, 2]))
    assert spec == Dropout((0.1, 0.2)) + L2(0.5) + Shifts((8, 8), (1, 2))
    assert Regularization.from_json(spec.to_json()) == spec


def test_terms_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        L2(0.1).strength = 0.2


def test_rates_of_layers():
    assert Dropout(0.3).rates(3) == (0.3, 0.3, 0.3)
    assert Dropout([0.1, 0.2]).rates(2) == (0.1, 0.2)
    with pytest.raises(ValueError, match="has 2 rates; the network has 1 hidden"):
        Dropout([0.1, 0.2]).rates(1)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: L2(-0.1), ValueError, r"strength=-0\.1; a number of at least 0 is needed"),
        (lambda: L2(float("nan")), ValueError, "strength=nan"),
        (lambda: L2("1"), TypeError, "strength='1' is a str"),
        (lambda: L2(1, decoupled=1), TypeError, "decoupled=1 is a int; True or False"),
        (lambda: L1(-1e-9), ValueError, "strength=-1e-09"),
        (lambda: L1(1, method="exact"), ValueError, "method='exact' is unknown"),
        (lambda: L1(1, smoothing=-1), ValueError, r"smoothing=-1\.0"),
        (lambda: L1(1, "proximal", 0.1), ValueError, r"smoothing=0\.1 has no meaning with method='proximal'"),
        (lambda: Dropout(1), ValueError, r"rate=1\.0; a number in \[0, 1\) is needed"),
        (lambda: Dropout(-0.1), ValueError, r"rate=-0\.1"),
        (lambda: Dropout((0.5, 1.5)), ValueError, r"rate\[1\]=1\.5"),
        (lambda: Dropout(0.5, mask="unit"), ValueError, "mask='unit' is unknown"),
        (lambda: BatchNorm(0), ValueError, r"momentum=0\.0; a number in \(0, 1\]"),
        (lambda: BatchNorm(epsilon=0), ValueError, r"epsilon=0\.0; a positive number"),
        (lambda: LabelSmoothing(1), ValueError, r"epsilon=1\.0; a number in \[0, 1\)"),
        (lambda: LabelSmoothing(0.1, form="seed"), ValueError, "form='seed' is unknown"),
        (lambda: ClipNorm(0), ValueError, r"limit=0\.0; a positive number"),
        (lambda: MaxNorm(-1), ValueError, r"limit=-1\.0"),
        (lambda: InputNoise(-1), ValueError, r"scale=-1\.0"),
        (lambda: Mixup(0), ValueError, r"alpha=0\.0"),
        (lambda: Shifts(64), TypeError, "image_shape=64 is a int; 2 integers are needed"),
        (lambda: Shifts((8, 8, 3)), ValueError, r"image_shape=\(8, 8, 3\) has 3 entries"),
        (lambda: Shifts((8, 8), ()), ValueError, r"offsets=\(\) has 0 entries; at least one"),
        (lambda: Shifts((8, 2)), ValueError, r"offsets holds -2, which empties images of shape \(8, 2\)"),
        (lambda: Shifts((8, 8), probability=1.1), ValueError, r"probability=1\.1"),
        (lambda: EarlyStopping(0), ValueError, "patience=0 is too small"),
        (lambda: EarlyStopping(1, every=0), ValueError, "every=0 is too small"),
        (lambda: EarlyStopping(1.5), TypeError, r"patience=1\.5 is a float"),
        (lambda: L1(1) + L2(1) + L1(2), ValueError, "two terms of the kind L1: .*1.* and .*2"),
        (lambda: L1(1) + 3, TypeError, "unsupported operand"),
        (lambda: Regularization(L2(1)), TypeError, "a sequence of terms is needed"),
        (lambda: Regularization.of([L2(1), "L1"]), TypeError, "'L1' is a str; a term"),
        (lambda: Regularization.of("L2"), TypeError, "regularization='L2' is a str"),
        (lambda: Regularization.from_json("{"), ValueError, "no JSON"),
        (lambda: Regularization.from_json("{}"), ValueError, "is a dict; a list of terms"),
        (lambda: Regularization.from_json('[{"kind": "L3"}]'), ValueError, "is no term; .* one of .*'L1'"),
        (lambda: Regularization.from_json('[{"kind": "L2"}]'), ValueError, "is no term: .*strength"),
    ],
)
def test_misuse(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_json_says_everything():
    """All fields are written, so that a later change of a default does not change what a file means."""
    entries = json.loads(Regularization.of(L1(0.5)).to_json())
    assert entries == [
        {"kind": "L1", "strength": 0.5, "method": "subgradient", "smoothing": 0.0, "biases": True}
    ]


STRONG = [
    (L2(0.3, decoupled=True, biases=False), 4, L2(1.2, decoupled=True, biases=False)),
    (L1(0.2, "proximal"), 0.5, L1(0.1, "proximal")),
    (Dropout((0.1, 0.5), "row", inputs=0.2), 3, Dropout((3 * 0.1, 0.95), "row", inputs=3 * 0.2)),
    (LabelSmoothing(0.25, "uniform"), 2, LabelSmoothing(0.5, "uniform")),
    (LabelSmoothing(0.25), 16, LabelSmoothing(0.95)),
    (InputNoise(0.4), 16, InputNoise(6.4)),
    (Mixup(0.2), 5, Mixup(1.0)),
    (Shifts((8, 8), (-1, 1), 0.3), 2, Shifts((8, 8), (-1, 1), 0.6)),
    (Shifts((8, 8), (-1, 1), 0.3), 4, Shifts((8, 8), (-1, 1), 1.0)),
    (BatchNorm(0.2), 4, BatchNorm(0.2)),
    (EarlyStopping(3, 10), 4, EarlyStopping(3, 10)),
    (ClipNorm(1), 4, ClipNorm(1)),
    (MaxNorm(2), 4, MaxNorm(2)),
]


@pytest.mark.parametrize(("term", "factor", "expected"), STRONG, ids=str)
def test_strengths_are_multiplied(term, factor, expected):
    assert term.scaled(factor) == expected
    assert Regularization.of([term]).scaled(factor) == Regularization.of([expected])


@given(specifications, st.floats(2**-4, 2**4))
def test_every_specification_can_be_scaled(spec, factor):
    assert spec.scaled(1) == spec
    scaled = spec.scaled(factor)
    assert [type(term) for term in scaled] == [type(term) for term in spec]
    if factor <= 1:  # nothing ends at a limit
        for strong, term in ((scaled.get(L2), spec.get(L2)), (scaled.get(L1), spec.get(L1))):
            assert term is None or strong.strength == factor * term.strength


@pytest.mark.parametrize("factor", [0, -1, np.nan, np.inf])
def test_factors_that_are_none(factor):
    with pytest.raises(ValueError, match=r"factor=.*; a positive number is needed"):
        L2(0.1).scaled(factor)
