"""What the commands of the program do: options in, text out."""

import ast
import json
import math
import sys
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.utils.validation import has_fit_parameter

from . import causal, estimators, files
from ._frame_columns import encoded, encoded_as, is_text
from ._options import choice, fraction
from ._table_file import read_table
from .causal.staggered import Aggregation

Frame = Any


def effect(options: Namespace) -> str:
    """The effect of a policy that comes by cluster."""
    frame = rows_of_file(options, options.treatment, options.clusters, options.by, *options.covariates)
    model = causal.ClusterEffect(estimand=options.estimand, **_settings(options))
    model.fit(frame, **_columns(options), by=options.by)
    return _reported(model, options, None)


def did(options: Namespace) -> str:
    """Difference-in-differences of two periods, or of policies that come at different times."""
    used = (options.treatment, options.clusters, options.time, options.unit, *options.covariates)
    frame = rows_of_file(options, *used)
    n_periods = frame[options.time].nunique()
    model: Any = causal.StaggeredEffect(**_settings(options))
    if n_periods <= 2:
        model = causal.DifferenceInDifferences(**_settings(options))
        if options.by is not None:
            raise ValueError(
                f"--by {options.by} is for more than two periods; {options.time!r} has {n_periods}"
            )
    if options.by is not None:
        choice(options.by, "--by", Aggregation)
    model.fit(frame, **_columns(options), time=options.time, unit=options.unit)
    return _reported(model, options, options.by)


def fit(options: Namespace) -> str:
    """Train an estimator; say how well it does on what it was trained on, and save it."""
    model = getattr(estimators, options.estimator)(**_parameters(options))
    require_no_outcome(options)
    frame = rows_of_file(options, options.clusters, *options.features)
    given = {"groups": options.clusters, "sample_weight": options.weights}
    for name, option in (("groups", "--clusters"), ("sample_weight", "--weights")):
        if given[name] is not None and not has_fit_parameter(model, name):
            raise ValueError(f"{option} is of no use to a {options.estimator}")
    if options.clusters is None and options.estimator.startswith("Mixed"):
        raise ValueError(f"a {options.estimator} needs --clusters, the column that says who belongs together")
    more = {name: frame[column].to_numpy() for name, column in given.items() if column is not None}
    labels = labels_of(frame, options.features)
    X, y = features_of(frame, options.features, labels), frame[options.outcome].to_numpy()
    model.fit(X, y, **more)
    model._text_labels = labels
    lines = [f"{options.estimator}: {len(frame)} rows, {X.shape[1]} features"]
    if hasattr(model, "summary"):
        lines = [model.summary()]
    lines += [f"reference of {name}: {own[0]}" for name, own in labels.items()]
    measure = "accuracy" if is_classifier(model) else "R2"
    lines.append(f"{measure} on the rows it was trained on: {model.score(X, y):.4f}")
    if options.save is not None:
        model.save(options.save)
        lines.append(f"saved to {options.save}")
    return "\n".join(lines)


def predict(options: Namespace) -> str:
    """Predictions as CSV, a line a row of the file."""
    model = files.load(options.model)
    if not hasattr(model, "predict"):
        raise ValueError(f"{options.model} holds a {type(model).__name__}, which predicts nothing")
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        raise ValueError(f"{options.model} was trained without names of columns, so none can be looked up")
    made_of = _made_of(list(names), model._text_labels)
    if options.clusters is not None and not type(model).__name__.startswith("Mixed"):
        raise ValueError(f"--clusters is for mixed models; {options.model} holds a {type(model).__name__}")
    frame = read_table(options.file, [*made_of, options.clusters])
    X = features_of(frame, made_of, model._text_labels)[list(names)]
    if options.jobs is not None and hasattr(model, "n_jobs"):
        model.n_jobs = options.jobs
    more = {} if options.clusters is None else {"groups": frame[options.clusters].to_numpy()}
    if not options.probabilities:
        found = np.asarray(model.predict(X, **more))
        columns = ["prediction"] if found.ndim == 1 else [f"prediction_{i}" for i in range(found.shape[1])]
        return _csv(found, columns)
    if not hasattr(model, "predict_proba"):
        raise ValueError(
            f"--probabilities are of classifiers; {options.model} holds a {type(model).__name__}"
        )
    found = model.predict_proba(X, **more)
    return _csv(found, [f"probability_{label}" for label in model.classes_.tolist()])


def require_no_outcome(options: Namespace) -> None:
    """What is predicted is no feature."""
    if options.outcome in options.features:
        raise ValueError(f"--features names {options.outcome!r}, which is the outcome")


def labels_of(frame: Frame, columns: list[str]) -> dict[str, list[str]]:
    """Of columns of text the labels, of which the first is the reference."""
    return {
        name: [str(label) for label in encoded(frame[name], name).labels]
        for name in columns
        if is_text(frame[name])
    }


def features_of(frame: Frame, columns: list[str], labels: Mapping[str, list[str]]) -> Frame:
    """The columns, those with labels as columns of zeros and ones."""
    import pandas

    parts: dict[str, Any] = {}
    for name in columns:
        if name in labels:
            found = encoded_as(frame[name], name, labels[name])
            parts |= dict(zip(found.names, found.columns.T, strict=True))
        else:
            parts[name] = frame[name]
    return pandas.DataFrame(parts, index=frame.index)


def _made_of(features: list[str], labels: Mapping[str, list[str]]) -> list[str]:
    """The columns that features were made of."""
    made = {f"{name}[{label}]" for name, own in labels.items() for label in own}
    return [*labels, *(name for name in features if name not in made)]


def _settings(options: Namespace) -> dict[str, Any]:
    """Parameters of an estimator of effects; what only its report needs is checked before any work too."""
    fraction(options.level, "--level")
    models: dict[str, Any] = {
        "auto": "auto",
        "network": None,
        "linear": LinearRegression(),
        "logistic": LogisticRegression(),
    }
    given = {"outcome": models[options.outcome_model], "random_state": options.seed, "n_jobs": options.jobs}
    return given if options.inference is None else given | {"inference": options.inference}


def _columns(options: Namespace) -> dict[str, Any]:
    """Arguments of its `fit`, by name of the column."""
    return {
        "y": options.outcome,
        "treatment": options.treatment,
        "groups": options.clusters,
        "covariates": list(options.covariates),
        "sample_weight": options.weights,
    }


def _reported(model: Any, options: Namespace, by: str | None) -> str:
    """A fitted effect in the form that is asked for."""
    more: dict[str, Any] = {} if by is None else {"by": by}
    text = {"text": _text, "json": _json, "latex": _latex}[options.format](model, options.level, more)
    if options.save is not None:
        model.save(options.save)
    return text


def _text(model: Any, level: float, more: dict[str, Any]) -> str:
    summary = str(model.summary(level))
    return f"{summary}\n\n{model.to_frame(level, **more).to_string()}" if more else summary


def _json(model: Any, level: float, more: dict[str, Any]) -> str:
    """Numbers of each effect; what there is no number for is null."""
    frame = model.to_frame(level, **more).reset_index()
    rows = [{name: plain(value) for name, value in row.items()} for row in frame.to_dict("records")]
    names = ("n_rows_", "n_clusters_", "n_treated_", "n_adopting_")
    facts = {name.rstrip("_"): plain(getattr(model, name)) for name in names if hasattr(model, name)}
    head = {"estimator": type(model).__name__, "standard_errors": model.effect_.method, "level": level}
    return json.dumps(head | facts | {"effects": rows}, indent=2)


def plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _latex(model: Any, level: float, more: dict[str, Any]) -> str:
    return str(model.to_latex(level, **more))


def _parameters(options: Namespace) -> dict[str, Any]:
    """Parameters of an estimator, from NAME=VALUE."""
    kind = getattr(estimators, options.estimator)
    known = set(kind._get_param_names())
    given: dict[str, Any] = {"random_state": options.seed, "n_jobs": options.jobs}
    given = {name: value for name, value in given.items() if name in known}
    for text in options.set:
        name, equals, value = text.partition("=")
        if not equals or name not in known:
            raise ValueError(
                f"--set {text}: NAME=VALUE is needed, with a name among {', '.join(sorted(known))}"
            )
        try:
            given[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # a text without quotes
            given[name] = value
    return given


def rows_of_file(options: Namespace, *columns: str | None) -> Frame:
    """The file's rows, with all columns that are used, and without rows that lack one where it was asked."""
    used = list(dict.fromkeys([options.outcome, options.weights, *columns]))
    frame = read_table(options.file, used)
    if not options.drop_missing:
        return frame
    kept = frame.dropna(subset=[name for name in used if name is not None])
    if len(kept) < len(frame):
        print(
            f"rfpcore: {len(frame) - len(kept)} of {len(frame)} rows left out, with a missing value",
            file=sys.stderr,
        )
    return kept


def _csv(values: Any, columns: list[str]) -> str:
    import pandas

    return str(pandas.DataFrame(values, columns=columns).to_csv(index=False)).rstrip("\n")
