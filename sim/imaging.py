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
_MALLOC_BLOCK = 31 << 20


@dataclass(frozen=True)
class SkyMap:
    """One or several deconvolved exposures on the 199x199 grid, indexed [..., z, y]; NaN outside the searched field."""

    snr: Float32
    """Signal-to-noise ratio."""
    excess: Float32
    """S / (1 + B), counts."""
    spread: Float32
    """V / (1 + B)^2, counts^2; at least 1 / (1 + B)^2."""
    gain: Float32
    """1 + B, [199, 199]."""

    @cached_property
    def balanced(self) -> Float32:
        """S, counts."""
        return self.gain * self.excess

    @cached_property
    def variance(self) -> Float32:
        """V, counts^2."""
        return self.gain**2 * self.spread

    def __getitem__(self, i: int) -> SkyMap:
        return SkyMap(self.snr[i], self.excess[i], self.spread[i], self.gain)


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
    gain : float32 array [199, 199]
        1 + B.
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
        self._balance = b = np.where(self.valid, m_one / shaded, 0.0)
        self.response: Float32 = np.where(self.valid, (1.0 + b) * q_one - b * m_one, 1.0).astype(np.float32)
        self.gain: Float32 = (1.0 + b).astype(np.float32)
        # One count is the smallest variance that means anything; it only binds where nothing was detected.
        self._floor = (1.0 / (1.0 + b) ** 2).astype(np.float32)
        self._share = np.where(self.valid, b / (1.0 + b), np.nan).astype(np.float32)
        self._cross = None if g.variance_cross_term else (2.0 * b / (1.0 + b) ** 2).astype(np.float32)
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

    def linear(self, counts: NDArray[Any]) -> tuple[Float32, Float32]:
        """S / (1 + B) and V / (1 + B)^2 of counts from which nothing is subtracted; both are linear in the counts.

        Divided so, they need two coefficient maps less and have the same SNR.

        Parameters
        ----------
        counts : array [k, 80, 80]

        Returns
        -------
        excess, spread : float32 array [k, 199, 199]
            NaN outside the searched field; the spread has no floor.
        """
        excess = np.empty((len(counts), self._side, self._side), dtype=np.float32)
        spread = np.empty_like(excess)
        # One after the other and in place: what belongs to one map stays in the cache.
        for plane, s, v in zip(counts, excess, spread, strict=True):
            m_d, m2_d = self._correlate(plane.astype(np.float32), self._spectra)
            np.multiply(self._share, self._window_sums(plane), out=s)
            np.subtract(m_d, s, out=s)
            np.add(m_d, s, out=v)
            v *= self._share
            np.subtract(m2_d, v, out=v)
            if self._cross is not None:
                v += self._cross * (m_d - m2_d)
        return excess, spread

    def excess(self, planes: NDArray[Any]) -> Float32:
        """S / (1 + B) as of :meth:`linear`, for planes whose variance is not asked for."""
        found = np.empty((len(planes), self._side, self._side), dtype=np.float32)
        for plane, s in zip(planes, found, strict=True):
            (m_x,) = self._correlate(plane.astype(np.float32), self._spectra[:1])
            np.multiply(self._share, self._window_sums(plane), out=s)
            np.subtract(m_x, s, out=s)
        return found

    def finish(self, excess: Float32, spread: Float32) -> SkyMap:
        """Make sky maps from S / (1 + B) of a background-subtracted and V / (1 + B)^2 of a whole exposure."""
        floored, snr = np.empty_like(spread), np.empty_like(excess)
        for s, v, f, out in zip(excess, spread, floored, snr, strict=True):
            np.maximum(v, self._floor, out=f)
            np.sqrt(f, out=out)
            np.divide(s, out, out=out)
        return SkyMap(snr, excess, floored, self.gain)

    def sky_maps(self, counts: NDArray[Any], model: NDArray[Any]) -> SkyMap:
        """Deconvolve counts less a model of any shape, with the full variance of the counts.

        For a quadratic and known sources :meth:`Field.sky_maps` is faster.

        Parameters
        ----------
        counts, model : array [k, 80, 80]
        """
        return self.finish(self.excess(counts - model), self.linear(counts)[1])

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
        b = float(self._balance[row, column])
        cut = np.s_[row : row + self._n, column : column + self._n]
        return (1.0 + b) * self._padded[cut] - b * self._inside[cut]

    @cached_property
    def quadratic_maps(self) -> Float32:
        """S / (1 + B) of each term of the quadratic, float32 [6, 199 * 199]."""
        return self.excess(self.polynomial.reshape(6, self._n, self._n)).reshape(6, -1)

    def _correlate(self, plane: NDArray[Any], spectra: NDArray[Any]) -> NDArray[Any]:
        """Correlate a plane with masks, [masks, 199, 199]."""
        from scipy import fft

        rows = fft.rfft(plane, self._grid, axis=1)
        spectrum = fft.fft(rows, self._grid, axis=0, overwrite_x=True)
        products = np.conj(spectrum, out=spectrum) * spectra
        columns = fft.ifft(products, axis=1, overwrite_x=True)
        full: NDArray[Any] = fft.irfft(columns, self._grid, axis=2)
        return full[:, : self._side, : self._side]

    def _window_sums(self, plane: NDArray[Any]) -> Float32:
        """Sum of the plane over the pixels that see the mask from each sky pixel, [199, 199]."""
        bins = self.telescope.geometry.mask_bins
        table = np.cumsum(np.cumsum(plane, axis=0, dtype=np.float64), axis=1)
        columns = np.empty((self._n, self._side))
        _slide(table.T, columns.T, bins)
        sums = np.empty((self._side, self._side), dtype=np.float32)
        _slide(columns, sums, bins)
        return sums


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
        # A source outside the field casts no shadow: the small number keeps its row regular.
        self._normal: Float64 = self._flat @ self._flat.T + 1e-9 * np.eye(len(shadows))

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
        return _rows(counts) @ self._flat.T

    def solve(self, right: Float64, limits: Float64, seen: NDArray[np.bool_] | None = None) -> Float64:
        """Amplitudes within their limits from the right side of the normal equations, as :meth:`fit`."""
        top = limits if seen is None else np.where(seen, limits, 0.0)
        amplitudes = np.zeros(right.shape)
        free: NDArray[np.bool_] = top > 0.0
        rows = np.flatnonzero(free.any(axis=1))
        for _ in range(_ROUNDS):
            if not len(rows):
                break
            now, fixed = free[rows], amplitudes[rows]
            # What is fixed stays as an equation of its own, so that all exposures have matrices of one shape.
            both = now[:, :, None] & now[:, None, :]
            normal = np.where(both, self._normal, (~now)[:, :, None] * np.eye(len(self._normal)))
            rest = np.where(now, right[rows] - np.where(now, 0.0, fixed) @ self._normal, fixed)
            found = np.linalg.solve(normal, rest[:, :, None])[:, :, 0]
            kept = np.clip(found, 0.0, top[rows])
            amplitudes[rows] = kept
            bound = now & (kept != found)
            free[rows] = now & ~bound
            rows = rows[bound.any(axis=1)]
        return amplitudes

    def quadratic(self, counts: NDArray[Any], amplitudes: Float64) -> Float64:
        """Coefficients of the quadratic fitted to the counts less the sources, float64 [k, 6]."""
        return _rows(counts) @ self.imager.flatten.T - amplitudes @ self._coefficients

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
        return self.subtracted(*self.imager.linear(counts), amplitudes, self.quadratic(counts, amplitudes))

    def subtracted(self, excess: Float32, spread: Float32, amplitudes: Float64, quadratic: Float64) -> SkyMap:
        """Take the model from what :meth:`Imager.linear` gave for the counts, and finish the maps.

        Parameters
        ----------
        excess, spread : float32 array [k, 199, 199]
            Left as they are.
        amplitudes : array [k, n]
        quadratic : array [k, 6]
        """
        weights = np.hstack([quadratic, amplitudes]).astype(np.float32)
        rest = (weights @ self._maps).reshape(excess.shape)
        np.subtract(excess, rest, out=rest)
        return self.imager.finish(rest, spread)

    @cached_property
    def _maps(self) -> Float32:
        n = self.imager.telescope.geometry.pixels
        shadows = self.imager.excess(self._shadows.reshape(-1, n, n))
        return np.vstack([self.imager.quadratic_maps, shadows.reshape(len(shadows), self.imager.coding.size)])


def _rows(planes: NDArray[Any]) -> Float64:
    return planes.reshape(len(planes), -1).astype(np.float64, copy=False)


def _slide(table: Float64, sums: NDArray[Any], bins: int) -> None:
    """Write sums over the rows that lie behind the mask from each sky row, from sums over all rows up to each.

    Parameters
    ----------
    table : float64 array [n, m]
    sums : array [bins + n - 1, m]
    bins : int
    """
    n = len(table)
    # The shadow's edge moves on to the plane row by row, covers it whole, and moves off again.
    np.subtract(table[-1], table[-2::-1], out=sums[: n - 1], casting="same_kind")
    sums[n - 1 : bins] = table[-1]
    sums[bins:] = table[-2::-1]


def _keep_freed_memory() -> None:
    """Let the C library keep what it is given back, up to twice this block, instead of returning it to the system.

    glibc raises its threshold to the largest mapped block that was freed (at most 32 MiB). Without it every map is
    written to fresh pages: 1.4 instead of 1.0 ms of processor time (measured). The block is never touched.
    """
    np.empty(_MALLOC_BLOCK, dtype=np.uint8)


@lru_cache(maxsize=32)
def imager(geometry: Instrument, mask_seed: int, min_coding: float) -> Imager:
    """Build, or find again, the imager of a mask."""
    _keep_freed_memory()
    return Imager(telescope(geometry, mask_seed), min_coding)
