"""Causes of false alerts, each acting where it happens: on efficiencies and counts of the detector plane.

One function per cause draws a :class:`Disturbance`. Nothing here knows of sky maps: the trigger decides which
disturbances alert. Which families exist is published (arXiv:2401.13619; Hubert & Schanne, Caen 2025); amplitudes
and rates are assumed and are configuration keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.config import Defects
from slewguard.sim.sky import log_uniform

Float64 = NDArray[np.float64]
MODULE = (8, 4)
"""Pixels of one XRDPIX module (rows, columns); which way round it lies is unknown."""
SECTOR = (20, 40)
"""Pixels of one readout sector; the true outline is unknown."""


@dataclass(frozen=True)
class Disturbance:
    """What one cause does to the plane; a part that is None does nothing.

    Parameters
    ----------
    cause : str
        One of the causes of the trigger set.
    efficiency : float64 array [80, 80], optional
        Relative change of the detected photons.
    rate : float64 array [80, 80], optional
        Extra counts/s, at the end of the event where it grows.
    growth_s : float
        e-folding time of the rate; infinite where it is steady.
    counts : float64 array [80, 80], optional
        Counts that arrive at one instant, already drawn.
    at_s : float
        That instant.
    """

    cause: str
    efficiency: Float64 | None = None
    rate: Float64 | None = None
    growth_s: float = np.inf
    counts: Float64 | None = None
    at_s: float = 0.0

    def expected(self, photons: Float64, start_s: float, stop_s: float, end_s: float) -> Float64:
        """Counts that this cause adds to an exposure on average, without those of ``arrived``.

        Parameters
        ----------
        photons : array [80, 80]
            Photons that the undisturbed plane would detect in the exposure.
        start_s, stop_s : float
            The exposure.
        end_s : float
            End of the event, at which ``rate`` holds.
        """
        extra = np.zeros_like(photons)
        if self.efficiency is not None:
            extra += photons * self.efficiency
        if self.rate is not None:
            extra += self.rate * self._effective_s(start_s - end_s, stop_s - end_s)
        return extra

    def arrived(self, start_s: float, stop_s: float) -> Float64 | float:
        """Counts, already drawn, that this cause adds to an exposure: ``counts`` or 0."""
        return self.counts if self.counts is not None and start_s <= self.at_s < stop_s else 0.0

    def _effective_s(self, start_s: float, stop_s: float) -> float:
        if np.isinf(self.growth_s):
            return stop_s - start_s
        return float(self.growth_s * (np.exp(stop_s / self.growth_s) - np.exp(start_s / self.growth_s)))


@dataclass(frozen=True)
class Circumstances:
    """What a cause may need to know of the event."""

    defects: Defects
    pixels: int
    quiet_rate: float
    """Mean counts/s of a quiet pixel."""
    length_s: float
    short_s: float


def always(rng: np.random.Generator, about: Circumstances) -> list[Disturbance]:
    """Scatter that is there at all times, under true sources as well: pixels, modules, a mild column."""
    n = about.pixels
    pixel = np.maximum(rng.normal(0.0, log_uniform(rng, about.defects.pixel_scatter), (n, n)), -1.0)
    module = _modules(rng, n, log_uniform(rng, about.defects.module_scatter))
    line = np.zeros((n, n))
    _add_column(rng, line, log_uniform(rng, about.defects.mild_column))
    return [
        Disturbance("noisy_pixel", efficiency=pixel),
        Disturbance("xrdpix", efficiency=module),
        Disturbance("column", efficiency=line),
    ]


def column(rng: np.random.Generator, about: Circumstances) -> Disturbance:
    """One to four lines of pixels, whole or in part, that count too much or too little."""
    plane = np.zeros((about.pixels, about.pixels))
    for _ in range(int(rng.integers(1, 3))):
        _add_column(rng, plane, log_uniform(rng, about.defects.column_excess))
    return Disturbance("column", efficiency=plane)


def xrdpix(rng: np.random.Generator, about: Circumstances) -> Disturbance:
    """Modules of unequal efficiency: all of them, or a few that are off by much."""
    n, excess = about.pixels, log_uniform(rng, about.defects.module_excess)
    if rng.random() < 0.5:
        return Disturbance("xrdpix", efficiency=_modules(rng, n, excess))
    plane = _modules(rng, n, 3.0 * excess)
    few = rng.random((n // MODULE[0], n // MODULE[1])) < rng.integers(1, 9) / 200.0
    return Disturbance("xrdpix", efficiency=plane * np.kron(few, np.ones(MODULE)))


def sector(rng: np.random.Generator, about: Circumstances) -> Disturbance:
    """One readout sector of wrong efficiency or dead time."""
    plane = np.zeros((about.pixels, about.pixels))
    row = int(rng.integers(about.pixels // SECTOR[0])) * SECTOR[0]
    col = int(rng.integers(about.pixels // SECTOR[1])) * SECTOR[1]
    excess = log_uniform(rng, about.defects.sector_excess) * rng.choice([-1.0, 1.0])
    plane[row : row + SECTOR[0], col : col + SECTOR[1]] = excess
    return Disturbance("sector", efficiency=plane)


def heat_pipe(rng: np.random.Generator, about: Circumstances) -> Disturbance:
    """Noise along the two edges where the heat pipes run, uneven along them."""
    n = about.pixels
    width = int(rng.integers(2, 7))
    along = np.clip(1.0 + np.cumsum(rng.normal(0.0, 0.15, n)), 0.0, 3.0)
    across = np.zeros(n)
    across[:width] = 1.0
    across[-width:] = rng.uniform(0.3, 1.0)
    plane = np.outer(along, across)
    if rng.random() < 0.5:
        plane = plane.T
    excess = log_uniform(rng, about.defects.heat_pipe_excess)
    return Disturbance("heat_pipe", rate=plane * excess * about.quiet_rate)


def hot_pixel(rng: np.random.Generator, about: Circumstances) -> Disturbance:
    """One to three pixels with a very high rate, not yet masked on board."""
    plane = np.zeros((about.pixels, about.pixels))
    for _ in range(int(rng.integers(1, 4))):
        row, col = rng.integers(about.pixels, size=2)
        plane[row, col] = log_uniform(rng, about.defects.hot_excess) * about.quiet_rate
    return Disturbance("hot_pixel", rate=plane)


def noisy_pixel(rng: np.random.Generator, about: Circumstances) -> Disturbance:
    """Some tens of noisy pixels, strewn or gathered in one place."""
    n = about.pixels
    plane = np.zeros((n, n))
    count = int(rng.integers(5, 80))
    spread = log_uniform(rng, (2.0, 40.0))
    where = np.clip(np.rint(rng.uniform(0, n, 2) + rng.normal(0.0, spread, (count, 2))), 0, n - 1).astype(int)
    plane[where[:, 0], where[:, 1]] = log_uniform(rng, about.defects.noisy_excess) * rng.exponential(1.0, count)
    return Disturbance("noisy_pixel", rate=plane * about.quiet_rate)


def saa(rng: np.random.Generator, about: Circumstances) -> Disturbance:
    """Particles at the edge of the South Atlantic Anomaly: a growing rate, shielded unevenly by the side walls."""
    n = about.pixels
    angle = rng.uniform(0.0, 2.0 * np.pi)
    u = (np.arange(n) + 0.5) / n - 0.5
    depth = np.cos(angle) * u[None, :] + np.sin(angle) * u[:, None]
    depth = depth - depth.min()
    wall = np.exp(-depth / log_uniform(rng, (0.02, 0.5)))
    ring = np.exp(-np.minimum.outer(0.5 - np.abs(u), 0.5 - np.abs(u)) / log_uniform(rng, (0.02, 0.3)))
    shape = 1.0 + rng.uniform(0.0, 3.0) * wall + rng.uniform(0.0, 1.5) * ring
    level = log_uniform(rng, about.defects.saa_rate) * about.quiet_rate
    return Disturbance("saa", rate=level * shape / shape.mean(), growth_s=log_uniform(rng, about.defects.saa_growth_s))


def particle_shower(rng: np.random.Generator, about: Circumstances) -> Disturbance:
    """Counts of one shower or track inside a moment: a line or a spot on the plane."""
    n = about.pixels
    total = int(log_uniform(rng, about.defects.shower_counts))
    centre, angle = rng.uniform(0, n, 2), rng.uniform(0.0, np.pi)
    length, width = log_uniform(rng, (1.0, 40.0)), log_uniform(rng, (0.5, 4.0))
    along, across = rng.uniform(-length, length, total), rng.normal(0.0, width, total)
    row = np.rint(centre[0] + along * np.sin(angle) + across * np.cos(angle)).astype(int)
    col = np.rint(centre[1] + along * np.cos(angle) - across * np.sin(angle)).astype(int)
    inside = (row >= 0) & (row < n) & (col >= 0) & (col < n)
    counts = np.bincount(row[inside] * n + col[inside], minlength=n * n).reshape(n, n).astype(np.float64)
    at = about.length_s - about.short_s * rng.uniform(0.0, 2.0)
    return Disturbance("particle_shower", counts=counts, at_s=min(at, about.length_s - 1e-3))


DETECTOR_CAUSES: Mapping[str, Callable[[np.random.Generator, Circumstances], Disturbance]] = {
    f.__name__: f for f in (column, xrdpix, sector, heat_pipe, hot_pixel, noisy_pixel, saa, particle_shower)
}
"""Causes that need nothing of the sky."""


def _modules(rng: np.random.Generator, pixels: int, sigma: float) -> Float64:
    gains = rng.normal(0.0, sigma, (pixels // MODULE[0], pixels // MODULE[1]))
    return np.maximum(np.kron(gains, np.ones(MODULE)), -1.0)


def _add_column(rng: np.random.Generator, plane: Float64, excess: float) -> None:
    n = len(plane)
    width = int(rng.choice([1, 1, 2, 4]))
    start = int(rng.integers(n - width + 1))
    stop = n if rng.random() < 0.6 else int(rng.integers(n // 4, n))
    change = -min(excess, 1.0) if rng.random() < 0.3 else excess
    view = plane if rng.random() < 0.5 else plane.T
    view = view if rng.random() < 0.5 else view[::-1]
    view[:stop, start : start + width] += change
    np.maximum(plane, -1.0, out=plane)
