"""A campaign: simulate a stretch of the mission and collect its alerts as one trigger set."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from slewguard.sim.config import SimConfig
from slewguard.sim.timeline import EventId, alerts, events
from slewguard.subimages.contract import COLUMNS, SHAPE, SubImage, TriggerSet
from slewguard.subimages.errors import BadInput

_CHUNK = 16
_THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def simulate(
    config: SimConfig,
    *,
    days: float,
    seed: int,
    shard: tuple[int, int] = (0, 1),
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> TriggerSet:
    """Simulate a mission time line and return its alerts, ordered by event and window.

    Parameters
    ----------
    config : SimConfig
    days : float
        Length of the time line.
    seed : int
        Seed of the time line, 0 to 2^64 - 1. Every event has its own generator, keyed by seed and event.
    shard : (int, int)
        Simulate every n-th event from the i-th on: (i, n). All shards together are the whole.
    workers : int
        Processes; the result does not depend on it.
    progress : callable, optional
        Called with the number of events done and their total.

    Returns
    -------
    TriggerSet
        With every column filled.

    Raises
    ------
    BadInput
        If days, seed, shard or workers make no sense.
    """
    index, n_shards = shard
    if not 0 < days < float("inf"):
        raise BadInput(f"days must be positive and finite, not {days}")
    if not 0 <= seed < 2**64:
        raise BadInput(f"seed must lie in 0 to 2^64 - 1, not {seed}")
    if not 0 <= index < n_shards:
        raise BadInput(f"shard must be i/n with 0 <= i < n, not {index}/{n_shards}")
    if workers < 1:
        raise BadInput(f"workers must be at least 1, not {workers}")
    todo = [e for k, e in enumerate(events(config, days, seed)) if k % n_shards == index]
    chunks = [todo[i : i + _CHUNK] for i in range(0, len(todo), _CHUNK)]
    found: list[SubImage] = []
    done = 0
    for chunk, images in zip(chunks, _run(config, seed, chunks, workers), strict=True):
        found += images
        done += len(chunk)
        if progress is not None:
            progress(done, len(todo))
    return _collect(found, _provenance(config, days, seed, shard))


def _run(config: SimConfig, seed: int, chunks: Sequence[Sequence[EventId]], workers: int) -> Iterable[list[SubImage]]:
    if workers == 1 or len(chunks) < 2:
        yield from (_simulate_chunk(config, seed, chunk) for chunk in chunks)
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    # Not forked: the caller may hold threads of a network library.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        with _one_thread_each():
            results = pool.map(_simulate_chunk, [config] * len(chunks), [seed] * len(chunks), chunks)
        yield from results


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes started here use one BLAS thread, so that workers do not crowd each other out."""
    before = {name: os.environ.get(name) for name in _THREAD_LIMITS}
    os.environ.update(dict.fromkeys(_THREAD_LIMITS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _simulate_chunk(config: SimConfig, seed: int, chunk: Sequence[EventId]) -> list[SubImage]:
    return [image for event in chunk for image in alerts(config, seed, event)]


def _collect(found: list[SubImage], provenance: dict[str, Any]) -> TriggerSet:
    if found:
        return TriggerSet.of(found, simulated=True, provenance=provenance)
    empty = {name: np.zeros(0, dtype=dtype) for name, dtype in COLUMNS.items()}
    return TriggerSet(np.zeros((0, *SHAPE), np.float32), np.zeros((0, *SHAPE), np.uint8), empty, True, provenance)


def _provenance(config: SimConfig, days: float, seed: int, shard: tuple[int, int]) -> dict[str, Any]:
    from importlib.metadata import version

    return {
        "made_by": "slewguard.sim",
        "version": version("slewguard"),
        "config_sha256": config.digest(),
        "days": days,
        "seed": seed,
        "shard": list(shard),
    }
