"""Measure sky maps per second on one core: ``python -m slewguard.benchmarks.skymap_speed [--json FILE]``.

A sky map is the fit of a quadratic background and known sources to an 80x80 shadowgram, and its deconvolution to
199x199 with the full variance. Four ways are timed side by side: a plain implementation with one transform per term of
the formula, the map of a field made one at a time, in batches, and the ladder of all windows and bands. Times are
processor seconds of the one thread, since the machine may be shared; the wall clock is given beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Read by the BLAS when numpy is imported.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from slewguard.benchmarks.command import as_command  # noqa: E402
from slewguard.sim.imaging import Field, Imager, imager  # noqa: E402
from slewguard.sim.ladder import climb  # noqa: E402
from slewguard.sim.settings_instrument import Instrument  # noqa: E402
from slewguard.subimages.atomic import atomic_output  # noqa: E402

Float64 = NDArray[np.float64]
SOURCES = 5
BATCH = 16
SHORT_WINDOWS = 64
SCALES = 7
BANDS = ((0, 2), (1, 3), (1, 4), (3, 4))
COUNTS_PER_PIXEL = 1.6
"""In an atom of a short window: a quarter of the background in 4-120 keV."""


class Plain:
    """The formulae as they stand: double precision, one padded transform per factor of every term."""

    def __init__(self, camera: Imager) -> None:
        m = camera.telescope.transmission
        self._valid = camera.valid
        self._polynomial = camera.polynomial
        self._masks = {"+": m, "-": 1.0 - m, "++": m**2, "--": (1.0 - m) ** 2, "+-": m * (1.0 - m)}
        ones = np.ones((camera.telescope.geometry.pixels,) * 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            self._balance = np.where(self._valid, self._on_sky("+", ones) / self._on_sky("-", ones), np.nan)

    def sky_map(self, counts: Float64, shadows: Float64) -> Float64:
        """SNR of one exposure, float64 [199, 199]."""
        basis = np.vstack([self._polynomial, shadows.reshape(len(shadows), -1)])
        model = np.linalg.lstsq(basis.T, counts.ravel(), rcond=None)[0] @ basis
        rest, b = counts - model.reshape(counts.shape), self._balance
        s = self._on_sky("+", rest) - b * self._on_sky("-", rest)
        v = self._on_sky("++", counts) + b**2 * self._on_sky("--", counts) - 2.0 * b * self._on_sky("+-", counts)
        return s / np.sqrt(np.maximum(v, 1.0))

    def _on_sky(self, mask: str, plane: Float64) -> Float64:
        from scipy.signal import correlate

        found: Float64 = correlate(self._masks[mask], plane, mode="full", method="fft")
        return found


def measure(windows: int = 7) -> dict[str, Any]:
    """Time every way in turn, ``windows`` times over; return medians of maps per second and their spread."""
    camera = imager(Instrument(), 1, 0.05)
    rng = np.random.default_rng(0)
    y, z = rng.uniform(40.0, 158.0, (2, SOURCES))
    shadows = camera.telescope.shadows(y, z)
    field = Field(camera, shadows)
    plain = Plain(camera)
    expected = COUNTS_PER_PIXEL * (1.0 + 0.2 * shadows.sum(axis=0))
    counts = rng.poisson(expected, (SHORT_WINDOWS, 4, *expected.shape)).astype(np.float64)
    limits = np.full((SHORT_WINDOWS, len(BANDS), SOURCES), 2.0 * COUNTS_PER_PIXEL)
    batch, top = counts[:, 0], limits[:, 0]

    def one_at_a_time() -> int:
        for k in range(BATCH):
            amplitudes, _ = field.fit(batch[k : k + 1], top[k : k + 1])
            field.sky_maps(batch[k : k + 1], amplitudes)
        return BATCH

    def in_batches() -> int:
        for k in range(0, SHORT_WINDOWS, BATCH):
            amplitudes, _ = field.fit(batch[k : k + BATCH], top[k : k + BATCH])
            field.sky_maps(batch[k : k + BATCH], amplitudes)
        return SHORT_WINDOWS

    def plainly() -> int:
        for k in range(8):
            plain.sky_map(batch[k], shadows)
        return 8

    def ladder() -> int:
        return sum(len(r.maps.snr) for r in climb(field, counts, limits, BANDS, scales=SCALES))

    ways = {"plain": plainly, "single": one_at_a_time, "batch": in_batches, "ladder": ladder}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(windows):
        for name, way in ways.items():
            taken[name].append(_timed(way))
    rates = {name: _rate(np.array(taken[name])) for name in ways}
    return {
        "machine": f"{platform.system()} {platform.machine()}, {_processor()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "threads": 1,
        "load_average": os.getloadavg()[0],
        "sources": SOURCES,
        "batch": BATCH,
        "ladder_maps": len(BANDS) * sum(SHORT_WINDOWS >> k for k in range(SCALES)),
        "windows": windows,
        "maps_per_s": rates,
        "ladder_over_plain": rates["ladder"]["median"] / rates["plain"]["median"],
    }


def _timed(way: Callable[[], int]) -> tuple[float, float]:
    processor, wall = time.thread_time(), time.perf_counter()
    maps = way()
    return (time.thread_time() - processor) / maps, (time.perf_counter() - wall) / maps


def _rate(seconds: Float64) -> dict[str, float]:
    middle, best = np.median(seconds, axis=0), seconds.min(axis=0)
    return {"median": 1.0 / middle[0], "best": 1.0 / best[0], "median_wall": 1.0 / middle[1]}


def _processor() -> str:
    """Model of the processor where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown processor")


def main() -> None:
    """Print the figures, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="file to write")
    arguments = parser.parse_args()
    result = measure()
    load = f"load {result['load_average']:.1f} on {os.cpu_count()} processors"
    print(f"{result['machine']}, 1 thread, {SOURCES} known sources, {load}")
    print(f"{'':8} {'maps/s':>8} {'best':>8} {'wall':>8}")
    for name, rate in result["maps_per_s"].items():
        print(f"{name:8} {rate['median']:8.0f} {rate['best']:8.0f} {rate['median_wall']:8.0f}")
    if arguments.json:
        with atomic_output(arguments.json) as beside:
            beside.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    as_command(main)
