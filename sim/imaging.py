"""From shadowgrams to sky maps: fit of background and known sources, then balanced deconvolution.

With counts D, mask transmission M (rebinned to the detector pitch, so fractional), G+ = M, G- = 1 - M and ``*``
for correlation (Goldwurm & Gros 2023):

    B    = (G+ * 1) / (G- * 1)
    S    = G+ * (D - b) - B (G- * (D - b))
    A    = (G+ M) * 1 - B ((G- M) * 1)              flux = S / A
    V    = G+^2 * D + B^2 (G-^2 * D) - 2 B ((G+ G-) * D)
    SNR  = S / sqrt(V)

The last term of V, the cross term, is often dropped; with a fractional M that makes the SNR 9 % too small. Which
of the two the flight software has is unpublished (``instrument.variance_cross_term``).

Because G- = 1 - M, all of it follows from M * D, M^2 * D and the sums of D over the part of the plane that sees the
mask. All three are linear in D, and so are S and V. Three things follow. The model b (a quadratic and the shadows of
known sources) needs no transform of its own: its share of S is a sum of maps that are the same for all exposures of
a field (:class:`Field`). S and V of a long window or a wide band are sums (:mod:`slewguard.sim.ladder`). And one
forward transform, 80 of whose 200 rows are not zero, serves both inverse ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.instrument import Telescope, sky_spectrum, telescope
from slewguard.sim.settings_instrument import Instrument

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
_ROUNDS = 3


@dataclass(frozen=True)
class SkyMap:
    """One or several deconvolved exposures on the 199x199 grid, indexed [..., z, y]; NaN outside the searched field."""

    snr: Float32
    """Signal-to-noise ratio."""
    variance: Float32
    """V, counts^2, at least 1."""
    balanced: Float32
    """S, counts; not NaN outside, but without meaning."""

    def __getitem__(self, i: int) -> SkyMap:
        return SkyMap(self.snr[i], self.variance[i], self.balanced[i])

    @classmethod
    def of(cls, balanced: Float32, variance: Float32) -> SkyMap:
        """Make the map from S and V."""
        # One count is the smallest variance that means anything; it only binds where nothing was detected.
        floored = np.maximum(variance, np.float32(1.0))
        snr = np.sqrt(floored)
        np.divide(balanced, snr, out=snr)
        return cls(snr, floored, balanced)


class Imager:
    """Deconvolution with everything that does not depend on the counts worked out beforehand.

    Attributes
    ----------
    telescope : Telescope
    coding : float32 array [199, 199]
        Share of the plane that sees the mask from each direction.
    valid : bool array [199, 199]
        The searched field.
    response : float32 array [199, 199]
        A: balanced counts per count of a fully lit pixel.
    """

    def __init__(self, tel: Telescope, min_coding: float) -> None:
        g = tel.geometry
        self.telescope = tel
        self._side = g.sky_side
        self._n = n = g.pixels
        m = tel.transmission
        exact = np.stack([sky_spectrum(k, n, np.float64) for k in (m, m * m)])
        self._grid = exact.shape[1]
        ones = np.ones((n, n))
        m_one, q_one = self._correlate(ones, exact)
        lit = self._window_sums(ones)
        self.coding: Float32 = (lit / n**2).astype(np.float32)
        self.valid: NDArray[np.bool_] = self.coding >= np.float32(min_coding)
        shaded = np.where(self.valid, lit - m_one, 1.0)
        self._balance64 = b = np.where(self.valid, m_one / shaded, 0.0)
        self.response: Float32 = np.where(self.valid, (1.0 + b) * q_one - b * m_one, 1.0).astype(np.float32)
        of_m2, of_m = ((1.0 + b) ** 2, -2.0 * b * (1.0 + b)) if g.variance_cross_term else (1.0 + b**2, -2.0 * b**2)
        self._of_m2, self._of_m = of_m2.astype(np.float32), of_m.astype(np.float32)
        self._of_sum = np.where(self.valid, b**2, np.nan).astype(np.float32)
        self._gain, self._balance = (1.0 + b).astype(np.float32), b.astype(np.float32)
        self._spectra = exact.astype(np.complex64)
        u = (np.arange(n) + 0.5) / n * 2.0 - 1.0
        y, z = np.meshgrid(u, u)
        self.polynomial: Float64 = np.stack([np.ones_like(y), y, z, y * y, y * z, z * z]).reshape(6, -1)
        """The terms of the quadratic background, float64 [6, 6400]."""
        self.flatten: Float64 = np.linalg.inv(self.polynomial @ self.polynomial.T) @ self.polynomial
        """Least-squares coefficients of the quadratic per count, float64 [6, 6400]."""
        bins = g.mask_bins
        self._padded = np.pad(m, n - 1)
        self._inside = np.pad(np.ones((bins, bins)), n - 1)

    def flattened(self, plane: Float64) -> Float64:
        """Return planes [..., 80, 80] less their own quadratic fit: what of them reaches the sky map."""
        d = plane.reshape(*plane.shape[:-2], -1)
        return (d - (d @ self.flatten.T) @ self.polynomial).reshape(plane.shape)

    def balanced(self, planes: NDArray[Any]) -> tuple[Float32, Float32]:
        """S and V of counts from which nothing is subtracted; both are linear in the counts.

        Parameters
        ----------
        planes : array [k, 80, 80]

        Returns
        -------
        balanced, variance : float32 array [k, 199, 199]
            The variance is NaN outside the searched field and has no floor.
        """
        balanced = np.empty((len(planes), self._side, self._side), dtype=np.float32)
        variance = np.empty_like(balanced)
        # One after the other and in place: what belongs to one map stays in the cache.
        for plane, s, v in zip(planes, balanced, variance, strict=True):
            m_d, m2_d = self._correlate(plane.astype(np.float32), self._spectra)
            sums = self._window_sums(plane).astype(np.float32)
            np.multiply(self._of_m2, m2_d, out=v)
            np.multiply(self._of_m, m_d, out=s)
            v += s
            np.multiply(self._of_sum, sums, out=s)
            v += s
            np.multiply(self._gain, m_d, out=s)
            sums *= self._balance
            s -= sums
        return balanced, variance

    def balanced_alone(self, planes: NDArray[Any]) -> Float32:
        """S as of :meth:`balanced`, for planes whose variance is not asked for."""
        balanced = np.empty((len(planes), self._side, self._side), dtype=np.float32)
        for plane, s in zip(planes, balanced, strict=True):
            (m_x,) = self._correlate(plane.astype(np.float32), self._spectra[:1])
            np.multiply(self._gain, m_x, out=s)
            s -= self._balance * self._window_sums(plane).astype(np.float32)
        return balanced

    def sky_maps(self, counts: NDArray[Any], model: NDArray[Any]) -> SkyMap:
        """Deconvolve counts less a model of any shape, with the full variance of the counts.

        For a quadratic and known sources :meth:`Field.sky_maps` is faster.

        Parameters
        ----------
        counts, model : array [k, 80, 80]
        """
        _, variance = self.balanced(counts)
        return SkyMap.of(self.balanced_alone(counts - model), variance)

    def sky_map(self, counts: NDArray[Any], model: NDArray[Any]) -> SkyMap:
        """Deconvolve one exposure, as :meth:`sky_maps`."""
        return self.sky_maps(counts[None], model[None])[0]

    def fit(self, counts: Float64, shadows: Float64, limits: Float64) -> tuple[Float64, Float64]:
        """Fit one exposure of a field that is used only once, as :meth:`Field.fit`.

        Returns
        -------
        background : array [80, 80]
        amplitudes : array [n]
        """
        amplitudes, background = Field(self, shadows).fit(counts[None], limits[None])
        return background[0], amplitudes[0]

    def weights(self, row: int, column: int) -> Float64:
        """Plane by which S at one sky pixel is the sum of counts times weights, float64 [80, 80]."""
        b = float(self._balance64[row, column])
        cut = np.s_[row : row + self._n, column : column + self._n]
        return (1.0 + b) * self._padded[cut] - b * self._inside[cut]

    @cached_property
    def quadratic_maps(self) -> Float32:
        """S of each term of the quadratic, float32 [6, 199 * 199]."""
        return self.balanced_alone(self.polynomial.reshape(6, self._n, self._n)).reshape(6, -1)

    def _correlate(self, plane: NDArray[Any], spectra: NDArray[Any]) -> NDArray[Any]:
        """Correlate a plane with masks, [masks, 199, 199]."""
        from scipy import fft

        rows = fft.rfft(plane, self._grid, axis=1)
        spectrum = fft.fft(rows, self._grid, axis=0, overwrite_x=True)
        products = np.conj(spectrum, out=spectrum) * spectra
        columns = fft.ifft(products, axis=1, overwrite_x=True)
        full: NDArray[Any] = fft.irfft(columns, self._grid, axis=2)
        return full[:, : self._side, : self._side]

    def _window_sums(self, plane: NDArray[Any]) -> Float64:
        """Sum of the plane over the pixels that see the mask from each sky pixel, [199, 199]."""
        strip = _sliding_sums(plane.astype(np.float64), self.telescope.geometry.mask_bins)
        return _sliding_sums(strip.T, self.telescope.geometry.mask_bins).T


class Field:
    """The part of imaging that all exposures of one pointing with the same known sources share.

    Parameters
    ----------
    imager : Imager
    shadows : float64 array [n, 80, 80]
        Shadow of each known source at its catalogue position.
    """

    def __init__(self, imager: Imager, shadows: Float64) -> None:
        self.imager = imager
        self._shadows = shadows.reshape(len(shadows), imager.polynomial.shape[1])
        self._coefficients = self._shadows @ imager.flatten.T
        self._flat = self._shadows - self._coefficients @ imager.polynomial
        self._normal = self._flat @ self._flat.T
        # A source outside the field casts no shadow.
        self._normal[np.diag_indices_from(self._normal)] += 1e-9

    def fit(
        self, counts: NDArray[Any], limits: Float64, seen: NDArray[np.bool_] | None = None
    ) -> tuple[Float64, Float64]:
        """Least-squares fit of a quadratic background and the known sources to shadowgrams.

        Parameters
        ----------
        counts : array [k, 80, 80]
        limits : array [k, n]
            Largest amplitude (counts of a fully lit pixel) that may be subtracted; the smallest is 0.
        seen : bool array [k, n], optional
            Sources that are not behind the Earth; the others are left out.

        Returns
        -------
        amplitudes : float64 array [k, n]
            Within their limits; where a limit binds, the other sources are fitted again, in up to three rounds.
        background : float64 array [k, 80, 80]
            The quadratic fitted to what the sources leave.
        """
        amplitudes = self.solve(self.right_side(counts), limits, seen)
        planes = self.quadratic(counts, amplitudes) @ self.imager.polynomial
        return amplitudes, planes.reshape(counts.shape)

    def right_side(self, counts: NDArray[Any]) -> Float64:
        """Right side of the normal equations of the sources, linear in the counts: [k, 80, 80] to [k, n]."""
        return counts.reshape(len(counts), -1) @ self._flat.T

    def solve(self, right: Float64, limits: Float64, seen: NDArray[np.bool_] | None = None) -> Float64:
        """Amplitudes within their limits from the right side of the normal equations, as :meth:`fit`."""
        top = limits if seen is None else np.where(seen, limits, 0.0)
        free = top > 0.0
        amplitudes = np.zeros(right.shape)
        rows = np.arange(len(right)) if right.shape[1] else np.arange(0)
        for _ in range(_ROUNDS):
            f = free[rows]
            normal = np.where(f[:, :, None] & f[:, None, :], self._normal, 0.0)
            normal[:, *np.diag_indices(normal.shape[1])] += ~f
            fixed = np.where(f, 0.0, amplitudes[rows])
            rest = np.where(f, right[rows] - fixed @ self._normal, fixed)
            found = np.linalg.solve(normal, rest[:, :, None])[:, :, 0]
            kept = np.clip(found, 0.0, top[rows])
            amplitudes[rows] = kept
            free[rows] = f & (kept == found)
            rows = rows[(f & (kept != found)).any(axis=1)]
            if not len(rows):
                break
        return amplitudes

    def quadratic(self, counts: NDArray[Any], amplitudes: Float64) -> Float64:
        """Coefficients of the quadratic fitted to the counts less the sources, float64 [k, 6]."""
        return counts.reshape(len(counts), -1) @ self.imager.flatten.T - amplitudes @ self._coefficients

    def sky_maps(self, counts: NDArray[Any], amplitudes: Float64) -> SkyMap:
        """Deconvolve counts less known sources of given amplitudes and the quadratic fitted to what they leave.

        Parameters
        ----------
        counts : array [k, 80, 80]
        amplitudes : array [k, n]
            Those of :meth:`fit`, or others.

        Returns
        -------
        SkyMap
            With the full variance of the counts; arrays [k, 199, 199].
        """
        balanced, variance = self.imager.balanced(counts)
        return self.subtracted(balanced, variance, amplitudes, self.quadratic(counts, amplitudes))

    def subtracted(self, balanced: Float32, variance: Float32, amplitudes: Float64, quadratic: Float64) -> SkyMap:
        """Finish maps from S and V of counts: take the model from S (not in place), put the floor under V.

        Parameters
        ----------
        balanced, variance : float32 array [k, 199, 199]
        amplitudes : array [k, n]
        quadratic : array [k, 6]
        """
        weights = np.hstack([quadratic, amplitudes]).astype(np.float32)
        model = (weights @ self._maps).reshape(balanced.shape)
        np.subtract(balanced, model, out=model)
        return SkyMap.of(model, variance)

    @cached_property
    def _maps(self) -> Float32:
        n = self.imager.telescope.geometry.pixels
        shadows = self.imager.balanced_alone(self._shadows.reshape(-1, n, n))
        return np.vstack([self.imager.quadratic_maps, shadows.reshape(len(shadows), self.imager.coding.size)])


def _sliding_sums(plane: Float64, bins: int) -> Float64:
    """Sum over the rows that lie behind the mask from each sky row, [n, m] to [bins + n - 1, m]."""
    n = len(plane)
    table = np.cumsum(plane, axis=0)
    sums = np.empty((bins + n - 1, plane.shape[1]))
    # The shadow's edge moves on to the plane row by row, covers it whole, and moves off again.
    np.subtract(table[-1], table[-2::-1], out=sums[: n - 1])
    sums[n - 1 : bins] = table[-1]
    sums[bins:] = table[-2::-1]
    return sums


@lru_cache(maxsize=32)
def imager(geometry: Instrument, mask_seed: int, min_coding: float) -> Imager:
    """Build, or find again, the imager of a mask."""
    return Imager(telescope(geometry, mask_seed), min_coding)
