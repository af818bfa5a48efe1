"""One thread for sums of products: their number changes the last bits, and the same seed must give the same bytes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any


def one_thread() -> AbstractContextManager[Any]:
    """Return a context in which the linear algebra of this process runs on one thread."""
    limited: AbstractContextManager[Any] = _controller().limit(limits=1, user_api="blas")
    return limited


@lru_cache(maxsize=1)
def _controller() -> Any:
    import numpy.linalg  # noqa: F401  its library must be there to be found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
