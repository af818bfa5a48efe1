"""Measure what a campaign costs: ``python -m slewguard.benchmarks.campaign_cost [--days D ...] [--json FILE]``.

Each row is a campaign end to end as ``slewguard simulate`` runs it, with its work folder and the final file: wall
time against days and processes, a fresh process each. The first events of a process also pay for its start (imports,
masks, tables), so a line is fitted: seconds = start + days x seconds per day. An *exposure* is one window in one
energy band that is deconvolved to a sky map; they are counted in this process on one of the campaigns. Run it on a
machine that does nothing else; the load before the run is stored.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from slewguard.benchmarks.command import as_command
from slewguard.sim.campaign import Campaign, simulate
from slewguard.sim.config import SimConfig
from slewguard.sim.imaging import Imager
from slewguard.subimages.atomic import atomic_output
from slewguard.subimages.hdf5 import read_triggers_hdf5

RESULT = Path(__file__).parent / "results" / "campaign_cost.json"
_SEED = 1
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def machine() -> dict[str, str | int | float]:
    """Name the machine: processor, cores, load average of the last minute."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count() or 1,
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


@contextmanager
def counted_maps() -> Iterator[list[int]]:
    """Count the sky maps that are made in this process, one at a time or in batches."""
    batches = hasattr(Imager, "finish")
    name = "finish" if batches else "sky_map"
    plain = getattr(Imager, name)
    count = [0]

    def counting(self: Imager, first: Any, *others: Any) -> Any:
        count[0] += len(first) if batches else 1
        return plain(self, first, *others)

    setattr(Imager, name, counting)
    try:
        yield count
    finally:
        setattr(Imager, name, plain)


def run(days: float, workers: int) -> dict[str, float | int]:
    """Run one campaign in a process of its own; its wall time, and what it made."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.h5"
        words = ("simulate", "--days", days, "--seed", _SEED, "--workers", workers, "--out", out)
        command = [sys.executable, "-m", "slewguard.cli.main", *map(str, words)]
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=os.environ | _ONE_THREAD)
        seconds = time.perf_counter() - start
        alerts = len(read_triggers_hdf5(out))
    return {"days": days, "workers": workers, "seconds": seconds, "alerts": alerts}


def measure(days: Sequence[float], workers: Sequence[int]) -> dict[str, Any]:
    """Measure campaigns of several lengths on several numbers of processes."""
    host = machine()
    with counted_maps() as count:
        simulate(SimConfig(), days=max(days), seed=_SEED)
    per_event = count[0] / len(Campaign(SimConfig(), max(days), _SEED).events())
    rows = []
    for n in workers:
        for length in days:
            row = run(length, n)
            events = len(Campaign(SimConfig(), length, _SEED).events())
            exposures = round(events * per_event)
            rate = {"events_per_s": events / row["seconds"], "exposures_per_s": exposures / row["seconds"]}
            rows.append({**row, "events": events, "exposures": exposures, **rate})
            print("  ".join(f"{name} {value:.5g}" for name, value in rows[-1].items()), flush=True)
    fits = []
    for n in workers:
        mine = [row for row in rows if row["workers"] == n]
        slope, start = np.polyfit([row["days"] for row in mine], [row["seconds"] for row in mine], 1)
        events_per_day = sum(SimConfig().rates.per_day().values())
        fits.append(
            {
                "workers": n,
                "start_s": float(start),
                "seconds_per_day": float(slope),
                "seconds_per_year": float(start + 365.25 * slope),
                "events_per_s": float(events_per_day / slope),
                "exposures_per_s": float(events_per_day * per_event / slope),
            }
        )
    return {"machine": host, "exposures_per_event": per_event, "rows": rows, "fits": fits}


def main() -> None:
    """Print the figures, and store them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--days", type=float, nargs="+", default=[10.0, 20.0, 40.0], help="lengths of campaign, two or more"
    )
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="numbers of processes")
    parser.add_argument("--json", type=Path, default=RESULT, help="file to write")
    arguments = parser.parse_args()
    if len(set(arguments.days)) < 2:
        parser.error("--days needs two lengths or more, for the line")
    result = measure(arguments.days, arguments.workers)
    for fit in result["fits"]:
        print("  ".join(f"{name} {value:.4g}" for name, value in fit.items()))
    with atomic_output(arguments.json) as beside:
        beside.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    as_command(main)
