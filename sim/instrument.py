"""The telescope's geometry: mask, shadows of sources on the detector plane, and the pattern of the diffuse sky.

Directions are pixel coordinates of the 199x199 sky grid: ``y = 99 + tan(theta_y) * H / pitch`` and the same for
``z``, so that one sky pixel is one detector pitch on the plane. Arrays are indexed [z, y]. The figures that pin
mask, pitch and distance are the published error radii of the ECLAIRs notices (see :mod:`slewguard.sim.config`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.config import Instrument
from slewguard.subimages.errors import BadInput

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


@lru_cache(maxsize=32)
def mask_pattern(seed: int, cells: int, open_fraction: float) -> NDArray[np.bool_]:
    """Self-supporting mask pattern: True where a cell is open.

    Cells are visited in random order and opened where at that moment they have at most one open edge neighbour
    and the opaque part, together with an opaque frame, stays 4-connected.

    Parameters
    ----------
    seed : int
        Seed of the visiting order; the flight pattern is unpublished.
    cells : int
        Cells per side.
    open_fraction : float
        Share of open cells at which the generator stops.

    Returns
    -------
    bool array [cells, cells]

    Raises
    ------
    BadInput
        If the fraction cannot be reached within 100 orders.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, 0x6D61736B]))
    wanted = round(open_fraction * cells * cells)
    for _ in range(100):
        pattern = _grow(rng, cells, wanted)
        if int(pattern.sum()) == wanted:
            pattern.setflags(write=False)
            return pattern
    raise BadInput(f"no self-supporting mask with {open_fraction:.0%} open cells found from seed {seed}")


def _grow(rng: np.random.Generator, cells: int, wanted: int) -> NDArray[np.bool_]:
    is_open = np.zeros((cells + 2, cells + 2), dtype=bool)
    count = 0
    for cell in rng.permutation(cells * cells):
        if count == wanted:
            break
        i, j = cell // cells + 1, cell % cells + 1
        neighbours = is_open[i - 1, j] + 0 + is_open[i + 1, j] + is_open[i, j - 1] + is_open[i, j + 1]
        if neighbours <= 1 and _keeps_opaque_connected(is_open, i, j):
            is_open[i, j] = True
            count += 1
    return is_open[1:-1, 1:-1].copy()


def _keeps_opaque_connected(is_open: NDArray[np.bool_], i: int, j: int) -> bool:
    """Whether the opaque edge neighbours of cell (i, j) stay connected without it.

    The 3x3 surroundings settle nearly every case; the whole plate is labelled only where they do not.
    """
    ring = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]
    opaque = [not is_open[i + a, j + b] for a, b in ring]
    arcs = sum(opaque[k] and not opaque[k - 1] for k in range(8))
    if arcs <= 1:
        return True
    from scipy.ndimage import label

    trial = ~is_open
    trial[i, j] = False
    return bool(label(trial)[1] == 1)


def overlap(edges_lo: Float64, edges_hi: Float64, cell: float, n_cells: int) -> Float64:
    """Length of each interval [lo, hi] that lies in each of ``n_cells`` cells of width ``cell`` from 0.

    Returns
    -------
    float64 array [intervals, n_cells]
    """
    lo = np.arange(n_cells) * cell
    return np.clip(np.minimum(edges_hi[:, None], lo + cell) - np.maximum(edges_lo[:, None], lo), 0.0, None)


@dataclass(frozen=True)
class Telescope:
    """Precomputed geometry of one mask; build it with :func:`telescope`."""

    geometry: Instrument
    pattern: NDArray[np.bool_]
    """Open cells, bool [46, 46]."""
    transmission: Float64
    """Mask rebinned to the detector pitch: open share of each bin, float64 [120, 120]."""
    diffuse: Float64
    """Isotropic sky: cm2 sr seen by each pixel through the mask, float64 [80, 80]."""

    def shadow(self, y: float, z: float) -> Float64:
        """Lit share of every pixel's active area for a point source.

        Parameters
        ----------
        y, z : float
            Direction in sky pixels (99 is the axis), not necessarily whole.

        Returns
        -------
        float64 array [80, 80]
            0 where the mask, or the wall outside it, hides the source.
        """
        g = self.geometry
        half = g.sky_side // 2
        along_z = overlap(*self._active(z - half), g.mask_cell_mm, g.mask_cells)
        along_y = overlap(*self._active(y - half), g.mask_cell_mm, g.mask_cells)
        lit: Float64 = along_z @ self.pattern @ along_y.T
        return lit / g.active_mm**2

    def _active(self, shift_px: float) -> tuple[Float64, Float64]:
        g = self.geometry
        centre = (np.arange(g.pixels) + 0.5 - g.pixels / 2 + shift_px) * g.pitch_mm + g.mask_mm / 2
        return centre - g.active_mm / 2, centre + g.active_mm / 2

    def projected_area(self, y: float, z: float) -> float:
        """Area of one pixel seen from the direction (y, z), cm2: active area times the cosine off axis."""
        g = self.geometry
        t = (np.array([y, z]) - g.sky_side // 2) * g.pitch_mm / g.distance_mm
        return float(g.active_mm**2 / 100.0 / np.sqrt(1.0 + t @ t))

    def diffuse_visible(self, visible: Float64) -> Float64:
        """Diffuse pattern with part of the sky hidden.

        Parameters
        ----------
        visible : float64 array [199, 199]
            Seen share of each direction of the sky grid.

        Returns
        -------
        float64 array [80, 80]
            As :attr:`diffuse`.
        """
        from scipy.signal import fftconvolve

        # Sky pixel k lights detector pixel d through mask bin d + k - (pixels - 1).
        kernel = self._diffuse_kernel() * visible
        n = self.geometry.pixels
        full = fftconvolve(self.transmission, kernel[::-1, ::-1], mode="full")
        start = self.geometry.sky_side - n
        return full[start : start + n, start : start + n]

    def _diffuse_kernel(self) -> Float64:
        g = self.geometry
        offset = (np.arange(g.sky_side) - g.sky_side // 2) * g.pitch_mm
        r2 = offset[:, None] ** 2 + offset[None, :] ** 2 + g.distance_mm**2
        area_cm2 = g.active_mm**2 / 100.0
        kernel: Float64 = area_cm2 * g.distance_mm**2 * g.pitch_mm**2 / r2**2
        return kernel


@lru_cache(maxsize=32)
def telescope(geometry: Instrument, mask_seed: int) -> Telescope:
    """Build, or find again, the telescope with the mask of a seed."""
    pattern = mask_pattern(mask_seed, geometry.mask_cells, geometry.open_fraction)
    edges = np.arange(geometry.mask_bins) * geometry.pitch_mm
    along = overlap(edges, edges + geometry.pitch_mm, geometry.mask_cell_mm, geometry.mask_cells)
    transmission = along @ pattern @ along.T / geometry.pitch_mm**2
    bare = Telescope(geometry, pattern, transmission, np.zeros(0))
    diffuse = bare.diffuse_visible(np.ones((geometry.sky_side, geometry.sky_side)))
    return Telescope(geometry, pattern, transmission, diffuse)
