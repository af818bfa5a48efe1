"""From a shadowgram to a sky map: fit of background and known sources, then balanced deconvolution.

With counts D, mask transmission M (rebinned to the detector pitch, so fractional), G+ = M, G- = 1 - M and ``*``
for correlation (Goldwurm & Gros 2023):

    B    = (G+ * 1) / (G- * 1)
    S    = G+ * (D - b) - B (G- * (D - b))
    A    = (G+ M) * 1 - B ((G- M) * 1)              flux = S / A
    V    = G+^2 * D + B^2 (G-^2 * D) - 2 B ((G+ G-) * D)
    SNR  = S / sqrt(V)

The last term of V is often dropped; with a fractional M that makes the SNR 9 % too small. Because G- = 1 - M,
everything follows from three correlations (M * (D - b), M * D, M^2 * D) and sums of D over windows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.instrument import Telescope, telescope
from slewguard.sim.settings_instrument import Instrument

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class SkyMap:
    """One deconvolved exposure on the 199x199 grid, indexed [z, y]."""

    snr: Float32
    """Signal-to-noise ratio, NaN outside the searched field."""
    variance: Float32
    """V, counts^2."""
    balanced: Float32
    """S, counts."""


class Imager:
    """Deconvolution with everything that does not depend on the counts worked out beforehand."""

    def __init__(self, tel: Telescope, min_coding: float) -> None:
        from scipy import fft

        g = tel.geometry
        self.telescope = tel
        self._side = g.sky_side
        self._n = g.pixels
        self._grid = fft.next_fast_len(g.sky_side, real=True)
        m = tel.transmission
        self._kernels = np.stack([self._transform(m), self._transform(m * m)])
        ones = np.ones((self._n, self._n))
        m_one, q_one = (self._correlate(ones, k).astype(np.float64) for k in self._kernels)
        lit = self._window_sums(ones).astype(np.float64)
        self.coding: Float32 = (lit / self._n**2).astype(np.float32)
        self.valid: NDArray[np.bool_] = self.coding >= min_coding
        shaded = np.where(self.valid, lit - m_one, 1.0)
        balance = np.where(self.valid, m_one / shaded, 0.0)
        self.balance: Float32 = balance.astype(np.float32)
        self._b1 = (1.0 + balance).astype(np.float32)
        self._v_m2 = ((1.0 + balance) ** 2).astype(np.float32)
        self._v_m = (-2.0 * balance * (1.0 + balance)).astype(np.float32)
        self._v_1 = (balance**2).astype(np.float32)
        self.response: Float32 = np.where(self.valid, (1.0 + balance) * q_one - balance * m_one, 1.0).astype(np.float32)
        """A: balanced counts per count of a fully lit pixel."""
        self._unseen = np.where(self.valid, 0.0, np.nan).astype(np.float32)
        u = (np.arange(self._n) + 0.5) / self._n * 2.0 - 1.0
        y, z = np.meshgrid(u, u)
        self._polynomial = np.stack([np.ones_like(y), y, z, y * y, y * z, z * z]).reshape(6, -1)
        inverse = np.linalg.inv(self._polynomial @ self._polynomial.T)
        self._flatten = inverse @ self._polynomial

    def fit(self, counts: Float64, shadows: Float64, limits: Float64) -> tuple[Float64, Float64]:
        """Least-squares fit of a quadratic background and known sources to a shadowgram.

        Parameters
        ----------
        counts : array [80, 80]
        shadows : array [n, 80, 80]
            Shadow of each known source at its catalogue position.
        limits : array [n]
            Largest amplitude (counts of a fully lit pixel) that may be subtracted; the smallest is 0.

        Returns
        -------
        background : array [80, 80]
            The quadratic.
        amplitudes : array [n]
            One per source, within its limits; where a limit binds, the rest is fitted again.
        """
        d = counts.reshape(-1)
        n = len(shadows)
        basis = np.vstack([self._polynomial, shadows.reshape(n, d.size)])
        normal, right = basis @ basis.T, basis @ d
        normal[np.diag_indices_from(normal)] += 1e-9  # a source outside the field casts no shadow
        amplitudes = np.zeros(n)
        free = np.ones(n + 6, dtype=bool)
        for _ in range(3):
            fixed = ~free[6:]
            rest = right[free] - normal[np.ix_(free, ~free)] @ amplitudes[fixed]
            found = np.linalg.solve(normal[np.ix_(free, free)], rest)[6:]
            kept = np.clip(found, 0.0, limits[~fixed])
            amplitudes[~fixed] = kept
            if np.array_equal(kept, found):
                break
            free[6:][~fixed] = kept == found
        remainder = d - amplitudes @ shadows.reshape(n, d.size)
        background = (self._flatten @ remainder) @ self._polynomial
        return background.reshape(counts.shape), amplitudes

    def flattened(self, plane: Float64) -> Float64:
        """Return the plane less its own quadratic fit: what of it reaches the sky map."""
        d = plane.reshape(-1)
        return (d - (self._flatten @ d) @ self._polynomial).reshape(plane.shape)

    def sky_map(self, counts: Float64, model: Float64) -> SkyMap:
        """Deconvolve counts less a model of background and known sources, with the full variance of the counts.

        Parameters
        ----------
        counts, model : array [80, 80]
        """
        from scipy import fft

        d = counts.astype(np.float32)
        x = (counts - model).astype(np.float32)
        shape = (self._grid, self._grid)
        of_x, of_d = np.conj(fft.rfft2(np.stack([x, d]), s=shape))
        m, m2 = self._kernels
        products = np.stack([of_x * m, of_d * m, of_d * m2])
        maps = fft.irfft2(products, s=shape, overwrite_x=True)
        m_x, m_d, m2_d = maps[:, : self._side, : self._side]
        # In place: fresh arrays of this size cost more in page faults than the arithmetic in them.
        balanced = self._b1 * m_x
        term = self._window_sums(x)
        term *= self.balance
        balanced -= term
        variance = self._v_m2 * m2_d
        variance += np.multiply(self._v_m, m_d, out=term)
        variance += np.multiply(self._v_1, self._window_sums(d), out=term)
        # One count is the smallest variance that means anything; it only binds where nothing was detected.
        np.maximum(variance, np.float32(1.0), out=variance)
        snr = balanced / np.sqrt(variance, out=term)
        snr += self._unseen
        return SkyMap(snr, variance, balanced)

    def weights(self, row: int, column: int) -> Float64:
        """Plane by which S at one sky pixel is the sum of counts times weights, float64 [80, 80]."""
        n, side = self._n, self._side
        padded = np.zeros((side + n - 1, side + n - 1))
        inside = np.zeros_like(padded)
        bins = self.telescope.geometry.mask_bins
        padded[n - 1 : n - 1 + bins, n - 1 : n - 1 + bins] = self.telescope.transmission
        inside[n - 1 : n - 1 + bins, n - 1 : n - 1 + bins] = 1.0
        b = float(self.balance[row, column])
        cut = np.s_[row : row + n, column : column + n]
        return (1.0 + b) * padded[cut] - b * inside[cut]

    def _transform(self, mask: Float64) -> Any:
        from scipy import fft

        # Sky pixel k sees detector pixel d through mask bin d + k - (n - 1).
        grid = np.zeros((self._grid, self._grid), dtype=np.float32)
        shift = np.arange(mask.shape[0]) + self._n - 1
        grid[np.ix_(shift % self._grid, shift % self._grid)] = mask
        return fft.rfft2(grid)

    def _correlate(self, plane: Float64, kernel: Any) -> Float32:
        from scipy import fft

        shape = (self._grid, self._grid)
        spectrum = np.conj(fft.rfft2(plane.astype(np.float32), s=shape)) * kernel
        full: Float32 = fft.irfft2(spectrum, s=shape)[: self._side, : self._side]
        return full

    def _window_sums(self, plane: NDArray[Any]) -> Float32:
        """Sum of the plane over the pixels that see the mask from each sky pixel, [199, 199]."""
        strip = _sliding_sums(plane.astype(np.float64), self.telescope.geometry.mask_bins)
        sums: Float32 = _sliding_sums(strip.T, self.telescope.geometry.mask_bins).T.astype(np.float32)
        return sums


def _sliding_sums(plane: Float64, bins: int) -> Float64:
    """Sum over the rows that lie behind the mask from each sky row, [n, m] to [bins + n - 1, m]."""
    n = len(plane)
    table = np.cumsum(plane, axis=0)
    # The shadow's edge moves on to the plane row by row, covers it whole, and moves off again.
    entering = table[-1] - np.vstack([table[-2::-1], np.zeros_like(table[:1])])
    whole = np.broadcast_to(table[-1], (bins - n, table.shape[1]))
    return np.vstack([entering, whole, table[-2::-1]])


@lru_cache(maxsize=32)
def imager(geometry: Instrument, mask_seed: int, min_coding: float) -> Imager:
    """Build, or find again, the imager of a mask."""
    return Imager(telescope(geometry, mask_seed), min_coding)


class Field:
    def __init__(self, imager, shadows):
        self.imager = imager; self.shadows = shadows
    def fit(self, counts, limits):
        return np.stack([self.imager.fit(c, self.shadows, l)[1] for c, l in zip(counts, limits)])
    def model(self, amplitudes):
        return np.tensordot(amplitudes, self.shadows, axes=1)


def _flat(self, plane):
    d = plane.reshape(-1, 6400)
    return (d - (d @ self._flatten.T) @ self._polynomial).reshape(plane.shape)
Imager.flattened = _flat
def _sky_maps(self, counts, model):
    m = [self.sky_map(c, b) for c, b in zip(counts, model)]
    return SkyMap(*(np.stack([getattr(x, n) for x in m]) for n in ("snr", "variance", "balanced")))
Imager.sky_maps = _sky_maps
Imager.balanced = lambda self, plane: self.sky_map(np.ones_like(plane), np.ones_like(plane) - plane).balanced
