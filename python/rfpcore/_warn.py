"""Warnings that point at the user's line, however deep inside the package they come from."""

import os
import sys
import warnings
from pathlib import Path
from types import FrameType

__all__ = ["warn"]

_PACKAGE = str(Path(__file__).parent) + os.sep


def _is_inside(frame: FrameType) -> bool:
    """Whether code is the package's, or what scikit-learn puts around `fit` for callbacks."""
    module = str(frame.f_globals.get("__name__"))
    return frame.f_code.co_filename.startswith(_PACKAGE) or module.startswith("sklearn.callback.")


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the first line outside this package.

    Parameters
    ----------
    message : str
    category : type of Warning

    Examples
    --------
    >>> import warnings
    >>> from rfpcore import DivergenceWarning
    >>> from rfpcore._warn import warn
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn("a cluster diverged", DivergenceWarning)
    >>> caught[0].filename.startswith("<doctest")
    True
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and _is_inside(frame):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
