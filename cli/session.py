"""A latency session: networks and engines side by side on this machine, in one run, with the raw times kept.

In the manner of MLPerf Tiny (rules of mlcommons/tiny, ``benchmark/MLPerfTiny_Rules.adoc``): one sub-image at a time,
what is done before the network outside the timed part, several windows, the system described beside the figures. It
is no submission and no MLPerf result.

Each engine is a process of its own, pinned to one core with all others. Without a quota they take turns of ten calls;
the first of a turn finds the caches as another program left them and is told apart too. Under a quota one runs alone
and calls again and again, since a group that waits saves up quota.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slewguard.cli.contenders import MOST_CALLS, Contender, contenders
from slewguard.cli.host import describe_host
from slewguard.cli.workers import Taken, Worker, pinned
from slewguard.export.backends import EngineUnavailable
from slewguard.export.latency import P99_CALLS, summarise
from slewguard.export.quota import PERIOD_US, best_mechanism, hold
from slewguard.subimages.atomic import atomic_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from slewguard.export.model import IntegerModel

FILES = frozenset({"summary.json", "system.json", "calls.npz"})
STARTS = 5
"""Cold starts of each."""
TURN = 10
"""Calls of one engine before it is the next one's turn."""
WINDOWS = 5
"""Windows under each quota, of which the median throughput counts."""
NOTE = "Compare within this session only. In the manner of MLPerf Tiny; not a submission and not an MLPerf result."

Progress = Callable[[int, int], None]


def run_session(
    model: IntegerModel,
    planes: NDArray[np.int8],
    folder: Path,
    *,
    also: Sequence[str] = (),
    engines: Sequence[str] | None = None,
    quotas: Sequence[float] = (),
    calls: int = P99_CALLS,
    seconds: float = 2.0,
    progress: Callable[[str], Any] | None = None,
) -> dict[str, Any]:
    """Measure and write a session folder: ``summary.json``, ``system.json`` and ``calls.npz`` with every time.

    Parameters
    ----------
    model : IntegerModel
    planes : int8 array [N, 3, 56, 56]
        Inputs, used in turn.
    folder : Path
        An older session there is replaced; any other folder that is not empty is refused.
    also : sequence of str
        Networks beside the model, ``handmade`` and ``resnet50``.
    engines : sequence of str, optional
        Only these.
    quotas : sequence of float
        Percent of one core; under them all but the ResNet50 is measured.
    calls : int
        Timed calls of each without a quota.
    seconds : float
        Length of a window under a quota.
    progress : callable, optional
        From a label to a context manager that gives a callable (done, total).

    Returns
    -------
    dict
        The summary.

    Raises
    ------
    BadInput
        For an unknown engine, or a folder that cannot be written.
    """
    shown = progress or _silent
    with atomic_folder(folder, marker="summary.json", ours=FILES.__contains__) as beside, pinned() as (core, on_core):
        system = describe_host(core)
        with tempfile.TemporaryDirectory(prefix="slewguard-latency-") as files:
            found, not_run = contenders(model, planes, Path(files), also, engines)
            mechanism, lacking = best_mechanism() if quotas else ("", "")
            system["quota"] = (
                {"mechanism": mechanism, "period_us": PERIOD_US, "better_lack": lacking} if quotas else None
            )
            rows, keys, workers = _start(found, not_run, on_core, shown("cold starts"))
            try:
                times = _in_turn(rows, keys, workers, calls, shown("interleaved calls"))
                limited, more = _under_quotas(keys, workers, quotas, mechanism, seconds, shown("quotas"))
            finally:
                for worker in workers:
                    worker.close()
        summary = {
            "format": "slewguard-latency",
            "version": 1,
            "note": NOTE,
            "model_sha256": model.sha256,
            "calls": calls,
            "starts": STARTS,
            "windows": WINDOWS,
            "window_s": seconds,
            "rows": rows,
            "quotas": limited,
            "not_run": not_run,
            "system": system,
        }
        np.savez_compressed(beside / "calls.npz", **times, **more)
        for name, content in (("summary", summary), ("system", system)):
            text = json.dumps(content, indent=1, allow_nan=False) + "\n"
            (beside / f"{name}.json").write_text(text, encoding="utf-8")
    return summary


@contextmanager
def _silent(_: str) -> Iterator[Progress]:
    yield lambda done, total: None


def _start(
    found: Sequence[Contender], not_run: dict[str, str], on_core: Any, progress: Any
) -> tuple[list[dict[str, Any]], list[str], list[Worker]]:
    """Start each several times, in turn, and keep the last; one that cannot start is told in ``not_run``."""
    cold: dict[str, list[list[float]]] = {one.name: [] for one in found}
    workers: list[Worker] = []
    with progress as shown:
        for start in range(STARTS):
            for i, one in enumerate(found):
                shown(start * len(found) + i, STARTS * len(found))
                if one.name in not_run:
                    continue
                try:
                    with on_core():
                        worker = Worker(one)
                except EngineUnavailable as error:
                    not_run[one.name] = str(error)
                    continue
                first = worker.first
                cpu_ns = worker.cold_cpu_ns
                cold[one.name].append([worker.cold_ns, cpu_ns, worker.load_ns, first.wall_ns[0], first.cpu_ns[0]])
                if start < STARTS - 1:
                    worker.close()
                else:
                    workers.append(worker)
    rows = []
    for worker in workers:
        one = worker.contender
        started, started_cpu, loaded, first_wall, first_cpu = np.array(cold[one.name]).T
        rows.append(
            {
                "network": one.network,
                "precision": one.precision,
                "weights": one.weights,
                "engine": one.engine,
                "version": worker.version,
                "macs": one.macs,
                "file_bytes": one.file_bytes,
                "cold_ms": float(np.median(started)) / 1e6,
                "cold_max_ms": float(started.max()) / 1e6,
                "cold_cpu_ms": float(np.median(started_cpu)) / 1e6,
                "load_ms": float(np.median(loaded)) / 1e6,
                "first_us": float(np.median(first_wall)) / 1e3,
                "first_cpu_us": float(np.median(first_cpu)) / 1e3,
            }
        )
    keys = [f"{i:02d}-{re.sub(r'[^A-Za-z0-9.-]', '_', w.contender.name)}" for i, w in enumerate(workers)]
    return rows, keys, workers


def _in_turn(
    rows: list[dict[str, Any]], keys: Sequence[str], workers: Sequence[Worker], calls: int, progress: Any
) -> dict[str, NDArray[Any]]:
    """Let each make a few calls in its turn; a tenth as many turns before do not count."""
    turns = -(-calls // TURN)
    warm_up = -(-turns // 10)
    taken: list[list[Taken]] = [[] for _ in workers]
    equal = [True] * len(workers)
    with progress as shown:
        for turn in range(warm_up + turns):
            for i, worker in enumerate(workers):
                one = worker.call(min(TURN, calls))
                expected = worker.contender.expected
                equal[i] &= expected is None or bool((one.score == np.resize(expected, len(one.score))).all())
                if turn >= warm_up:
                    taken[i].append(one)
            shown(turn + 1, warm_up + turns)
    times: dict[str, NDArray[Any]] = {}
    for i, (row, worker) in enumerate(zip(rows, workers, strict=True)):
        wall, cpu = (np.concatenate([getattr(one, kind) for one in taken[i]]) for kind in ("wall_ns", "cpu_ns"))
        row |= {"calls": len(wall), **summarise(wall)}
        row |= {
            "after_others_p50_us": float(np.median([one.wall_ns[0] for one in taken[i]])) / 1e3,
            "cpu_p50_us": float(np.median(cpu)) / 1e3,
            "cpu_mean_us": float(cpu.mean()) / 1e3,
            "peak_rss_bytes": worker.peak_rss_bytes(),
            "equal": equal[i] if worker.contender.expected is not None else None,
            "key": keys[i],
        }
        times |= {f"{keys[i]}.wall_ns": wall, f"{keys[i]}.cpu_ns": cpu}
    fastest = min((row["p50_us"] for row in rows), default=1.0)
    for row in rows:
        row["ratio"] = row["p50_us"] / fastest
    return times


def _under_quotas(
    keys: Sequence[str],
    workers: Sequence[Worker],
    quotas: Sequence[float],
    mechanism: str,
    seconds: float,
    progress: Any,
) -> tuple[list[dict[str, Any]], dict[str, NDArray[Any]]]:
    """Window by window, so that what else the machine does falls on all alike."""
    chosen = [
        (key, worker) for key, worker in zip(keys, workers, strict=True) if worker.contender.network != "resnet50"
    ]
    found: dict[tuple[str, float], list[tuple[Any, int]]] = {}
    total = WINDOWS * len(quotas) * len(chosen)
    with progress as shown:
        for done, (_, percent, (key, worker)) in enumerate(product(range(WINDOWS), quotas, chosen)):
            with hold(worker.pid, percent, mechanism=mechanism) as quota:
                taken = worker.call(MOST_CALLS, seconds)
                found.setdefault((key, percent), []).append((taken, quota.stopped()))
            shown(done + 1, total)
    rows = []
    times: dict[str, NDArray[Any]] = {}
    for key, worker in chosen:
        for percent in quotas:
            windows = [taken for taken, _ in found[key, percent]]
            wall, cpu = (np.concatenate([getattr(w, kind) for w in windows]) for kind in ("wall_ns", "cpu_ns"))
            elapsed = sum(w.elapsed_ns for w in windows)
            rows.append(
                {
                    "network": worker.contender.network,
                    "precision": worker.contender.precision,
                    "engine": worker.contender.engine,
                    "percent": percent,
                    "mechanism": mechanism,
                    "period_us": PERIOD_US,
                    "calls": len(wall),
                    "wall_s": elapsed / 1e9,
                    "throughput_per_s": float(np.median([len(w.wall_ns) * 1e9 / w.elapsed_ns for w in windows])),
                    "cpu_share": float(cpu.sum() / elapsed),
                    "stops": sum(stopped for _, stopped in found[key, percent]),
                    "late_share": float((wall > 2 * cpu + 1_000_000).mean()),
                    **summarise(wall),
                    "key": key,
                }
            )
            times |= {f"{key}.quota{percent:g}.wall_ns": wall, f"{key}.quota{percent:g}.cpu_ns": cpu}
    return rows, times
