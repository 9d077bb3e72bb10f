"""Scikit-learn's callbacks (SLEP023), which it has from 1.9 on.

They are told of a fit as a whole and of its tasks: pieces of RFP's outer loop, the networks of an ensemble.
The parameter `callbacks` of the RFP estimators stays beside them: it works with every scikit-learn, and its
callbacks see the objective, the inner step and the parameters, for which scikit-learn's have no place.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeVar

import sklearn

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # before 1.9

    def with_callbacks(method: Any) -> Any:
        """Nobody can be told."""
        return method

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Says that there are no callbacks."""

        def set_callbacks(self, *callbacks: Any) -> Any:
            """Refuse them: scikit-learn has callbacks from 1.9 on.

            Raises
            ------
            ImportError
            """
            raise ImportError(
                f"callbacks are scikit-learn's from 1.9 on, and {sklearn.__version__} is installed; the "
                "parameter callbacks= of RFPRegressor and RFPClassifier works with any"
            )


__all__ = ["CallbackSupportMixin", "Watched", "told"]

Method = TypeVar("Method", bound=Callable[..., Any])


@dataclass
class Watched:
    """A fit that callbacks are told of.

    Attributes
    ----------
    estimator
        That is being fitted: the copy of `all_or_nothing`.
    context
        Scikit-learn's, of the whole fit.
    given : dict
        X, y and metadata, as hooks have them.
    """

    estimator: Any
    context: Any
    given: dict[str, Any]
    _step: Any = field(default=None, repr=False)

    def begin_steps(self) -> None:
        """Outer steps begin."""
        self._step = self.context.subcontext("outer steps")
        self._step.call_on_fit_task_begin(estimator=self.estimator, **self.given)

    def __call__(self, state: Any) -> bool:
        """Outer steps have led to a `FitState`; whether a callback wants the fit to end."""

        def learnt() -> dict[str, Any]:
            net = state.estimator.net_
            return {"net_": net, "theta_": state.theta, "inner_lr_": state.inner_lr}

        task, self._step = self._step, None
        stop = task.call_on_fit_task_end(
            estimator=self.estimator, **self.given, reconstruction_attributes=learnt
        )
        if not stop and state.iteration < state.max_iter:
            self.begin_steps()
        return bool(stop)

    def end_steps(self) -> None:
        """No more outer steps are taken, though some had been announced."""
        if self._step is not None:
            self._step.call_on_fit_task_end(estimator=self.estimator)

    def network(self, index: int) -> None:
        """A network of an ensemble is done. Nobody is asked to stop: they are trained side by side."""
        task = self.context.subcontext("network", task_id=index)
        task.call_on_fit_task_begin(estimator=self.estimator, **self.given)
        task.call_on_fit_task_end(estimator=self.estimator, **self.given)


def told(fit: Method) -> Method:
    """A `fit` that tells scikit-learn's callbacks, where there are any, when it begins and ends.

    It goes under `all_or_nothing`. `_tasks` of the estimator says how many tasks there are at most (0: none,
    None: not known) and whether one comes after the other; the fit finds what to tell in `_watched`.
    """
    signature = inspect.signature(fit)

    @wraps(fit)
    def watched(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if not hasattr(self, "_skl_callbacks"):
            return fit(self, *args, **kwargs)
        arguments = signature.bind(self, *args, **kwargs).arguments
        weight = arguments.get("sample_weight")
        given = {"X": arguments["X"], "y": arguments["y"], "metadata": None}
        if weight is not None:
            given["metadata"] = {"sample_weight": weight}
        count, sequential = self._tasks()
        context = self._init_callback_context(max_subtasks=count, sequential_subtasks=sequential)
        context.call_on_fit_task_begin(estimator=self, **given)
        self._watched = Watched(self, context, given)
        try:
            found = fit(self, *args, **kwargs)
        finally:
            del self._watched
        context.call_on_fit_task_end(estimator=self, **given, reconstruction_attributes={})
        return found

    return with_callbacks(watched)  # type: ignore[no-any-return]
