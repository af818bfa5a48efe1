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

from slewguard.sim.keys import log_uniform
from slewguard.sim.settings_detector import Defects

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
    spectrum : float64 array [atoms]
        Weight of each energy interval: of the efficiency change, or of the rate (1 in all over the interval in which
        the rate is given).
    start_s, stop_s : float
        When it acts, mission time.
    efficiency : float64 array [80, 80], optional
        Relative change of the detected photons where the weight is 1.
    rate : float64 array [80, 80], optional
        Extra counts/s where the weight is 1; at ``peak_s`` where it grows or decays.
    growth_s : float
        e-folding time with which the rate falls off away from ``peak_s``; infinite where it is steady.
    peak_s : float
    counts : float64 array [atoms, 80, 80], optional
        Counts, already drawn, that arrive at ``start_s``.
    """

    cause: str
    spectrum: Float64
    start_s: float
    stop_s: float
    efficiency: Float64 | None = None
    rate: Float64 | None = None
    growth_s: float = np.inf
    peak_s: float = 0.0
    counts: Float64 | None = None

    def expected(self, photons: Float64, start_s: float, stop_s: float) -> Float64 | float:
        """Counts that this cause adds to a stretch of time on average, without those that are already drawn.

        Parameters
        ----------
        photons : array [atoms, 80, 80]
            Photons that the undisturbed plane would detect in that time.
        start_s, stop_s : float
        """
        lo, hi = max(start_s, self.start_s), min(stop_s, self.stop_s)
        if hi <= lo:
            return 0.0
        if self.efficiency is not None:
            return photons * (self.spectrum[:, None, None] * self.efficiency) * ((hi - lo) / (stop_s - start_s))
        if self.rate is not None:
            return self.spectrum[:, None, None] * (self.rate * self.effective_s(lo, hi))
        return 0.0

    def arrived(self, start_s: float, stop_s: float) -> Float64 | float:
        """Counts, already drawn, that this cause adds to a stretch of time: ``counts`` or 0."""
        return self.counts if self.counts is not None and start_s <= self.start_s < stop_s else 0.0

    def effective_s(self, start_s: float, stop_s: float) -> float:
        """Seconds at the full rate that are worth a stretch of time within which the disturbance acts."""
        if np.isinf(self.growth_s):
            return stop_s - start_s
        before, after = (abs(t - self.peak_s) / self.growth_s for t in (start_s, stop_s))
        return float(self.growth_s * abs(np.exp(-before) - np.exp(-after)))


@dataclass(frozen=True)
class Circumstances:
    """What a cause may need to know of the event."""

    defects: Defects
    pixels: int
    atoms_kev: tuple[tuple[float, float], ...]
    first_band: slice
    """Atoms of the band in which amplitudes of noise are given."""
    quiet_rate: float
    """Mean counts/s of a quiet pixel in that band."""
    quiet_total: float
    """The same in all bands."""
    start_s: float
    stop_s: float
    """When a detector episode acts."""


def ever(rng: np.random.Generator, about: Circumstances) -> list[Disturbance]:
    """Draw the scatter that is there at all times, under true sources as well: pixels, modules, a mild column."""
    n = about.pixels
    pixel = np.maximum(rng.normal(0.0, log_uniform(rng, about.defects.ever_pixel_scatter), (n, n)), -1.0)
    module = _modules(rng, n, log_uniform(rng, about.defects.ever_module_scatter))
    line = np.zeros((n, n))
    _add_column(rng, line, log_uniform(rng, about.defects.ever_column))
    slope = _fall(rng, about)
    return [
        Disturbance(cause, slope, -np.inf, np.inf, efficiency=plane)
        for cause, plane in (("noisy_pixel", pixel), ("xrdpix", module), ("column", line))
    ]


def _fall(rng: np.random.Generator, about: Circumstances) -> Float64:
    """Weights of an efficiency error: 1 in the lowest energy interval, less in each next one."""
    weights: Float64 = rng.uniform(*about.defects.efficiency_fall) ** np.arange(len(about.atoms_kev))
    return weights


def _noise(rng: np.random.Generator, about: Circumstances) -> Float64:
    """Weights of electronic noise that falls off exponentially with energy, 1 in all over the first band."""
    fold = log_uniform(rng, about.defects.noise_fold_kev)
    lo, hi = np.array(about.atoms_kev).T
    weights = np.exp(-lo / fold) - np.exp(-hi / fold)
    scaled: Float64 = weights / weights[about.first_band].sum()
    return scaled


def _flat(about: Circumstances) -> Float64:
    """Weights of particles: flat in energy, 1 in all over all intervals."""
    lo, hi = np.array(about.atoms_kev).T
    weights: Float64 = (hi - lo) / (hi - lo).sum()
    return weights


def column(rng: np.random.Generator, about: Circumstances) -> Disturbance:
    """One or two strips of one to four lines of pixels, whole or in part, that count too much or too little."""
    plane = np.zeros((about.pixels, about.pixels))
    for _ in range(int(rng.integers(1, 3))):
        _add_column(rng, plane, log_uniform(rng, about.defects.column_excess))
    return _episode("column", _fall(rng, about), about, efficiency=plane)


def xrdpix(rng: np.random.Generator, about: Circumstances) -> Disturbance:
    """Modules of unequal efficiency: all of them, or a few that are off by much."""
    n, excess = about.pixels, log_uniform(rng, about.defects.module_excess)
    if rng.random() < 0.5:
        return _episode("xrdpix", _fall(rng, about), about, efficiency=_modules(rng, n, excess))
    plane = _modules(rng, n, 3.0 * excess)
    few = rng.random((n // MODULE[0], n // MODULE[1])) < rng.integers(1, 9) / 200.0
    return _episode("xrdpix", _fall(rng, about), about, efficiency=plane * np.kron(few, np.ones(MODULE)))


def sector(rng: np.random.Generator, about: Circumstances) -> Disturbance:
    """One readout sector of wrong efficiency or dead time."""
    plane = np.zeros((about.pixels, about.pixels))
    row = int(rng.integers(about.pixels // SECTOR[0])) * SECTOR[0]
    col = int(rng.integers(about.pixels // SECTOR[1])) * SECTOR[1]
    excess = log_uniform(rng, about.defects.sector_excess) * rng.choice([-1.0, 1.0])
    plane[row : row + SECTOR[0], col : col + SECTOR[1]] = excess
    return _episode("sector", _fall(rng, about), about, efficiency=plane)


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
    return _episode("heat_pipe", _noise(rng, about), about, rate=plane * excess * about.quiet_rate)


def hot_pixel(rng: np.random.Generator, about: Circumstances) -> Disturbance:
    """One to three pixels with a very high rate, not yet masked on board."""
    plane = np.zeros((about.pixels, about.pixels))
    for _ in range(int(rng.integers(1, 4))):
        row, col = rng.integers(about.pixels, size=2)
        plane[row, col] = log_uniform(rng, about.defects.hot_excess) * about.quiet_rate
    return _episode("hot_pixel", _noise(rng, about), about, rate=plane)


def noisy_pixel(rng: np.random.Generator, about: Circumstances) -> Disturbance:
    """Some tens of noisy pixels, strewn or gathered in one place."""
    n = about.pixels
    plane = np.zeros((n, n))
    count = int(rng.integers(5, 80))
    spread = log_uniform(rng, (2.0, 40.0))
    where = np.clip(np.rint(rng.uniform(0, n, 2) + rng.normal(0.0, spread, (count, 2))), 0, n - 1).astype(int)
    plane[where[:, 0], where[:, 1]] = log_uniform(rng, about.defects.noisy_excess) * rng.exponential(1.0, count)
    return _episode("noisy_pixel", _noise(rng, about), about, rate=plane * about.quiet_rate)


def saa(rng: np.random.Generator, about: Circumstances, edge_s: float, entry: bool) -> Disturbance:
    """Particles at the edge of a passage through the South Atlantic Anomaly, shielded unevenly by the side walls.

    Parameters
    ----------
    rng : numpy Generator
    about : Circumstances
    edge_s : float
        Time of entry or exit.
    entry : bool
        True: the rate grows until then; False: it decays from then on.
    """
    n = about.pixels
    angle = rng.uniform(0.0, 2.0 * np.pi)
    u = (np.arange(n) + 0.5) / n - 0.5
    depth = np.cos(angle) * u[None, :] + np.sin(angle) * u[:, None]
    depth = depth - depth.min()
    wall = np.exp(-depth / log_uniform(rng, (0.02, 0.5)))
    ring = np.exp(-np.minimum.outer(0.5 - np.abs(u), 0.5 - np.abs(u)) / log_uniform(rng, (0.02, 0.3)))
    shape = 1.0 + rng.uniform(0.0, 3.0) * wall + rng.uniform(0.0, 1.5) * ring
    rate = log_uniform(rng, about.defects.saa_rate) * about.quiet_total * shape / shape.mean()
    growth = log_uniform(rng, about.defects.saa_growth_s)
    start, stop = (edge_s - 5.0 * growth, edge_s) if entry else (edge_s, edge_s + 5.0 * growth)
    return Disturbance("saa", _flat(about), start, stop, rate=rate, growth_s=growth, peak_s=edge_s)


def particle_shower(rng: np.random.Generator, about: Circumstances) -> Disturbance:
    """Counts of one shower or track inside a moment: a line or a spot on the plane."""
    n, atoms = about.pixels, len(about.atoms_kev)
    total = int(log_uniform(rng, about.defects.shower_counts))
    centre, angle = rng.uniform(0, n, 2), rng.uniform(0.0, np.pi)
    length, width = log_uniform(rng, (1.0, 40.0)), log_uniform(rng, (0.5, 4.0))
    along, across = rng.uniform(-length, length, total), rng.normal(0.0, width, total)
    row = np.rint(centre[0] + along * np.sin(angle) + across * np.cos(angle)).astype(int)
    col = np.rint(centre[1] + along * np.cos(angle) - across * np.sin(angle)).astype(int)
    inside = (row >= 0) & (row < n) & (col >= 0) & (col < n)
    atom = rng.choice(atoms, size=total, p=_flat(about))
    cell = (atom * n * n + row * n + col)[inside]
    counts = np.bincount(cell, minlength=atoms * n * n).reshape(atoms, n, n).astype(np.float64)
    return Disturbance("particle_shower", _flat(about), about.start_s, about.start_s + 0.01, counts=counts)


DETECTOR_CAUSES: Mapping[str, Callable[[np.random.Generator, Circumstances], Disturbance]] = {
    f.__name__: f for f in (column, xrdpix, sector, heat_pipe, hot_pixel, noisy_pixel, particle_shower)
}
"""Causes that need nothing of the sky and the orbit."""


def _episode(
    cause: str,
    spectrum: Float64,
    about: Circumstances,
    *,
    efficiency: Float64 | None = None,
    rate: Float64 | None = None,
) -> Disturbance:
    return Disturbance(cause, spectrum, about.start_s, about.stop_s, efficiency=efficiency, rate=rate)


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
