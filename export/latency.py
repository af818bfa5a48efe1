"""Time of one inference on this machine, engine against engine in one run.

Calls are interleaved, so that whatever else the machine does falls on all engines alike; medians and ratios of
one run can be compared, figures of two runs cannot.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.export.backends import Backend

P99_CALLS, P999_CALLS = 1000, 10_000
"""Fewest calls from which these percentiles are quoted."""


def measure_latency(
    backends: Sequence[Backend],
    planes: NDArray[np.int8],
    *,
    calls: int = P99_CALLS,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Time ``score`` on one sub-image at a time.

    Parameters
    ----------
    backends : sequence of Backend
    planes : int8 array [N, 3, 56, 56]
        Inputs, used in turn.
    calls : int
        Timed calls of each engine; a tenth as many are made before as warm-up.
    progress : callable (done, total), optional

    Returns
    -------
    list of dict
        One row an engine: ``target``, ``engine``, ``version``, ``calls``, ``first_us``, ``p50_us``, ``p99_us``
        (None with fewer than 1,000 calls) and ``max_us``, in microseconds of wall time.
    """
    inputs = [planes[i : i + 1].copy() for i in range(len(planes))]
    first = [_time_us(backend, inputs[0]) for backend in backends]
    for i in range(calls // 10):
        for backend in backends:
            backend.score(inputs[i % len(inputs)])
    taken = np.empty((len(backends), calls))
    for call in range(calls):
        for row, backend in zip(taken, backends, strict=True):
            row[call] = _time_us(backend, inputs[call % len(inputs)])
        if progress:
            progress(call + 1, calls)
    return [
        {
            "target": "host",
            "engine": backend.name,
            "version": backend.version,
            "calls": calls,
            "first_us": first_us,
            "p50_us": float(np.median(row)),
            "p99_us": float(np.percentile(row, 99)) if calls >= P99_CALLS else None,
            "max_us": float(row.max()),
        }
        for backend, first_us, row in zip(backends, first, taken, strict=True)
    ]


def summarise(taken_ns: NDArray[np.int64]) -> dict[str, Any]:
    """Median, tails and mean of times.

    Parameters
    ----------
    taken_ns : int64 array [N]
        Nanoseconds, N at least 1.

    Returns
    -------
    dict
        ``p50_us``, ``p99_us`` (None with fewer than 1,000), ``p999_us`` (None with fewer than 10,000), ``max_us`` and
        ``mean_us``, microseconds.
    """
    taken = taken_ns / 1000
    return {
        "p50_us": float(np.median(taken)),
        "p99_us": float(np.percentile(taken, 99)) if len(taken) >= P99_CALLS else None,
        "p999_us": float(np.percentile(taken, 99.9)) if len(taken) >= P999_CALLS else None,
        "max_us": float(taken.max()),
        "mean_us": float(taken.mean()),
    }


def _time_us(backend: Backend, planes: NDArray[np.int8]) -> float:
    start = time.perf_counter_ns()
    backend.score(planes)
    return (time.perf_counter_ns() - start) / 1000
