"""Proximal causal inference: an instrumental-variables problem under other names."""

from typing import TYPE_CHECKING, Any

import numpy as np

from .._arrays import Array
from .._atomic import all_or_nothing
from .._file_parts import Document, Tensors, tensor
from .._frames import require_aligned
from .._options import integer
from ._data import columns
from ._names import Names, names_of, names_of_file, names_to_file, require_names
from .f2bmld import F2BMLD

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ProximalF2BMLD"]


class ProximalF2BMLD(F2BMLD):
    """The outcome bridge of proximal causal inference by F²BMLD [1]_.

    Estimates h in E[Y | Q, A] = E[h(W, A) | Q, A], with A the treatment, W a proxy of the confounder that the
    treatment does not move (outcome proxy) and Q one that does not move the outcome (treatment proxy). X is
    W, Z is Q, and A is a covariate. Then E[Y(a)] is the mean of h(W, a) over W [2]_.

    The parameters and attributes are those of `F2BMLD`.

    References
    ----------
    .. [1] Chen, Nitanda, Gretton and Suzuki (2025), "Towards a Unified Analysis of Neural Networks in
       Nonparametric Instrumental Variable Regression", background on proximal causal inference.
    .. [2] Miao, Geng and Tchetgen Tchetgen (2018), "Identifying causal effects with proxy variables of an
       unmeasured confounder", Biometrika.

    Examples
    --------
    >>> import numpy as np
    >>> from rfpcore.npiv import ProximalF2BMLD
    >>> u, a, w, q, e = np.random.default_rng(0).standard_normal((5, 500))
    >>> a, w, q = u + a, u + 0.5 * w, u + 0.5 * q
    >>> y = a - u + 0.1 * e  # E[Y(a)] = a
    >>> model = ProximalF2BMLD(max_iter=400, random_state=0)
    >>> model.fit(a, y, outcome_proxy=w, treatment_proxy=q).effect([0.0, 1.0]).shape
    (2,)
    """

    _proxies: Array
    _treatment_names: Names = None

    @all_or_nothing
    def fit(  # type: ignore[override]
        self,
        treatment: Any,
        y: Any,
        outcome_proxy: Any,
        treatment_proxy: Any,
        covariates: Any = None,
        groups: Any = None,
        sample_weight: Any = None,
    ) -> "Self":
        """Estimate the bridge.

        Parameters
        ----------
        treatment : array (n,) or (n, k)
            A.
        y : array (n,)
        outcome_proxy : array (n,) or (n, d)
            W.
        treatment_proxy : array (n,) or (n, q)
            Q.
        covariates : array (n,) or (n, c), optional
            Observed confounders, inputs and instruments like the treatment.
        groups, sample_weight
            As in `F2BMLD.fit`.

        Returns
        -------
        self
        """
        require_aligned(
            treatment=treatment,
            y=y,
            outcome_proxy=outcome_proxy,
            treatment_proxy=treatment_proxy,
            covariates=covariates,
            groups=groups,
            sample_weight=sample_weight,
        )
        treatments = columns(treatment, "treatment")
        parts = [treatments] if covariates is None else [treatments, columns(covariates, "covariates")]
        if len(parts[0]) != len(parts[-1]):
            raise ValueError(f"covariates has {len(parts[-1])} rows; treatment has {len(parts[0])}")
        proxies = columns(outcome_proxy, "outcome_proxy")
        instruments = columns(treatment_proxy, "treatment_proxy")
        super().fit(proxies, y, instruments, np.hstack(parts), groups, sample_weight)
        self._n_treatments = treatments.shape[1]
        self._names, self._treatment_names = names_of(outcome_proxy), names_of(treatment)
        self._proxies = self._rows.inputs[:, : proxies.shape[1]]
        self._controls = self._rows.inputs[:, proxies.shape[1] + self._n_treatments :]
        self._weights = self._rows.weights
        return self

    def effect(self, treatment: Any) -> Array:
        """E[Y(a)]: the mean of the bridge over the outcome proxies and covariates of `fit`.

        Parameters
        ----------
        treatment : array (m,) or (m, k)

        Returns
        -------
        means : ndarray (m,)
        """
        require_names(treatment, "treatment", self._treatment_names)
        treatments = columns(treatment, "treatment")
        if treatments.shape[1] != self._n_treatments:
            raise ValueError(f"treatment has {treatments.shape[1]} columns; fit had {self._n_treatments}")
        n = len(self._proxies)
        means = [
            np.average(
                self._at(np.hstack([self._proxies, np.tile(a, (n, 1)), self._controls])),
                weights=self._weights,
            )
            for a in treatments
        ]
        return np.array(means)

    def _describe_learnt(self, tensors: Tensors) -> Document:
        # `effect` is a mean over these: the file holds them.
        tensors |= {"proxies": self._proxies, "controls": self._controls}
        if self._weights is not None:
            tensors["weights"] = self._weights
        own = {"n_treatments": self._n_treatments, "treatment_names": names_to_file(self._treatment_names)}
        return super()._describe_learnt(tensors) | own

    def _restore_learnt(self, tensors: Tensors, learnt: Document) -> None:
        super()._restore_learnt(tensors, learnt)
        self._n_treatments = integer(learnt["n_treatments"], "n_treatments", 1, self.n_covariates_)
        self._treatment_names = names_of_file(learnt, "treatment_names", self._n_treatments)
        self._proxies = tensor(tensors, "proxies", None, self.n_features_in_)
        n = len(self._proxies)
        self._controls = tensor(tensors, "controls", n, self.n_covariates_ - self._n_treatments)
        self._weights = tensor(tensors, "weights", n) if "weights" in tensors else None
