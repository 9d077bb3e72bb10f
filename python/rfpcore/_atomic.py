"""Fits that happen whole or not at all."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

__all__ = ["all_or_nothing"]

# The method's own type, so that type checkers know what a fit returns. With the estimator's type as a
# variable (`Concatenate[SelfT, P]`) that is Any below base classes without types, as scikit-learn's are.
Method = TypeVar("Method", bound=Callable[..., Any])


def all_or_nothing(fit: Method) -> Method:
    """A method that learns, run on a copy whose attributes are taken over at the very end.

    Whatever ends it early (an error, Ctrl-C, a warning that is an error) leaves the estimator as it was, to
    the bit: the one thing that changes it is one assignment of `__dict__`. The copy is shallow, so the method
    has to set its attributes anew and not to write into those of an earlier fit. It may call the decorated
    method of a base class. What it returns is of no matter: the estimator is returned.

    Examples
    --------
    >>> from rfpcore._atomic import all_or_nothing
    >>> class Mean:
    ...     @all_or_nothing
    ...     def fit(self, values):
    ...         self.n_ = len(values)
    ...         self.mean_ = sum(values) / len(values)
    >>> mean = Mean().fit([1, 2])
    >>> mean.fit([])
    Traceback (most recent call last):
    ZeroDivisionError: division by zero
    >>> mean.n_, mean.mean_
    (2, 1.5)
    """

    @wraps(fit)
    def whole(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        work = object.__new__(type(self))
        work.__dict__ = dict(self.__dict__)
        fit(work, *args, **kwargs)
        # Methods of the copy may have been kept as callbacks: from here on both have the same attributes.
        self.__dict__ = work.__dict__
        return self

    return cast(Method, whole)
