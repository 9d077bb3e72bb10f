"""Effects as tables: frames with numbers for labels, LaTeX, HTML, and beside other packages' models."""

import html.parser
import re
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LinearRegression
from small_effects import followed, panel, policy, staggered

import rfpcore
from rfpcore.causal import (
    ClusterEffect,
    DifferenceInDifferences,
    Effect,
    IndividualEffect,
    StaggeredEffect,
    linear_effect,
)

pytestmark = pytest.mark.filterwarnings("ignore::rfpcore.exceptions.DesignWarning")
NUMBERS = ["estimate", "std_error", "t", "p_value", "ci_low", "ci_high"]


def framed(n_clusters=12):
    """A data frame with names that LaTeX and HTML would trip over."""
    random = np.random.default_rng(0)
    zip_code = np.repeat(np.arange(n_clusters), 6)
    law = zip_code % 2
    frame = pd.DataFrame({"age & sex": random.standard_normal(len(law)), "law_2": law, "zip": zip_code})
    rent = law + random.standard_normal(n_clusters)[zip_code] + random.standard_normal(len(law))
    return frame.assign(**{"rent <$>": rent, "urban": np.arange(len(law)) % 2})


def fitted(**options):
    columns = {"y": "rent <$>", "treatment": "law_2", "groups": "zip", "covariates": ["age & sex"]}
    return ClusterEffect(outcome=LinearRegression()).fit(framed(), **(columns | options))


def staggered_effect():
    data = staggered(1.0)
    data["time"] = 2000 + data["time"]
    return StaggeredEffect().fit(**data)


def test_a_summary_names_what_it_is_of():
    text = fitted(by="urban").summary()
    for name, value in {
        "Outcome": "rent <$>",
        "Treatment": "law_2",
        "Clusters": "zip",
        "Covariates": "age & sex",
        "Subgroups by": "urban",
    }.items():
        assert re.search(rf"^{name}: +{re.escape(value)}$", text, re.MULTILINE), text


def test_names_come_from_series_and_arrays_have_none():
    frame = framed()
    columns = {name: frame[column] for name, column in (("y", "rent <$>"), ("treatment", "law_2"))}
    effect = linear_effect(frame[["age & sex"]], **columns, groups=frame["zip"], covariates="all")
    assert (effect.about.outcome, effect.about.treatment, effect.about.clusters) == (
        "rent <$>",
        "law_2",
        "zip",
    )
    assert (effect.about.n_rows, effect.about.n_clusters) == (len(frame), 12)
    assert "Outcome:" not in ClusterEffect(outcome=LinearRegression()).fit(**policy(1.0)).summary()


def test_many_covariates_are_cut_short():
    data = policy(1.0)
    X = pd.DataFrame(np.random.default_rng(0).standard_normal((len(data["y"]), 9)))
    X.columns = [f"covariate_{i}" for i in range(9)]
    effect = linear_effect(X, data["y"], data["treatment"], data["groups"], covariates="all")
    assert re.search(r"Covariates: +9: covariate_0, covariate_1, \.\.\.$", effect.summary(), re.MULTILINE)


def test_numbers_of_subgroups_have_their_columns_name():
    assert fitted(by="urban").to_frame().index.tolist()[1:] == ["urban = 0", "urban = 1"]
    labels = np.where(framed()["urban"], "town", "country")
    assert fitted(by=labels).to_frame().index.tolist()[1:] == ["country", "town"]
    assert fitted(by=framed()["urban"].to_numpy()).to_frame().index.tolist()[1:] == ["0", "1"]


def test_clusters_of_subgroups_are_counted():
    frame = fitted(by=np.where(framed()["zip"] < 3, "few", "rest")).to_frame()
    assert frame["n_treated"].tolist() == [6, 1, 5]
    assert frame["n_controls"].tolist() == [6, 2, 4]


@pytest.mark.parametrize("data", [panel, followed])
def test_clusters_of_two_periods_are_counted(data):
    given = data(1.0)
    frame = DifferenceInDifferences().fit(**given).to_frame()
    treated = np.unique(given["groups"][given["treatment"] == 1])
    assert frame["n_treated"].tolist() == [len(treated)]
    assert frame["n_controls"].tolist() == [len(np.unique(given["groups"])) - len(treated)]
    assert frame.columns.tolist() == ["n_treated", "n_controls", *NUMBERS]


def test_what_identifies_staggered_effects_is_in_columns():
    model = staggered_effect()
    for by, columns in {
        None: ["event_time"],
        "simple": [],
        "dynamic": ["event_time"],
        "group": ["cohort"],
        "calendar": ["period"],
        "cells": ["event_time", "cohort", "period"],
    }.items():
        frame = model.to_frame(by=by)
        assert frame.columns.tolist()[: len(columns) + 2] == [*columns, "n_treated", "n_controls"]
    cells = model.to_frame(by="cells")
    words = [f"adopted {g}, period {t}" for g, t in zip(cells["cohort"], cells["period"], strict=True)]
    assert cells.index.tolist() == words
    assert (cells["event_time"] == cells["period"] - cells["cohort"]).all()
    dynamic = model.to_frame(by="dynamic")
    assert dynamic["event_time"].tolist() == model.event_times()
    # Ten clusters by their number modulo 3: 1, 4, 7 adopt in 2001, 2, 5, 8 in 2002, four never.
    assert cells.loc["adopted 2001, period 2001", ["n_treated", "n_controls"]].tolist() == [3, 7]
    assert cells.loc["adopted 2001, period 2002", ["n_treated", "n_controls"]].tolist() == [3, 4]
    assert dynamic.set_index("event_time").loc[0.0, ["n_treated", "n_controls"]].tolist() == [6, 7]


def line_of_numbers(text):
    """The cells of the one effect of a summary."""
    line = text.splitlines()[-2]
    return line.removeprefix("a").split()


@pytest.mark.parametrize("scale", [1e-9, 1e-6, 1.0, 1e3, 1e6, 1e12, 1e200])
def test_numbers_of_a_summary_stand_apart_and_say_something_in_any_unit(scale):
    """Effects in dollars ran into each other, and those on small shares were 0.0000."""
    effect = Effect("a", -1.23456 * scale, 0.54321 * scale, 10.0, "jackknife")
    numbers = [float(cell) for cell in line_of_numbers(effect.summary())]
    expected = [effect.estimate, effect.std_error, effect.statistic, round(effect.p_value, 3)]
    # At least four digits; the upper end is 1/50 of the estimate, and has two less where numbers are plain.
    assert_allclose(numbers[:5], [*expected, effect.confidence_interval()[0]], rtol=6e-4)
    assert_allclose(numbers[5], effect.confidence_interval()[1], rtol=2e-2)


def test_a_summary_has_as_many_digits_as_before_where_these_suffice():
    text = Effect("a", -123.45678, 4.5, 10.0, "jackknife").summary()
    assert line_of_numbers(text) == ["-123.4568", "4.5000", "-27.435", "0.000", "-133.4834", "-113.4302"]
    nothing = Effect("a", 0.0, 0.0, 10.0, "jackknife").summary()
    assert line_of_numbers(nothing) == ["0.0000", "0.0000", "nan", "nan", "0.0000", "0.0000"]


def test_a_notebook_shows_small_effects():
    assert "<td>−1.200e−07</td>" in Effect("a", -1.2e-7, 1e-8, 10.0, "jackknife")._repr_html_()


def test_files_have_names_and_columns(tmp_path):
    for model in (fitted(by="urban"), staggered_effect()):
        model.save(tmp_path / "effect")
        loaded = rfpcore.load(tmp_path / "effect")
        assert loaded.summary() == model.summary()
        assert loaded.to_latex() == model.to_latex()
        pd.testing.assert_frame_equal(loaded.to_frame(), model.to_frame())
    effect = linear_effect(framed(), "rent <$>", "law_2", "zip", covariates=[])
    effect.save(tmp_path / "effect")
    assert rfpcore.load(tmp_path / "effect").about == effect.about


def test_latex_has_the_numbers_and_escapes_the_rest():
    model = fitted(by="urban")
    lines = model.to_latex(0.9, digits=5).splitlines()
    assert lines[0] == r"\begin{tabular}{lrrrrr}"
    assert lines[-1] == r"\end{tabular}"
    assert r"90\% interval \\" in lines[2]
    assert r"Outcome & \multicolumn{5}{r}{rent $<$\$$>$} \\" in lines
    assert r"Covariates & \multicolumn{5}{r}{age \& sex} \\" in lines
    rows = [line.replace("$-$", "-").replace("$<$", "<") for line in lines]
    for name, row in model.to_frame(0.9).iterrows():
        cells = next(line for line in rows if line.startswith(name)).removesuffix(r" \\").split(" & ")
        low, high = cells[5].strip("[]").split(", ")
        found = [float(cell) for cell in (cells[1], cells[2], low, high)]
        # Half a unit of the fifth digit.
        np.testing.assert_allclose(found, row[["estimate", "std_error", "ci_low", "ci_high"]], atol=5.1e-6)


def test_what_is_no_number_is_a_dash():
    effect = Effect("nothing known", -1.0, np.nan, 5.0, "made")
    assert "nothing known & $-$1.000 & -- & -- & -- & -- \\\\" in effect.to_latex().splitlines()
    assert "nan" not in effect.to_latex()
    assert "nan" not in effect._repr_html_()


@pytest.mark.parametrize(
    ("ratio", "mark"), [(1.0, ""), (1.7, "*"), (2.1, "**"), (2.7, "***")]
)  # of the normal distribution: .32, .089, .036, .007
def test_stars_are_off_unless_asked_for(ratio, mark):
    effect = Effect("law", ratio, 1.0, np.inf, "made")
    assert f"law & {ratio:.3f} &" in effect.to_latex()
    assert f"law & {ratio:.3f}{mark} &" in effect.to_latex(stars=True)
    assert "*" not in effect.to_latex()


def test_no_p_value_is_zero():
    effect = Effect("law", 9.0, 1.0, np.inf, "made")
    assert "& $<$0.001 &" in effect.to_latex()
    assert "&lt;0.001" in effect._repr_html_()


def test_latex_of_other_averages():
    model = staggered_effect()
    for name in model.to_frame(by="cells").index:
        assert f"\n{name} & " in model.to_latex(by="cells")
    with pytest.raises(ValueError, match="by='magic' is unknown"):
        model.to_latex(by="magic")


def test_misuse_of_latex_is_an_error():
    effect = Effect("law", 1.0, 1.0, 5.0, "made")
    with pytest.raises(ValueError, match="digits=16"):
        effect.to_latex(digits=16)
    with pytest.raises(TypeError, match="stars"):
        effect.to_latex(stars="yes")


class Reader(html.parser.HTMLParser):
    """Text of cells; the tags have to close."""

    def __init__(self, text):
        super().__init__()
        self.open, self.found = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.found.append(data)


def test_notebooks_get_a_table_once_there_is_one():
    model = fitted()
    found = Reader(model._repr_html_()).found
    assert f"{model.estimate_:.4f}".replace("-", "−") in found
    assert "rent <$>" in found
    assert model._repr_mimebundle_() == {"text/plain": model.summary(), "text/html": model._repr_html_()}
    assert "sk-" in ClusterEffect()._repr_mimebundle_()["text/html"]  # scikit-learn's


def test_what_maketables_reads():
    model = fitted(by="urban")
    table, frame = model.__maketables_coef_table__, model.to_frame()
    assert table.index.tolist() == ["law_2", "urban = 0", "urban = 1"]
    assert table.index.name == "Coefficient"
    for own, name in {"b": "estimate", "se": "std_error", "p": "p_value", "ci95l": "ci_low"}.items():
        assert table[own].tolist() == frame[name].tolist()
    assert model.__maketables_depvar__ == "rent <$>"
    assert [model.__maketables_stat__(key) for key in ("N", "n_clusters", "r2")] == [72, 12, None]


def test_beside_the_models_of_other_packages():
    maketables, pyfixest = pytest.importorskip("maketables"), pytest.importorskip("pyfixest")
    frame = framed().rename(columns={"rent <$>": "rent", "age & sex": "age"})
    columns = {"y": "rent", "treatment": "law_2", "groups": "zip", "covariates": ["age"]}
    alone = StaggeredEffect().fit(**staggered(1.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = pyfixest.feols("rent ~ law_2 + age", frame, vcov={"CRV1": "zip"})
        models = [theirs, linear_effect(frame, **columns, inference="cr1"), fitted(), alone]
        table = maketables.ETable(models)
        text, page = table.make(type="tex"), table.make(type="html")
    line = next(line for line in text.splitlines() if line.startswith("law_2"))
    cells = re.findall(r"makecell\{([^ ]+) \\\\ \(([\d.]+)\)\}", line)
    # One regression by two packages, CR1 by both: the same coefficient and error.
    assert cells[0] == cells[1]
    assert len(cells) == 3
    assert "event time" in text
    assert "nan" not in text
    assert page is not None


MODELS = {
    "ClusterEffect": lambda: fitted(by="urban"),
    "IndividualEffect": lambda: IndividualEffect(outcome=LinearRegression()).fit(
        framed(), "rent <$>", "urban", "zip", covariates=["age & sex"], by="law_2"
    ),
    "DifferenceInDifferences": lambda: DifferenceInDifferences().fit(**followed(1.0)),
    "StaggeredEffect": staggered_effect,
}


@pytest.mark.parametrize("name", MODELS)
def test_effects_know_what_they_are_of(name, tmp_path):
    model = MODELS[name]()
    model.save(tmp_path / "model")
    loaded = rfpcore.load(tmp_path / "model")
    expected = replace(model._about, n_rows=model.n_rows_, n_clusters=model.n_clusters_)
    for own in (model, loaded):
        effects = [own.effect_, *own.effects_, *own.infer("cv3"), *own.infer("jackknife")]
        if len(own.effects_) > 1:
            effects.append(own.difference(own.effects_[0].name, own.effects_[1].name))
        if name == "StaggeredEffect":
            effects += [*own.aggregate("cells"), own.overall("group")]
        assert all(effect.about == expected for effect in effects)


def test_an_effect_alone_is_called_after_the_treatment_and_its_parts_are_not():
    whole, urban, _ = fitted(by="urban").effects_
    assert list(whole.__maketables_coef_table__.index) == ["law_2"]
    assert list(urban.__maketables_coef_table__.index) == ["urban = 0"]
    assert whole.__maketables_depvar__ == "rent <$>"
    assert "Outcome" in whole.summary()
    assert "rent <$>" in whole.summary()


@pytest.mark.parametrize("unit", [1e-9, 1e-3, 1.0, 1e4, 1e6, 1e9, 1e15])
def test_a_summary_in_any_unit(unit):
    """Dollars and shares of a million: six numbers that can be told apart, to three digits."""
    effects = [
        Effect(name, size * unit, 0.3456 * unit, 18.0, "j") for name, size in (("a", 1.2345), ("b", -22.0))
    ]
    lines = rfpcore.causal.results.summary_table("Effects", [], effects, 0.95).splitlines()
    assert len({len(line) for line in lines[1:]}) == 1
    for effect in effects:
        (line,) = [line for line in lines if line.startswith(effect.name + " ")]
        estimate, error, t, p, *interval = [float(cell) for cell in line.split()[1:]]
        assert (t, p) == pytest.approx((effect.statistic, effect.p_value), abs=5e-4)
        expected = [effect.estimate, effect.std_error, *effect.confidence_interval()]
        assert [estimate, error, *interval] == pytest.approx(expected, rel=1e-3)
        cell = f"{effect.std_error:.3e}" if unit in (1e-9, 1e-3, 1e9, 1e15) else f"{effect.std_error:.4f}"
        assert f"<td>{cell.replace('-', '−')}</td>" in effect._repr_html_()
