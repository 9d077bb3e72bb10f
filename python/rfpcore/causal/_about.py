"""Names of what an effect is of, for tables that go into a paper."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .._file_parts import Document, listed, object_of, only, text
from .._formula import is_formula, outcome_formula
from .._options import MAX_ROWS, integer

SHOWN = 44  # characters of a line that lists covariates


@dataclass(frozen=True)
class About:
    """Names of columns, None where an argument had none, and how much there is of what they name.

    Attributes
    ----------
    outcome, treatment, clusters, time, unit, by : str or None
    covariates : tuple of str
    references : dict
        Of covariates that are text, the label that has no column of its own.
    n_rows, n_clusters : int
        Of the data; 0 where the estimator counts what is compared.
    """

    outcome: str | None = None
    treatment: str | None = None
    clusters: str | None = None
    time: str | None = None
    unit: str | None = None
    by: str | None = None
    covariates: tuple[str, ...] = ()
    references: Mapping[str, str] = field(default_factory=dict)
    n_rows: int = 0
    n_clusters: int = 0

    def facts(self) -> list[tuple[str, Any]]:
        """Lines of a summary: what has a name."""
        titles = {"by": "Subgroups by"} | {
            name: name.capitalize() for name in ("outcome", "treatment", "clusters", "time", "unit")
        }
        named = [(title, getattr(self, name)) for name, title in titles.items()]
        lines = sorted(
            (line for line in named if line[1] is not None), key=lambda line: line[0] == "Subgroups by"
        )
        references = [(f"Reference of {name}", label) for name, label in self.references.items()]
        return [*lines, ("Covariates", self._listed()), *references]

    def _listed(self) -> str:
        n, joined = len(self.covariates), ", ".join(self.covariates)
        if not n:
            return "none"
        if len(joined) <= SHOWN:
            return joined
        return f"{n}: {joined[: SHOWN - len(str(n)) - 7].rsplit(', ', 1)[0]}, ..."


def about(
    X: Any,
    given: Mapping[str, Any],
    covariates: Sequence[str],
    references: Mapping[str, str],
    n_rows: int = 0,
    n_clusters: int = 0,
) -> About:
    """Of the arguments of `fit`, by name."""
    titles = {"y": "outcome", "groups": "clusters"}
    roles = {role: value for role, value in given.items() if role != "sample_weight"}
    names = {titles.get(role, role): name_of(value) for role, value in roles.items()}
    if is_formula(X, given["y"]):
        names["outcome"] = outcome_formula(X, given["y"]).outcome_name
    return About(
        **names,
        covariates=tuple(covariates),
        references=dict(references),
        n_rows=n_rows,
        n_clusters=n_clusters,
    )


def name_of(values: Any) -> str | None:
    """The name of a column: itself, or that of a Series."""
    name = values if isinstance(values, str) else getattr(values, "name", None)
    return name if isinstance(name, str) and name else None


def about_to_file(own: About) -> Document:
    """In JSON's types."""
    return asdict(own) | {"covariates": list(own.covariates)}


def about_of_file(document: Document) -> About:
    """Nothing where an older file has none."""
    if "about" not in document:
        return About()
    own, empty = object_of(document, "about"), asdict(About())
    only(own, "about", set(empty))
    references = object_of(own, "references") if "references" in own else {}  # older files: none
    names = {
        name: None if own[name] is None else text(own[name], name)
        for name, value in empty.items()
        if value is None
    }
    return About(
        **names,
        covariates=tuple(text(name, "a covariate") for name in listed(own, "covariates")),
        references={name: text(label, "a reference") for name, label in references.items()},
        n_rows=integer(own["n_rows"], "n_rows", 0, MAX_ROWS),
        n_clusters=integer(own["n_clusters"], "n_clusters", 0, MAX_ROWS),
    )
