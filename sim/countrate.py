"""The count-rate trigger: excesses over 10 ms to 20 s in zones of the detector, each followed by an image.

Windows of 10 ms x 2^n move on by half their length. The background of a window is the mean rate of a stretch that
ends a while before it; the excess is that of a Poisson count over a known mean (Cash 1979),

    sigma = sqrt(2 (c ln(c / b) - (c - b)))    for c > b,

which is (c - b) / sqrt(b) where counts are many. The zones are the plane, its halves and its quadrants.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.settings_trigger import TICK_S, Trigger

ZONES = np.array(
    [
        [1, 1, 1, 1],
        [1, 1, 0, 0],
        [0, 0, 1, 1],
        [1, 0, 1, 0],
        [0, 1, 0, 1],
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 1],
    ],
    dtype=np.int64,
)
"""Which quadrants (low z low y, low z high y, high z low y, high z high y) make up each zone."""


@dataclass(frozen=True)
class Excess:
    """The best count-rate excess of one cycle; ticks count from the light curve's first."""

    start: int
    stop: int
    band: int
    zone: int
    sigma: float


def quadrants(planes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of planes [..., 80, 80] over the four quadrants, [..., 4]."""
    h, w = planes.shape[-2] // 2, planes.shape[-1] // 2
    folded = planes.reshape(*planes.shape[:-2], 2, h, 2, w).sum(axis=(-3, -1))
    sums: NDArray[np.float64] = folded.reshape(*planes.shape[:-2], 4)
    return sums


def ticks(seconds: float) -> int:
    """Whole ticks of 10 ms in a stretch of time."""
    return round(seconds / TICK_S)


def tick_of(t_s: float) -> int:
    """Tick in which a mission time lies; one that rounding alone keeps from a tick's begin is at it."""
    return int(np.floor(t_s / TICK_S + 1e-4))


def find_excesses(curve: NDArray[np.int64], trigger: Trigger, first_tick: int = 0) -> list[Excess]:
    """Return the best excess of every cycle in which one passes the threshold, in order of time.

    Parameters
    ----------
    curve : integer array [ticks, bands, 4]
        Counts of each tick in each band and quadrant.
    trigger : Trigger
    first_tick : int
        Mission time of the curve's first tick; cycles end at multiples of their length.
    """
    n, n_bands = len(curve), curve.shape[1]
    zoned = np.concatenate([np.zeros((1, n_bands, len(ZONES)), np.int64), np.cumsum(curve @ ZONES.T, axis=0)])
    length, gap = ticks(trigger.crt_background_s), ticks(trigger.crt_gap_s)
    cycle = ticks(trigger.crt_cycle_s)
    best: dict[int, Excess] = {}
    for scale in range(trigger.crt_scales):
        window = 1 << scale
        starts = np.arange(length + gap, n - window + 1, max(window // 2, 1))
        if not len(starts):
            continue
        counts = (zoned[starts + window] - zoned[starts]).astype(np.float64)
        mean = (zoned[starts - gap] - zoned[starts - gap - length]) * (window / length)
        mean = np.maximum(mean, 0.5 * window / length)
        # Only where the excess is more than half of what is asked for are logarithms worth their time.
        at = np.nonzero((counts - mean) ** 2 > 0.25 * trigger.crt_threshold**2 * mean)
        c, b = counts[at], mean[at]
        at, c, b = tuple(i[c > b] for i in at), c[c > b], b[c > b]
        sigma = np.sqrt(2.0 * np.maximum(c * np.log(c / b) - (c - b), 0.0))
        over = sigma >= trigger.crt_threshold
        for row, band, zone, value in zip(*(i[over] for i in at), sigma[over], strict=True):
            start = int(starts[row])
            number = (first_tick + start + window - 1) // cycle
            if number not in best or value > best[number].sigma:
                best[number] = Excess(start, start + window, int(band), int(zone), float(value))
    return [best[number] for number in sorted(best)]
