"""Intervals and tests of the scorecard; all of them textbook, all intervals at 95 %."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
_TRIALS = 1000
LEVEL, POWER = 0.05, 0.80


def poisson_interval(k: int) -> tuple[float, float]:
    """Exact interval (Garwood) of the mean of a Poisson count."""
    from scipy.stats import chi2

    lo = 0.5 * float(chi2.ppf(0.025, 2 * k)) if k > 0 else 0.0
    return lo, 0.5 * float(chi2.ppf(0.975, 2 * k + 2))


def bootstrap(
    rng: np.random.Generator, values: NDArray[Any], statistic: Callable[[NDArray[Any]], float], draws: int = _TRIALS
) -> tuple[float, float]:
    """Percentile interval of a statistic of rows [n, ...] that are independent of each other."""
    n = len(values)
    found = [statistic(values[rng.integers(0, n, n)]) for _ in range(draws)]
    lo, hi = np.quantile(found, [0.025, 0.975])
    return float(lo), float(hi)


def ks_distances(a: Float64, b: Float64) -> Float64:
    """Two-sample Kolmogorov-Smirnov distances of samples [trials, n] and [trials, m], float64 [trials]."""
    both = np.concatenate([a, b], axis=1)
    order = np.argsort(both, axis=1)
    steps = np.where(order < a.shape[1], 1.0 / a.shape[1], -1.0 / b.shape[1])
    apart = np.abs(np.cumsum(steps, axis=1))
    values = np.take_along_axis(both, order, axis=1)
    # Among equal values only the last step counts.
    apart[:, :-1][values[:, :-1] == values[:, 1:]] = 0.0
    distances: Float64 = apart.max(axis=1)
    return distances


def smallest_shift(
    rng: np.random.Generator, sample: Float64, n: int, moved: Callable[[Float64, float], Float64], largest: float
) -> float | None:
    """Smallest shift, in the direction that is harder to see, that the test would find in 80 % of cases.

    Parameters
    ----------
    rng : numpy Generator
    sample : float array [m]
        Simulated values; both samples of a trial are drawn from them, with replacement.
    n : int
        Size of the public sample.
    moved : callable
        Shift values by an amount; negative amounts shift the other way.
    largest : float
        Give up beyond this.

    Returns
    -------
    float or None
        To one part in a hundred of the largest; None where even the largest is not seen.
    """
    public = rng.choice(sample, (_TRIALS, n))
    ours = rng.choice(sample, (_TRIALS, len(sample)))
    # Under the null hypothesis the distance does not depend on the distribution.
    null = ks_distances(rng.random(public.shape), rng.random(ours.shape))
    critical = np.quantile(null, 1.0 - LEVEL)

    def seen(shift: float) -> bool:
        powers = [np.mean(ks_distances(moved(public, s), ours) > critical) for s in (shift, -shift)]
        return bool(min(powers) >= POWER)

    if not seen(largest):
        return None
    low, high = 0.0, largest
    while high - low > 0.01 * largest:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if seen(middle) else (middle, high)
    return high
