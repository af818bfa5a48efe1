"""Confidence intervals of a share of k in n."""

from __future__ import annotations

from math import isnan, sqrt


def clopper_pearson(k: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval of a binomial share (Clopper & Pearson 1934).

    Parameters
    ----------
    k, n : int
        Successes and trials, 0 <= k <= n; with n = 0 the interval is (0, 1).
    level : float
        Coverage, at least.

    Raises
    ------
    ValueError
        If k, n or level are out of range.
    """
    _check(k, n, level)
    from scipy.special import betaincinv

    tail = (1.0 - level) / 2.0
    lo = 0.0 if k == 0 else float(betaincinv(k, n - k + 1, tail))
    hi = 1.0 if k == n else float(betaincinv(k + 1, n - k, 1.0 - tail))
    return lo, hi


def wilson(k: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a binomial share (Wilson 1927); arguments as :func:`clopper_pearson`."""
    _check(k, n, level)
    if n == 0:
        return 0.0, 1.0
    from scipy.special import ndtri

    z = float(ndtri(0.5 + level / 2.0))
    centre = (k + z * z / 2.0) / (n + z * z)
    half = z / (n + z * z) * sqrt(k * (n - k) / n + z * z / 4.0)
    return max(centre - half, 0.0), min(centre + half, 1.0)


def _check(k: int, n: int, level: float) -> None:
    if not 0 <= k <= n or isnan(level) or not 0.0 < level < 1.0:
        raise ValueError(f"no interval for {k} of {n} at level {level}")
