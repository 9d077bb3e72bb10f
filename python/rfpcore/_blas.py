"""NumPy's own threads, where its matrices are small."""

from collections.abc import Callable
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

__all__ = ["one_blas_thread"]

Function = TypeVar("Function", bound=Callable[..., Any])


def one_blas_thread(function: Function) -> Function:
    """Run it with one thread of BLAS.

    On small matrices two take two to four times as long: each product waits for both, beside the kernel's
    own.
    """
    limited: Function = threadpool_limits.wrap(limits=1, user_api="blas")(function)
    return limited
