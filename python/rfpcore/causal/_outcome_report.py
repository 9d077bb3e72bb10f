"""How well the outcome models of an effect predict clusters left out, for its user."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._warn import warn
from ..exceptions import DesignWarning
from ._nuisance import Models

AUTO = "auto"
MARGIN = 0.01  # of R2, or of a constant's log loss: what no decision hangs on


@dataclass(frozen=True)
class OutcomeReport:
    """Scores by model, and which model is used.

    Attributes
    ----------
    scores : dict
        R2, or mean log loss of classifiers, on clusters left out; that of "auto" with the model that the
        other clusters choose.
    used : str
        The key of `scores` that the effect's models have.
    chosen : str
        The names of the models behind the estimate.
    log_loss : bool
    """

    scores: dict[str, float]
    used: str
    chosen: str
    log_loss: bool = False

    def facts(self) -> list[tuple[str, Any]]:
        """Lines of a summary."""
        lines: list[tuple[str, Any]] = [("Outcome model", self.chosen)]
        if self.scores:
            what = "Log loss" if self.log_loss else "R2"
            names = [self.used, *(name for name in self.scores if name != self.used)]
            lines.append((f"{what} on clusters left out", ""))
            lines += [(f"  {name}", f"{self.scores[name]:.3f}") for name in names]
        return lines

    def warn(self) -> None:
        """`DesignWarning` where a linear model predicts clusters left out better."""
        if not self.scores or self.used == AUTO:
            return
        used, linear, constant = (self.scores[name] for name in (self.used, "linear", "mean"))
        sign, margin = (-1, MARGIN * constant) if self.log_loss else (1, MARGIN)
        if not sign * (linear - used) > margin:
            return
        what = "log loss" if self.log_loss else "R2"
        worse = ", and worse than a constant" if sign * (constant - used) > 0 else ""
        warn(
            f"the outcome model, {self.chosen}, predicts clusters left out worse than a linear one{worse}: "
            f"{what} {used:.3f}, linear {linear:.3f}, constant {constant:.3f}. It follows single clusters, "
            "and intervals are long; outcome='auto' chooses the model that predicts them best",
            DesignWarning,
        )


def outcome_report(parts: Sequence[Models]) -> OutcomeReport:
    """Of all parts of an effect together: their losses are summed."""
    left = [models.left_out for models in parts if models.left_out is not None]
    if not left:
        name = "mean" if any(models.arms for models in parts) else "none"
        return OutcomeReport({}, name, name)
    used = left[0].chosen or AUTO
    names = [name for name in left[0].candidates if all(name in part.candidates for part in left)]
    sums, total, chosen = np.zeros(len(names) + 1), 0.0, Counter[str]()
    largest = max(part.spread for part in left)
    for part in left:
        unit = 1.0 if part.log_loss else (part.spread / largest) ** 2
        scored, known = part.scored, list(part.candidates)
        columns = part.losses[:, [known.index(name) for name in names]]
        sums += unit * np.column_stack([columns, part.own_losses()])[scored].sum(axis=0)
        total += unit * float((part.size if part.log_loss else part.variation)[scored].sum())
        strata = np.unique(part.strata[part.strata >= 0])
        counts = (part.strata == strata[:, None]).astype(np.int64)
        chosen.update(known[number] for number in part.choice(counts))
    title = ", ".join(f"{name} ({n})" for name, n in chosen.most_common())
    title = title if len(chosen) > 1 else next(iter(chosen))
    given = parts[0].outcome
    if not (given is None or isinstance(given, str)):
        title = type(given).__name__
    if total == 0:
        return OutcomeReport({}, used, title)
    score = sums / total if left[0].log_loss else 1 - sums / total
    scores = dict(zip([*names, used], score.tolist(), strict=True))
    return OutcomeReport(scores, used, title, left[0].log_loss)
