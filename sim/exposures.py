"""From a scene to counts: windows on an absolute grid, and photons drawn once for all windows that hold them.

Times are whole ticks of 10 ms of mission time. The edges of all windows cut the time into pieces; each piece is
drawn once, and a window's counts are the sum of its pieces. Where a count-rate light curve has been drawn, its
counts are spread over the plane, so that count-rate and image windows see the same photons.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.countrate import quadrants, tick_of, ticks
from slewguard.sim.scene import Scene
from slewguard.sim.settings_trigger import TICK_S, Trigger

Float64 = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, order=True)
class Window:
    """One exposure: its end, start and band; windows sort by the time at which they end."""

    stop: int
    start: int
    band: int
    kind: str
    """``CRT`` or ``IMT``."""

    @property
    def seconds(self) -> float:
        """Length, s."""
        return (self.stop - self.start) * TICK_S


def image_windows(trigger: Trigger, start_s: float, stop_s: float) -> list[Window]:
    """Every image-trigger window of every band that overlaps a stretch of time, in order of their ends."""
    found = []
    first_tick, last_tick = tick_of(start_s), -tick_of(-stop_s)
    for scale in range(trigger.image_scales):
        length = ticks(trigger.window_s(scale))
        for k in range(first_tick // length, (last_tick - 1) // length + 1):
            found += [Window((k + 1) * length, k * length, b, "IMT") for b in range(len(trigger.bands_kev))]
    return sorted(found)


@dataclass(frozen=True)
class LightCurve4:
    """Counts of every tick in each energy interval and quadrant, [ticks, atoms, 4], from a first tick on."""

    first: int
    counts: Counts

    def totals(self, start: int, stop: int) -> Counts | None:
        """Counts of a piece of time, [atoms, 4], or None where it is not covered."""
        if start < self.first or stop > self.first + len(self.counts):
            return None
        total: Counts = self.counts[start - self.first : stop - self.first].sum(axis=0)
        return total


def draw_light_curve(rng: np.random.Generator, scene: Scene, start: int, stop: int, short: int) -> LightCurve4:
    """Draw the counts of every tick; all but transients is taken as even within pieces of a short window.

    Parameters
    ----------
    rng : numpy Generator
    scene : Scene
    start, stop : int
        Ticks.
    short : int
        Ticks of a short window.
    """
    edges = [start, *range((start // short + 1) * short, stop, short), stop]
    without = scene.without_transients()
    expected = np.empty((stop - start, len(scene.mission.cxb_rate), 4))
    for a, b in pairwise(edges):
        steady = quadrants(without.expected(a * TICK_S, b * TICK_S)) / (b - a)
        expected[a - start : b - start] = steady
    changes = [d for _, d in scene.disturbances() if d.efficiency is not None]
    for k, truth in enumerate(scene.truths):
        if truth.new is None:
            continue
        lit = [scene.new_lit.plane(k, one, slice(None)) for one in np.diag(truth.new.fluence)]
        share = scene.arrived_shares(truth.new, np.arange(start, stop + 1) * TICK_S)
        photons = np.array(lit) * scene.telescope.efficiency
        for a, b in pairwise(edges):
            counted = photons + sum(d.expected(photons, a * TICK_S, b * TICK_S) for d in changes)
            expected[a - start : b - start] += share[a - start : b - start, None, None] * quadrants(counted)
    return LightCurve4(start, rng.poisson(expected))


class Exposed(Protocol):
    """A scene and the counts of windows of it, wherever they come from."""

    @property
    def scene(self) -> Scene:
        """What the counts are taken for: the trigger's view of the sky and the truth behind an alert."""
        ...

    def counts(self, window: Window, atoms: slice) -> Counts:
        """Shadowgram of a window in a band, int64 [80, 80]."""
        ...

    def edges_s(self, window: Window) -> list[float]:
        """Pieces of time from which a window was drawn, s."""
        ...


@dataclass
class Exposer:
    """Draws pieces of time in order and keeps running sums, so that any window between two edges is a difference."""

    rng: np.random.Generator
    scene: Scene
    edges: list[int]
    """All edges of all windows, sorted, each once."""
    light_curves: tuple[LightCurve4, ...] = ()
    _sums: list[Counts] = field(default_factory=list)

    def counts(self, window: Window, atoms: slice) -> Counts:
        """Shadowgram of a window in a band, int64 [80, 80]; both ends must be edges."""
        start, stop = self._place(window)
        while len(self._sums) <= stop:
            self._draw(len(self._sums))
        difference: Counts = (self._sums[stop][atoms] - self._sums[start][atoms]).sum(axis=0)
        return difference

    def edges_s(self, window: Window) -> list[float]:
        """Pieces of time from which a window was drawn, s."""
        start, stop = self._place(window)
        return [e * TICK_S for e in self.edges[start : stop + 1]]

    def _place(self, window: Window) -> tuple[int, int]:
        return bisect_left(self.edges, window.start), bisect_left(self.edges, window.stop)

    def _draw(self, i: int) -> None:
        geometry = self.scene.telescope.geometry
        if i == 0:
            shape = (len(self.scene.mission.cxb_rate), geometry.pixels, geometry.pixels)
            self._sums.append(np.zeros(shape, dtype=np.int64))
            return
        start, stop = self.edges[i - 1], self.edges[i]
        expected = self.scene.expected(start * TICK_S, stop * TICK_S)
        totals = next((t for c in self.light_curves if (t := c.totals(start, stop)) is not None), None)
        drawn = self.rng.poisson(expected) if totals is None else spread(self.rng, expected, totals)
        arrived = np.asarray(self.scene.arrived(start * TICK_S, stop * TICK_S))
        total: Counts = np.add(self._sums[-1], drawn + arrived.astype(np.int64))
        self._sums.append(total)


def spread(rng: np.random.Generator, expected: Float64, totals: Counts) -> Counts:
    """Spread given counts of each quadrant over its pixels in proportion to what is expected there.

    A Poisson count of given total is multinomial, so the result is distributed as if drawn pixel by pixel.

    Parameters
    ----------
    rng : numpy Generator
    expected : array [atoms, 80, 80]
    totals : integer array [atoms, 4]
    """
    drawn = np.zeros(expected.shape, dtype=np.int64)
    h, w = expected.shape[1] // 2, expected.shape[2] // 2
    for q in range(4):
        part = np.s_[:, (q // 2) * h : (q // 2 + 1) * h, (q % 2) * w : (q % 2 + 1) * w]
        shares = expected[part].reshape(len(expected), -1)
        sums = shares.sum(axis=1, keepdims=True)
        shares = np.where(sums > 0, shares / np.where(sums > 0, sums, 1.0), 1.0 / (h * w))
        drawn[part] = rng.multinomial(totals[:, q], shares).reshape(len(expected), h, w)
    return drawn


def edges_of(windows: Iterable[Window]) -> list[int]:
    """All edges of some windows, sorted, each once."""
    return sorted({edge for w in windows for edge in (w.start, w.stop)})
