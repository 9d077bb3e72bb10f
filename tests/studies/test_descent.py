"""Curves over width, compositions, and the report: small, and what is safe to say of the digits."""

import json
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from rfpcore import DivergenceError, DivergenceWarning
from rfpcore.datasets import load_digits, load_fashion_mnist, load_mnist
from rfpcore.many import Model, Record, fit_many
from rfpcore.optimizers import SGD, Adam
from rfpcore.regularize import L2, BatchNorm, Dropout, EarlyStopping, LabelSmoothing, Shifts
from rfpcore.studies import (
    Curve,
    Descent,
    NoisyLabels,
    _train,
    compose,
    digits_techniques,
    geometric,
    monotonicity_test,
    noisy_digits,
    noisy_images,
    noisy_teacher,
    report,
)

matplotlib.use("agg")

BASE = Model((8,), "relu", "softmax", Adam(0.01), batch_size=100, n_epochs=100)
SMALL = replace(BASE, n_epochs=3, batch_size=20)
TEACHER = noisy_teacher(60, n_validation=30)


class TestData:
    def test_labels_are_wrong_as_often_as_asked(self):
        data = noisy_digits(noise=0.3)
        clean = NoisyLabels(data.X, data.y, data.X_test, data.y_test, 1000, 300, 0.0)
        noisy, true = data.draw(3), clean.draw(3)
        assert (noisy.X == true.X).all()
        share = np.mean(noisy.y != true.y)
        assert abs(share - 0.3) < 4 * np.sqrt(0.21 / 1000)
        assert noisy.y.min() >= 0
        assert noisy.y.max() <= 9
        assert (noisy.y_test == data.y_test).all()

    def test_seeds_draw_rows_of_their_own(self):
        data = noisy_digits(n_train=500)
        one, other = data.draw(0), data.draw(1)
        assert (one.X != other.X).any()
        assert (one.X == data.draw(0).X).all()
        rows = np.concatenate([one.X, one.X_validation])
        assert len(np.unique(rows, axis=0)) == len(rows)  # no row in both

    def test_pixels_are_centred_on_the_pool(self):
        data = noisy_digits()
        raw = load_digits().X
        pool = raw[:-497]
        assert_allclose(data.X, (pool - pool.mean(axis=0)) / pool.std(), atol=1e-5)
        assert_allclose(data.X_test, (raw[-497:] - pool.mean(axis=0)) / pool.std(), atol=1e-5)

    @pytest.mark.parametrize(
        ("make", "kind", "message"),
        [
            (lambda: noisy_digits(n_train=1200), ValueError, "need 1500 rows; there are 1300"),
            (lambda: noisy_digits(noise=1.0), ValueError, "noise=1.0"),
            (lambda: noisy_images([1], 1, 1, 1), TypeError, "images is a list"),
            (lambda: NoisyLabels([[0.0]], [0.5], [[0.0]], [0], 1, 1), ValueError, "no class code"),
            (
                lambda: NoisyLabels([[0.0], [1.0]], [0, 1], np.zeros((0, 1)), [], 1, 1),
                ValueError,
                "X_test has shape .0, 1.; at least one row",
            ),
            (lambda: Descent(5, BASE, widths=[1, 2]), TypeError, "data is a int; NoisyLabels is needed"),
        ],
    )
    def test_refusals(self, make, kind, message):
        with pytest.raises(kind, match=message):
            make()

    @pytest.mark.parametrize("load", [load_mnist, load_fashion_mnist])
    def test_images_of_a_file(self, load, tmp_path):
        """As a user has them: nothing but the file is needed."""
        random, path = np.random.default_rng(0), tmp_path / "images.npz"
        arrays = {}
        for part, n in (("train", 50), ("test", 20)):
            arrays |= {f"x_{part}": random.integers(0, 256, (n, 28, 28)).astype(np.uint8)}
            arrays |= {f"y_{part}": (np.arange(n) % 10).astype(np.uint8)}
        np.savez(path, **arrays)
        data = noisy_images(load(path), n_train=30, n_validation=10, n_test=20)
        assert (data.y_test == arrays["y_test"]).all()
        assert data.X.shape == (50, 784)
        curve = Descent(data, SMALL, widths=[2, 4], seeds=2).curve()
        assert curve.n_parameters.tolist() == [2 * 795 + 10, 4 * 795 + 10]


class TestDescent:
    def test_digits_rise_and_fall(self):
        """n 1000, 20 % of the labels wrong: a peak, by more than four standard errors on both sides."""
        curve = Descent(noisy_digits(), BASE, widths=[6, 24, 256], seeds=8).curve()
        assert isinstance(curve, Curve)
        (rise, rise_error), (fall, fall_error) = curve.rise(), curve.fall()
        assert rise > max(0.05, 4 * rise_error)
        assert fall > max(0.05, 4 * fall_error)
        assert curve.test().p_value < 0.01
        assert curve.threshold == 256 or curve.train_errors.mean(axis=0)[1] < 0.05

    def test_the_teacher_rises_and_falls(self):
        curve = Descent(
            noisy_teacher(500), replace(BASE, batch_size=50), widths=[4, 24, 256], seeds=6
        ).curve()
        (rise, rise_error), (fall, fall_error) = curve.rise(), curve.fall()
        assert rise > max(0.07, 6 * rise_error)
        assert fall > max(0.02, 3 * fall_error)

    def test_clean_labels_do_not_rise(self):
        curve = Descent(noisy_digits(noise=0.0), BASE, widths=[6, 24, 128], seeds=4).curve()
        assert curve.rise()[0] < 0.01

    def test_axes(self):
        study = Descent(TEACHER, SMALL, widths=[2, 4], epochs=[1, 3], sizes=[30, 60], seeds=2)
        with pytest.raises(
            ValueError, match=r"the curve over 'widths' needs a value for \['sizes', 'epochs'\]"
        ):
            study.curve()
        curve = study.curve("epochs", widths=4, sizes=60)
        assert_allclose(curve.points, [1, 3])
        alone = Descent(TEACHER, replace(SMALL, hidden_layer_sizes=(4,)), epochs=[1, 3], seeds=2).curve()
        assert_allclose(alone.test_errors, curve.test_errors)
        deep = Descent(TEACHER, SMALL, depths=[1, 2], seeds=2).curve()
        assert (np.diff(deep.n_parameters) == 8 * 9).all()
        found = Descent(TEACHER, SMALL, widths=[2, 4], epochs=[1, 3], seeds=2).map("widths", "epochs")
        assert_allclose(found.test_errors[1], curve.test_errors.mean(axis=0))
        assert_allclose(found.train_errors[1], curve.train_errors.mean(axis=0))
        assert found.plot().get_xlabel() == "width"
        assert deep.plot().get_xlabel() == "hidden layers"

    def test_resumed_to_the_same_bits(self, tmp_path):
        whole = Descent(TEACHER, SMALL, widths=[2, 4], seeds=3).curve()
        path = tmp_path / "curve.jsonl"
        Descent(TEACHER, SMALL, widths=[2, 4], seeds=2, path=path).curve()
        text = path.read_text()
        path.write_text(text[: len(text) - 40])  # as a crash leaves it
        resumed = Descent(TEACHER, SMALL, widths=[2, 4], seeds=3, path=path).curve()
        assert (resumed.test_errors == whole.test_errors).all()
        assert len(path.read_text().splitlines()) == 7
        with pytest.raises(ValueError, match="is of another study"):
            Descent(noisy_teacher(50, n_validation=30), SMALL, widths=[2, 4], seeds=2, path=path)

    @pytest.mark.parametrize(
        "other",
        [
            noisy_teacher(60, n_validation=30, random_state=1),
            noisy_teacher(60, n_validation=20),
            noisy_teacher(60, n_validation=30, noise=0.1),
        ],
        ids=["rows", "validation", "noise"],
    )
    def test_a_file_of_other_data_is_refused(self, other, tmp_path):
        """Scores of one data set would otherwise pass for those of another of the same name and size."""
        path = tmp_path / "curve.jsonl"
        Descent(TEACHER, SMALL, widths=[2, 4], seeds=2, path=path).curve()
        with pytest.raises(ValueError, match="is of another study, of other data"):
            Descent(other, SMALL, widths=[2, 4], seeds=2, path=path)

    def test_early_stopped_networks_are_measured_at_the_parameters_that_are_kept(self):
        """Against what the kernel records at every step: that of the best, not of the last."""
        base = replace(SMALL, n_epochs=60, regularization=EarlyStopping(2, every=2))
        curve = Descent(TEACHER, base, widths=[4, 8], seeds=2).curve()
        draw, model = TEACHER.draw(1), replace(base, seed=1)
        found = fit_many(
            draw.X, draw.y, model, n_outputs=5, dtype=np.float32, record=Record(every=1),
            held_out=(draw.X_validation, draw.y_validation), test=(draw.X_test, draw.y_test),
        )[0]  # fmt: skip
        assert found.best_step < found.n_steps
        assert_allclose(curve.test_errors[1, 1], 1 - found.kept("test_accuracies"), atol=1e-12)
        assert abs(found.kept("test_accuracies") - found.test_accuracies[-1]) > 0.001

    def test_squared_loss_takes_classes_as_columns(self):
        curve = Descent(TEACHER, replace(SMALL, loss="squared"), widths=[4, 16], seeds=2).curve()
        assert (curve.test_errors < 1).all()
        assert curve.n_targets.tolist() == [300, 300]
        assert 8 < curve.expected_threshold < 13  # 26 w + 5 parameters, 60 rows of 5 classes: w = 11.3
        assert np.isnan(Descent(TEACHER, SMALL, widths=[4, 16], seeds=2).curve().expected_threshold)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({}, "nothing varies"),
            ({"widths": [4]}, r"widths=\[4\]; at least two numbers that rise"),
            ({"widths": [4, 2]}, "at least two numbers that rise"),
            ({"sizes": [30, 61]}, r"sizes\[1\]=61 is too large; at most 60"),
            ({"widths": [2, 4], "seeds": 1}, "seeds=1 is too small; at least 2"),
        ],
    )
    def test_refusals(self, options, message):
        with pytest.raises(ValueError, match=message):
            Descent(TEACHER, SMALL, **options)

    def test_other_losses_and_bases(self):
        with pytest.raises(ValueError, match="'softmax' or 'squared' is needed"):
            Descent(TEACHER, replace(SMALL, loss="logistic"), widths=[2, 4], seeds=2).curve()
        with pytest.raises(ValueError, match="base has no hidden layers"):
            Descent(TEACHER, replace(SMALL, hidden_layer_sizes=()), widths=[2, 4])

    def test_geometric(self):
        with pytest.raises(ValueError, match="high=3 is not above low=3"):
            geometric(3, 3, 2)


TERMS = {"L2": L2(0.1, decoupled=True), "dropout": Dropout(0.2), "early stopping": EarlyStopping(2, every=2)}


@pytest.fixture(scope="module")
def small():
    return compose(TEACHER, TERMS, SMALL, [2, 4, 8], seeds=3)


class TestCompose:
    def test_every_subset_at_every_strength(self, small):
        assert small.scores["test_error"].shape == (8, 3, 3, 3)
        base = Descent(TEACHER, SMALL, widths=[2, 4, 8], seeds=3).curve()
        for tuning in small.factors:  # without a technique all strengths are the same
            assert_allclose(small.curves([], tuning), base.test_errors)
        strong = Descent(
            TEACHER, replace(SMALL, regularization=L2(0.3, decoupled=True)), widths=[2, 4, 8], seeds=3
        )
        assert_allclose(small.curves(["L2"], "strong"), strong.curve().test_errors)

    def test_validated_is_the_best_on_validation_rows(self, small):
        chosen = small.scores["validation_error"].mean(axis=3).argmin(axis=1)
        for i in range(8):
            for w in range(3):
                expected = small.scores["test_error"][i, chosen[i, w], w]
                assert_allclose(small.of("test_error", "validated")[i, w], expected)

    def test_verdicts_are_those_of_the_test(self, small):
        verdicts = {one.techniques: one for one in small.verdicts("weak")}
        own = monotonicity_test(small.curves(["dropout"], "weak"))
        assert verdicts[("dropout",)].p_value == own.p_value
        assert verdicts[("dropout",)].rise == own.rise
        assert_allclose(verdicts[()].error, small.curves([], "weak")[:, -1].mean())
        assert not {one.techniques: one for one in small.verdicts("validated")}[("early stopping",)].at_edge
        frame = small.to_frame()
        assert len(frame) == 8 * 4
        assert frame["techniques"].iloc[0] == "none"

    def test_attributions_add_up(self, small):
        values, anova = small.attribution("weak", 2, 8)
        mean = small.of("test_error", "weak").mean(axis=2)
        assert_allclose(
            values.values.sum(), (mean[7, 2] - mean[7, 0]) - (mean[0, 2] - mean[0, 0]), atol=1e-12
        )
        assert_allclose(anova.effects[0], (mean[:, 2] - mean[:, 0]).mean(), atol=1e-12)
        with pytest.raises(ValueError, match="width 3 was not trained"):
            small.attribution("weak", 3)

    def test_tolerances(self):
        factors = {"a": 0.5, "b": 1.0, "c": 2.0}
        found = compose(
            TEACHER, TERMS, SMALL, [2, 4], factors=factors, chosen=[["L2"], ["L2", "dropout"]], seeds=2
        )
        for one in found.tolerances():
            assert 0 <= one.octaves <= 3
            assert one.best_factor in factors.values()
        with pytest.raises(ValueError, match="all 8 are needed"):
            found.attribution("a", 2)
        uneven = compose(
            TEACHER, TERMS, SMALL, [2, 4], factors={"a": 0.5, "b": 1.0, "c": 3.0}, chosen=[[]], seeds=2
        )
        with pytest.raises(ValueError, match="that rise by a common factor"):
            uneven.tolerances()

    def test_report_holds_everything(self, small, tmp_path):
        curve = Descent(TEACHER, SMALL, widths=[2, 4, 8], seeds=3).curve()
        factors = {"a": 0.5, "b": 1.0, "c": 2.0}
        chosen = [["L2"], ["dropout"], ["L2", "dropout"]]
        strengths = compose(TEACHER, TERMS, SMALL, [2, 4], factors=factors, chosen=chosen, seeds=2)
        path = report(tmp_path / "report", small, curve, strengths, notes=["a note"])
        text, page = path.read_text(), (path.parent / "report.html").read_text()
        for part in ("H1", "H2b", "H3′", "H6", "Shapley", "a note", "octaves"):
            assert part in text
            assert part in page
        assert page.count("data:image/png;base64,") == 2
        assert {p.name for p in path.parent.iterdir()} == {
            "report.md",
            "report.html",
            "curve.png",
            "curves.png",
        }

    @pytest.mark.parametrize(
        ("change", "kind", "message"),
        [
            ({"techniques": {}}, TypeError, "a dict of terms by name"),
            ({"techniques": {"a": 5}}, TypeError, r"techniques\['a'\] is a int"),
            ({"techniques": {"a": L2(1), "b": L2(2)}}, ValueError, "two terms of the kind L2"),
            ({"base": replace(SMALL, regularization=L2(1))}, ValueError, "without regularization"),
            ({"widths": [4]}, ValueError, "at least two numbers that rise"),
            ({"seeds": 1}, ValueError, "seeds=1 is too small"),
            ({"factors": {"a": 2.0, "b": 1.0}}, ValueError, "they have to rise"),
            ({"factors": {"validated": 1.0}}, ValueError, "the choice among them"),
            ({"chosen": [["L3"]]}, ValueError, r"chosen\[0\]\[0\] is 'L3'"),
            ({"techniques": TERMS | {"shifts": Shifts((8, 8))}}, ValueError, "needs 64 features"),
            (
                {"techniques": {"smoothing": LabelSmoothing(0.1)}, "base": replace(SMALL, loss="squared")},
                ValueError,
                "LabelSmoothing with loss='squared'",
            ),
        ],
    )
    def test_refusals(self, change, kind, message, monkeypatch):
        """Before anything is trained, whichever subset it is of."""
        monkeypatch.setattr(_train, "fit_many", None)
        options = {"data": TEACHER, "techniques": TERMS, "base": SMALL, "widths": [2, 4]} | change
        with pytest.raises(kind, match=message):
            compose(**options)


def test_what_is_safe_to_say_of_single_techniques():
    """Early stopping alone is monotone, batch norm is not; all seven together shrink Jacobians."""
    techniques = digits_techniques() | {"smoothing": LabelSmoothing(0.25), "batch norm": BatchNorm()}
    chosen = [[], ["early stopping"], ["batch norm"], list(techniques)]
    widths = [3, 10, 24, 128]
    found = compose(noisy_digits(), techniques, BASE, widths, chosen=chosen, factors={"weak": 1 / 3}, seeds=5)
    verdicts = {one.techniques: one for one in found.verdicts("weak")}
    stopping = verdicts[("early stopping",)]
    assert stopping.p_value > 0.05
    assert stopping.error < 0.13
    assert verdicts[("batch norm",)].rise > 0.04
    jacobians = found.of("jacobian", "weak")[:, widths.index(24)].mean(axis=1)
    assert jacobians[0] > 4 * jacobians[3]


def test_a_strong_penalty_needs_no_tuning_by_width():
    base = replace(BASE, regularization=L2(2.0, decoupled=True))
    curve = Descent(noisy_digits(), base, widths=[6, 24, 128], seeds=5).curve()
    assert curve.rise()[0] < 0.01
    assert curve.test_errors[:, -1].mean() < 0.12


def test_label_smoothing_rises_even_when_tuned():
    techniques = {"smoothing": LabelSmoothing(0.25)}
    found = compose(noisy_digits(), techniques, BASE, [6, 10, 24, 128], seeds=5)
    verdict = found.verdicts("validated")[1]
    assert verdict.rise > 0.05
    assert verdict.p_value < 0.001


def test_subsets_that_are_missing_or_chosen_twice(tmp_path):
    techniques = {"L2": L2(0.1), "dropout": Dropout(0.2)}
    with pytest.raises(ValueError, match="chosen has 2 subsets, some of them twice"):
        compose(TEACHER, techniques, SMALL, [2, 4], chosen=[["L2"], ["L2"]], seeds=2)
    some = compose(TEACHER, techniques, SMALL, [2, 4], chosen=[["L2"]], seeds=2)
    with pytest.raises(ValueError, match="1 subsets; all 4 are needed"):
        report(tmp_path / "report", some)
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({"sizes": 61}, "sizes=61 is too large; at most 60 is possible"),
        ({"sizes": -5}, "sizes=-5 is too small"),
        ({"epochs": 2.5}, "epochs=2.5 is a float"),
        ({"width": 3}, r"width=3: a curve over 'widths' takes values of \['depths', 'sizes', 'epochs'\]"),
        ({"axis": "widths", "widths": 3}, "widths=3: a curve over 'widths' takes values of"),
    ],
)
def test_values_of_other_axes(axes, words):
    study = Descent(TEACHER, SMALL, widths=[2, 4], seeds=2)
    with pytest.raises((TypeError, ValueError), match=words):
        study.curve(**axes)


def test_a_map_needs_two_axes():
    with pytest.raises(ValueError, match="widths=2: a curve over 'widths' takes values of"):
        Descent(TEACHER, SMALL, widths=[2, 4], seeds=2).map("widths", "widths")


def test_what_diverges_is_named_and_the_rest_is_kept(tmp_path):
    path, rates = tmp_path / "curve.jsonl", {2: 0.01, 4: 1e300}

    def train(self, jobs, store, where, verbose):
        own = [(replace(m, optimizer=SGD(rates[m.hidden_layer_sizes[0]])), n) for m, _, n in jobs]
        _train.train(self.data, own, store, where, verbose)

    study = Descent(TEACHER, SMALL, widths=[2, 4], seeds=2, path=path)
    study.family.train = train.__get__(study.family)
    words = r"1 of 2 networks diverged, and have no curve; the first is Model\(hidden_layer_sizes=\(4,\)"
    with pytest.warns(DivergenceWarning), pytest.raises(DivergenceError, match=words):
        study.curve()
    assert len(path.read_text().splitlines()) == 2


class TestStore:
    @pytest.mark.parametrize("left", [0, 1, 40])
    def test_a_first_line_that_was_torn(self, left, tmp_path):
        path = tmp_path / "curve.jsonl"
        Descent(TEACHER, SMALL, widths=[2, 4], seeds=2, path=path).curve()
        data = path.read_bytes()
        path.write_bytes(data[:left])
        Descent(TEACHER, SMALL, widths=[2, 4], seeds=2, path=path).curve()
        assert path.read_bytes() == data

    @pytest.mark.parametrize("line", ["{", "[]", '{"key": 3}', '{"scores": {}}', "\\xff", "7"])
    def test_a_line_that_is_damaged(self, line, tmp_path):
        path = tmp_path / "curve.jsonl"
        Descent(TEACHER, SMALL, widths=[2, 4], seeds=2, path=path).curve()
        lines = path.read_text().splitlines()
        path.write_text("\n".join([*lines[:2], line, *lines[2:], ""]))
        with pytest.raises(ValueError, match=r"curve\.jsonl is damaged in line 3"):
            Descent(TEACHER, SMALL, widths=[2, 4], seeds=2, path=path)

    def test_ends_of_lines_of_windows(self, tmp_path):
        path = tmp_path / "curve.jsonl"
        known = Descent(TEACHER, SMALL, widths=[2, 4], seeds=2, path=path).curve().test_errors
        data = path.read_bytes().replace(b"\n", b"\r\n")
        path.write_bytes(data)
        found = Descent(TEACHER, SMALL, widths=[2, 4], seeds=2, path=path).curve()
        assert_array_equal(found.test_errors, known)
        assert path.read_bytes() == data

    def test_something_else_is_left_alone(self, tmp_path):
        path = tmp_path / "notes.txt"
        path.write_text("my notes, without an end")
        with pytest.raises(ValueError, match="is of another study"):
            Descent(TEACHER, SMALL, widths=[2, 4], seeds=2, path=path)
        assert path.read_text() == "my notes, without an end"


def test_store_keeps_lines_of_json(tmp_path):
    path = tmp_path / "curve.jsonl"
    Descent(TEACHER, SMALL, widths=[2, 4], seeds=2, path=path).curve()
    head, *lines = map(json.loads, path.read_text().splitlines())
    assert set(head) == {"study"}
    assert set(lines[0]) == {"key", "scores"}
