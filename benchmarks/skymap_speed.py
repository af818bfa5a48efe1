"""Measure sky maps per second on one core: ``python -m slewguard.benchmarks.skymap_speed [--json FILE]``.

One map is the fit of a quadratic background to an 80x80 shadowgram and its deconvolution to 199x199 with the full
variance. Run it with OMP_NUM_THREADS=1 on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np

from slewguard.sim.config import SimConfig
from slewguard.sim.events import quiet_rate
from slewguard.sim.imaging import imager


def measure(maps: int = 300, windows: int = 5) -> dict[str, float | int | str]:
    """Time ``maps`` sky maps in each of several windows; return the median and the best window."""
    config = SimConfig()
    camera = imager(config.instrument, config.instrument.mask_seeds[0], config.trigger.min_coding)
    rng = np.random.default_rng(0)
    expected = quiet_rate(config, camera.telescope) * config.trigger.short_window_s
    planes = rng.poisson(expected, (32, *expected.shape)).astype(np.float64)
    no_sources = np.zeros((0, *expected.shape))
    seconds = []
    for _ in range(windows):
        start = time.perf_counter()
        for k in range(maps):
            counts = planes[k % len(planes)]
            background, _ = camera.fit(counts, no_sources, np.zeros(0))
            camera.sky_map(counts, background)
        seconds.append((time.perf_counter() - start) / maps)
    return {
        "machine": platform.machine(),
        "numpy": np.__version__,
        "maps": maps * windows,
        "median_ms": 1e3 * float(np.median(seconds)),
        "best_ms": 1e3 * min(seconds),
        "maps_per_s": 1.0 / float(np.median(seconds)),
    }


def main() -> None:
    """Print the figures, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="file to write")
    arguments = parser.parse_args()
    result = measure()
    print("  ".join(f"{name} {value}" for name, value in result.items()))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
