"""What the package maketables reads of a result, to put it beside those of other packages.

Its protocol: https://github.com/py-econometrics/maketables, PLUGIN_EXTRACTOR_FORMAT.md. It needs no import.
"""

from typing import Any

DEFAULT_STATS = ["N", "n_clusters"]


class MakesTables:
    """A result says its coefficients (`_coefficients`), statistics (`_stats`) and outcome (`_outcome`)."""

    def _coefficients(self) -> Any:
        """A DataFrame with the columns estimate, std_error, t, p_value, ci_low and ci_high."""
        raise NotImplementedError

    def _stats(self) -> dict[str, Any]:
        """Numbers by maketables' keys (N, n_clusters, r2), and se_type, words for the standard errors."""
        raise NotImplementedError

    def _outcome(self) -> str | None:
        """The name of the outcome."""
        return None

    @property
    def __maketables_coef_table__(self) -> Any:
        short = {"estimate": "b", "std_error": "se", "p_value": "p", "ci_low": "ci95l", "ci_high": "ci95u"}
        frame = self._coefficients().rename(columns=short)[["b", "se", "t", "p", "ci95l", "ci95u"]]
        return frame.rename_axis("Coefficient")

    def __maketables_stat__(self, key: str) -> Any:
        return self._stats().get(key)

    @property
    def __maketables_depvar__(self) -> str:
        return self._outcome() or "y"

    @property
    def __maketables_default_stat_keys__(self) -> list[str]:
        return [key for key in DEFAULT_STATS if key in self._stats()]
