"""The telescope's geometry: mask, shadows of sources on the detector plane, and the pattern of the diffuse sky.

Directions are pixel coordinates of the 199x199 sky grid: ``y = 99 + tan(theta_y) * H / pitch`` and the same for
``z``, so that one sky pixel is one detector pitch on the plane. Arrays are indexed [z, y]. The figures that pin
mask, pitch and distance are the published error radii of the ECLAIRs notices (see
:mod:`slewguard.sim.settings_instrument`).

A plate of thickness t hides more of an oblique beam: a photon passes where both ends of its path through the plate,
``t tan(theta)`` apart, are open. Every wall of a hole therefore casts a strip of that width, half of it on either
side since H is measured to the middle of the plate. Light reaches the plane through the mask alone: the walls of
the telescope are opaque.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.mask import mask_pattern
from slewguard.sim.plane_files import read_efficiency, read_mask
from slewguard.sim.settings_instrument import Instrument

Float64 = NDArray[np.float64]


def overlap(lo: Float64, hi: Float64, edges: Float64) -> Float64:
    """Length of each interval [lo, hi] that lies between each two neighbouring edges.

    Parameters
    ----------
    lo, hi : float64 array [n]
    edges : float64 array [m + 1]
        In ascending order.

    Returns
    -------
    float64 array [n, m]
    """
    below = np.minimum(np.maximum(edges, lo[:, None]), hi[:, None])
    return below[:, 1:] - below[:, :-1]


class Telescope:
    """One mask above the detector plane, with everything that does not depend on the direction worked out.

    Build it with :func:`telescope`.

    Attributes
    ----------
    geometry : Instrument
    pattern : bool array [46, 46]
        Open cells.
    transmission : float64 array [120, 120]
        Mask rebinned to the detector pitch: share of each bin that is open on axis.
    efficiency : float64 array [80, 80]
        Relative efficiency of every pixel: the map where one is given, else 1.
    diffuse : float64 array [80, 80]
        Isotropic sky: cm2 sr seen by each pixel through the holes.
    diffuse_outline : float64 array [80, 80]
        The same if every cell were open; less ``diffuse`` it is what lies behind tantalum.
    """

    def __init__(self, geometry: Instrument, pattern: NDArray[np.bool_], efficiency: Float64 | None = None) -> None:
        g = geometry
        self.geometry = g
        self.pattern = pattern
        self.efficiency = np.ones((g.pixels, g.pixels)) if efficiency is None else efficiency
        self._open = _cells_and_walls(pattern, bars=g.hole_to_cell < 1.0)
        bins = np.arange(g.mask_bins) * g.pitch_mm
        along = overlap(bins, bins + g.pitch_mm, self._edges(0.0))
        self.transmission = along @ self._open @ along.T / g.pitch_mm**2
        offset = np.arange(g.sky_side) - g.sky_side // 2
        self._tangent = offset * g.pitch_mm / g.distance_mm
        r2 = self._tangent[:, None] ** 2 + self._tangent[None, :] ** 2 + 1.0
        # cm2 of the pixel times sr of the sky pixel times the cosines of both.
        solid = (g.active_mm**2 / 100.0) * (g.pitch_mm / g.distance_mm) ** 2 / r2**2
        self._solid, self._single = solid, solid.astype(np.float32)
        steep = float(self._tangent[-1])
        walls = (overlap(bins, bins + g.pitch_mm, self._edges(steep)) - along) / steep
        # The open area is bilinear in the two tangents, so four masks serve for all directions.
        sides = [along, walls] if g.mask_thickness_mm else [along]
        masks = [a @ self._open @ b.T / g.pitch_mm**2 for a in sides for b in sides]
        self._spectra = [sky_spectrum(m, g.pixels, np.float64) for m in masks]
        self._spectra_single = [s.astype(np.complex64) for s in self._spectra]
        through = np.arange(g.pixels)[:, None] + np.arange(g.sky_side) - (g.pixels - 1)
        self._seen = ((through >= 0) & (through < g.mask_bins)).astype(np.float32)
        whole = np.ones_like(solid)
        self.diffuse = self._through_holes(whole * self._solid, self._spectra)
        self.diffuse_outline = self.outline_visible(whole)

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
        along_z, along_y = self._along(z), self._along(y)
        lit: Float64 = along_z @ self._open @ along_y.T
        return lit

    def shadows(self, y: Float64, z: Float64) -> Float64:
        """Shadows of several sources, as :meth:`shadow`: float64 array [n, 80, 80]."""
        n = self.geometry.pixels
        return np.array([self.shadow(*at) for at in zip(y, z, strict=True)]).reshape(-1, n, n)

    def outline(self, y: float, z: float) -> Float64:
        """Share of every pixel's active area that sees a direction through the mask's outline, float64 [80, 80].

        Less :meth:`shadow` it is the share behind tantalum, which passes some of the highest energies.
        """
        g = self.geometry
        edges = np.array([0.0, g.mask_mm])
        along_z, along_y = overlap(*self._active(z), edges), overlap(*self._active(y), edges)
        return along_z @ along_y.T / g.active_mm**2

    def projected_area(self, y: float, z: float) -> float:
        """Area of one pixel seen from the direction (y, z), cm2: active area times the cosine off axis."""
        g = self.geometry
        t = (np.array([y, z]) - g.sky_side // 2) * g.pitch_mm / g.distance_mm
        return float(g.active_mm**2 / 100.0 / np.sqrt(1.0 + t @ t))

    def diffuse_visible(self, visible: NDArray[np.floating[Any]]) -> Float64:
        """Diffuse pattern with part of the sky hidden, or brighter.

        Parameters
        ----------
        visible : array [..., 199, 199]
            Brightness of each direction of the sky grid relative to the isotropic sky; 0 where the Earth hides it.

        Returns
        -------
        float64 array [..., 80, 80]
            As :attr:`diffuse`; single-precision transforms, within 1e-5 of the largest pixel.
        """
        if visible.ndim > 2:
            # One after the other: the transforms of one sky stay in the cache.
            return np.stack([self.diffuse_visible(one) for one in visible])
        return self._through_holes(visible.astype(np.float32) * self._single, self._spectra_single)

    def outline_visible(self, visible: NDArray[np.floating[Any]]) -> Float64:
        """As :meth:`diffuse_visible` if every cell of the mask were open, float64 [..., 80, 80]."""
        return (self._seen @ (visible.astype(np.float32) * self._single) @ self._seen.T).astype(np.float64)

    def _through_holes(self, sky: NDArray[np.floating[Any]], spectra: list[NDArray[Any]]) -> Float64:
        from scipy import fft

        n, grid = self.geometry.pixels, spectra[0].shape[0]
        slope = np.abs(self._tangent).astype(sky.dtype)
        total: NDArray[Any] | None = None
        steepness = [sky, sky * slope, sky * slope[:, None], sky * (slope * slope[:, None])]
        for part, spectrum in zip(steepness[: len(spectra)], spectra, strict=True):
            product = np.conj(fft.rfft2(part, s=(grid, grid))) * spectrum
            total = product if total is None else total + product
        columns = fft.ifft(total, axis=-2, overwrite_x=True)[..., :n, :]
        return fft.irfft(columns, grid, axis=-1)[..., :n].astype(np.float64)

    def _along(self, at: float) -> Float64:
        """Share of the pixels' active side that lies on each cell and wall, seen from a sky coordinate."""
        g = self.geometry
        tangent = (at - g.sky_side // 2) * g.pitch_mm / g.distance_mm
        return overlap(*self._active(at), self._edges(tangent)) / g.active_mm

    def _active(self, at: float) -> tuple[Float64, Float64]:
        g = self.geometry
        shift_px = at - g.sky_side // 2
        centre = (np.arange(g.pixels) + 0.5 - g.pixels / 2 + shift_px) * g.pitch_mm + g.mask_mm / 2
        return centre - g.active_mm / 2, centre + g.active_mm / 2

    def _edges(self, tangent: float) -> Float64:
        """Edges of walls and cells along one axis, mm: wall, cell, wall, ..., wall."""
        g = self.geometry
        half = 0.5 * ((1.0 - g.hole_to_cell) * g.mask_cell_mm + g.mask_thickness_mm * abs(tangent))
        centres = np.arange(g.mask_cells + 1) * g.mask_cell_mm
        return np.column_stack([centres - half, centres + half]).ravel()


def sky_spectrum(mask: Float64, pixels: int, dtype: type[np.floating[Any]]) -> NDArray[Any]:
    """Transform of a mask, laid out so that it correlates planes and skies without wrapping.

    Sky pixel k lights detector pixel d through mask bin d + k - (pixels - 1).

    Parameters
    ----------
    mask : float64 array [120, 120]
    pixels : int
    dtype : float32 or float64

    Returns
    -------
    complex array [200, 101]
    """
    from scipy import fft

    side = fft.next_fast_len(mask.shape[0] + pixels - 1, real=True)
    grid = np.zeros((side, side), dtype=dtype)
    shifted = slice(pixels - 1, pixels - 1 + mask.shape[0])
    grid[shifted, shifted] = mask
    spectrum: NDArray[Any] = fft.rfft2(grid)
    return spectrum


def _cells_and_walls(pattern: NDArray[np.bool_], bars: bool) -> Float64:
    """Openness of every cell, of the walls between them and of their crossings, float64 [2 cells + 1, 2 cells + 1].

    Where two open cells meet there is no wall, unless bars part all cells.
    """
    cells = pattern.shape[0]
    grid = np.zeros((2 * cells + 1, 2 * cells + 1))
    grid[1::2, 1::2] = pattern
    if not bars:
        beside, above = pattern[:, 1:] & pattern[:, :-1], pattern[1:] & pattern[:-1]
        grid[1::2, 2:-1:2] = beside
        grid[2:-1:2, 1::2] = above
        grid[2:-1:2, 2:-1:2] = beside[1:] & beside[:-1]
    return grid


@lru_cache(maxsize=32)
def telescope(geometry: Instrument, mask_seed: int) -> Telescope:
    """Build, or find again, the telescope with the mask of a seed, or of the file where one is given.

    Raises
    ------
    BadInput
        If a file of the configuration cannot be used, or no mask of that kind exists.
    """
    g = geometry
    if g.mask_path is None:
        pattern = mask_pattern(mask_seed, g.mask_cells, g.open_fraction, g.cross_cells)
    else:
        pattern = read_mask(g.mask_path, g.mask_cells)
    return Telescope(g, pattern, read_efficiency(g.efficiency_map_path, g.pixels) if g.efficiency_map_path else None)
