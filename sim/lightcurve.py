"""Light curves: which share of a source's fluence arrives when.

A pulse rises and decays as (1 - exp(-t / rise)) exp(-t / decay): a fast rise and exponential decay whose integral is
known in closed form. A short rise makes it the exponential decay of a type-I burst, a long one the pulse
t exp(-t / decay). The real pulses of bursts are of this kind (Norris et al. 1996, ApJ 459, 393), one to many a burst.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slewguard.sim.settings_sky import Bursts

Float64 = NDArray[np.float64]
MAX_PULSES = 8
SHORT_S = 2.0
"""T90 that parts short from long bursts (Kouveliotou et al. 1993, ApJ 413, L101)."""
ACTIVE = 0.995
"""Share of the fluence within the active interval."""


class LightCurve(ABC):
    """Share of a fluence against time; times are float64 seconds."""

    @abstractmethod
    def cumulative(self, t_s: ArrayLike) -> Float64:
        """Share of the fluence that has arrived at times of any shape: 0 before the onset, rising to 1."""

    @abstractmethod
    def _span_s(self) -> tuple[float, float]:
        """Interval outside which next to nothing arrives; quantiles are searched in it."""

    def between(self, start_s: ArrayLike, stop_s: ArrayLike) -> Float64:
        """Share of the fluence between two times."""
        return self.cumulative(stop_s) - self.cumulative(start_s)

    def quantile(self, share: ArrayLike) -> Float64:
        """Times at which shares (0 < share < 1) of the fluence have arrived, to 1e-7 of the span."""
        wanted = np.asarray(share, dtype=np.float64).ravel()
        low, high = (np.full(wanted.shape, end) for end in self._span_s())
        grid = np.linspace(0.0, 1.0, 65)
        # Each round narrows the bracket of every share by 64.
        for _ in range(4):
            times = low[:, None] + (high - low)[:, None] * grid
            step = np.argmax(self.cumulative(times) >= wanted[:, None], axis=1).clip(1)
            rows = np.arange(len(wanted))
            low, high = times[rows, step - 1], times[rows, step]
        return (0.5 * (low + high)).reshape(np.shape(share))

    @property
    def t90_s(self) -> float:
        """Time from 5 % to 95 % of the fluence."""
        start, stop = self.quantile([0.05, 0.95])
        return float(stop - start)

    @cached_property
    def active_s(self) -> tuple[float, float]:
        """Start and stop of the central interval that holds 99.5 % of the fluence."""
        start, stop = self.quantile([0.5 * (1.0 - ACTIVE), 0.5 * (1.0 + ACTIVE)])
        return float(start), float(stop)


@dataclass(frozen=True)
class Steady(LightCurve):
    """Constant flux on an interval."""

    start_s: float
    stop_s: float

    def cumulative(self, t_s: ArrayLike) -> Float64:
        """Share of the fluence that has arrived at times of any shape."""
        share: Float64 = np.clip((np.asarray(t_s) - self.start_s) / (self.stop_s - self.start_s), 0.0, 1.0)
        return share

    def _span_s(self) -> tuple[float, float]:
        return self.start_s, self.stop_s


@dataclass(frozen=True)
class Pulses(LightCurve):
    """Sum of pulses; every field holds one number per pulse."""

    weights: tuple[float, ...]
    """Shares of the fluence, of sum 1."""
    onsets_s: tuple[float, ...]
    rises_s: tuple[float, ...]
    decays_s: tuple[float, ...]

    def cumulative(self, t_s: ArrayLike) -> Float64:
        """Share of the fluence that has arrived at times of any shape.

        Of one pulse: with 1 / fast = 1 / rise + 1 / decay the two exponentials integrate to
        [decay (1 - exp(-t / decay)) - fast (1 - exp(-t / fast))] / (decay - fast).
        """
        weight, onset, decay, fast = self._columns
        since = np.maximum(np.asarray(t_s, dtype=np.float64)[..., None] - onset, 0.0)
        arrived = fast * np.expm1(-since / fast) - decay * np.expm1(-since / decay)
        total: Float64 = np.clip(arrived @ (weight / (decay - fast)), 0.0, 1.0)
        return total

    @cached_property
    def _columns(self) -> tuple[Float64, Float64, Float64, Float64]:
        rise, decay = np.array(self.rises_s), np.array(self.decays_s)
        return np.array(self.weights), np.array(self.onsets_s), decay, rise * decay / (rise + decay)

    def _span_s(self) -> tuple[float, float]:
        # After 30 decay times a pulse has 1e-12 to come.
        ends = [onset + 30.0 * decay for onset, decay in zip(self.onsets_s, self.decays_s, strict=True)]
        return min(self.onsets_s), max(ends)

    def stretched(self, t90_s: float, onset_s: float) -> Pulses:
        """The same curve on a time axis scaled to a T90, with its first onset moved to a time."""
        scale, first = t90_s / self.t90_s, min(self.onsets_s)
        return Pulses(
            self.weights,
            tuple(onset_s + scale * (t - first) for t in self.onsets_s),
            tuple(scale * t for t in self.rises_s),
            tuple(scale * t for t in self.decays_s),
        )


def draw_pulses(rng: np.random.Generator, t90_s: float, onset_s: float, bursts: Bursts) -> Pulses:
    """Draw a burst of one to eight pulses whose own T90 is the one asked for.

    Parameters
    ----------
    t90_s : float
        T90 of the curve; below 2 s it has the pulse number of short bursts.
    onset_s : float
        Onset of the first pulse.
    bursts : Bursts
        Distributions of number, width, gap, rise and height of the pulses.
    """
    ratio = bursts.pulse_ratio[0 if t90_s < SHORT_S else 1]
    number = ratio ** np.arange(MAX_PULSES)
    n = 1 + int(np.searchsorted(np.cumsum(number), rng.random() * number.sum(), side="right"))
    decay = 10.0 ** rng.normal(0.0, bursts.pulse_width_dex, n)
    rise = decay * 10.0 ** rng.normal(*bursts.pulse_rise, n)
    gap = 10.0 ** rng.normal(*bursts.pulse_gap, n - 1)
    onset = np.concatenate([[0.0], np.cumsum(gap)])
    # The peak, reached after rise ln(1 + decay / rise), and the integral decay^2 / (rise + decay) of the pulse.
    peak = decay / (rise + decay) * (rise / (rise + decay)) ** (rise / decay)
    weight = 10.0 ** rng.normal(0.0, bursts.pulse_height_dex, n) * decay**2 / (rise + decay) / peak
    unit = Pulses(*(tuple(part.tolist()) for part in (weight / weight.sum(), onset, rise, decay)))
    return unit.stretched(t90_s, onset_s)


def decaying(t90_s: float, onset_s: float, rise_share: float = 0.1) -> Pulses:
    """Fast rise and exponential decay of a T90, the rise time a share of the decay time."""
    return Pulses((1.0,), (0.0,), (rise_share,), (1.0,)).stretched(t90_s, onset_s)
