"""Named features of a sub-image for baselines and causes: what a person would measure on the picture.

They use only what a sub-image holds: the SNR, the mask and the catalogue number of the trigger. Known sources
enter as positions, however the file marks them (:func:`slewguard.export.planes.source_positions`).

Notation: s is the SNR, P = max(s[28, 28], 0.5) the peak, r the distance to the trigger pixel; *far* pixels are
the valid ones with r > 3.5 px, beyond the core of the point-spread function (PSF); std their root mean square, at
least 0.1. No data counts as s = 0 where a formula names a fixed pixel, and is left out of every mean. A feature
for which no pixel is left is 0, a distance to what is not there is :data:`NOWHERE`. All are finite.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from slewguard.export.planes import source_positions
from slewguard.subimages.contract import CENTRE, KNOWN_SOURCE, NO_DATA, SIDE

FEATURES: Mapping[str, str] = {
    "peak_snr": "s[28, 28]",
    "local_std": "root mean square of the far pixels, not bounded below",
    "peak_over_std": "P / std",
    "second_peak": "largest s of far pixels more than 3.5 px from every known source",
    "second_ratio": "second_peak / P",
    "source_peak": "largest |s| of far pixels within 3.5 px of a known source",
    "deepest_minimum": "least s beyond r = 5.5 px, where the PSF's own minima end",
    "column_profile": "largest |z| of a column, z = sum of its far s / (sqrt(their number) std)",
    "row_profile": "the same of a row",
    "trigger_column": "z of the three columns about the trigger pixel together",
    "trigger_row": "the same of the three rows",
    "quadrant_spread": "largest minus least z of the four quadrants about the trigger pixel",
    "source_distance": "px to the nearest known source, 0 where the catalogue number says that it is the trigger",
    "n_sources": "number of known sources in view",
    "associated": "1 with a catalogue number at the trigger, else 0",
    "valid_fraction": "share of pixels with data",
    "edge_distance": "px to the nearest pixel without data",
    "psf_correlation": "Pearson's correlation of s with the PSF over valid pixels with r <= 5.5 px",
    "psf_residual": "root mean square of s - a PSF over the same pixels / std, a by least squares",
    "core_width": "mean s of the four next neighbours / P",
    "core_elongation": "(mean of the two neighbours in the column - mean of the two in the row) / P",
    "core_dipole": "length of the vector of half differences of opposite neighbours at 1 px / P",
    "wing_dipole": "the same, summed over opposite pixels at 2, 3 and 4 px",
    "minima_depth": "mean of the four minima (each the mean of s at 3 and 4 px on a half axis) / P",
    "minima_spread": "largest minus least of the four / P",
    "kurtosis": "excess kurtosis of the far pixels",
    "ring_ratio": "root mean square at 5.5 < r <= 12 px / that beyond",
    "column_correlation_1": "autocorrelation of the far pixels at 1 px along a column: mean of products / std^2",
    "column_correlation_3": "the same at 3 px, the distance of the PSF's minima",
    "row_correlation_1": "the same at 1 px along a row",
    "row_correlation_3": "the same at 3 px along a row",
}
"""Name of each feature, in order, and how it is computed."""

NOWHERE = 40.0
"""Distance to a source or an edge that is not in view, px; the corner of the field is 39.6 px away."""

_CORE, _WINGS, _RING = 3.5, 5.5, 12.0
_CELL = 11.74 / 4.5  # mask cell in sky pixels: the published geometry
_NEIGHBOUR = -0.25  # correlation of neighbouring cells of a self-supporting mask
_CHUNK = 256

_OFFSET = np.arange(SIDE) - CENTRE
_RADIUS = np.hypot(_OFFSET[:, None], _OFFSET[None, :])


def features(snr: NDArray[np.float32], mask: NDArray[np.uint8], catalogue_id: NDArray[np.int32]) -> NDArray[np.float64]:
    """Measure N sub-images that keep the contract.

    Parameters
    ----------
    snr : float32 array [N, 56, 56]
        In sigma.
    mask : uint8 array [N, 56, 56]
    catalogue_id : int32 array [N]

    Returns
    -------
    float64 array [N, F]
        Columns in the order of :data:`FEATURES`, all finite.
    """
    parts = [np.zeros((0, len(FEATURES)))]
    for i in range(0, len(snr), _CHUNK):
        part = slice(i, i + _CHUNK)
        found = _measure(snr[part], mask[part], catalogue_id[part])
        parts.append(np.stack([found[name] for name in FEATURES], axis=1))
    return np.concatenate(parts)


def psf(y: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
    """PSF of balanced decoding with a self-supporting mask: one maximum, four minima on the axes.

    The correlation of the mask with itself, sampled by pixels: triangles as wide as a mask cell, of weight 1 at no
    shift and of the correlation of neighbouring cells at one cell to each side.

    Parameters
    ----------
    y, z : float arrays
        Shift in sky pixels.

    Returns
    -------
    float array
        1 at no shift.
    """

    def value(y: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
        sides = sum(_triangle(y - d * _CELL) * _triangle(z) + _triangle(y) * _triangle(z - d * _CELL) for d in (-1, 1))
        return _triangle(y) * _triangle(z) + _NEIGHBOUR * sides

    return value(y, z) / value(np.zeros(1), np.zeros(1))


def _triangle(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Triangle of half width one cell and height 1, averaged over one pixel."""

    def integral(u: NDArray[np.float64]) -> NDArray[np.float64]:
        u = np.clip(u, -_CELL, _CELL)
        return u - u * np.abs(u) / (2 * _CELL)

    difference: NDArray[np.float64] = integral(x + 0.5) - integral(x - 0.5)
    return difference


_PSF = psf(*np.broadcast_arrays(_OFFSET[:, None].astype(float), _OFFSET[None, :].astype(float)))


def _measure(
    snr: NDArray[np.float32], mask: NDArray[np.uint8], catalogue_id: NDArray[np.int32]
) -> dict[str, NDArray[np.float64]]:
    valid = mask != NO_DATA
    s = np.where(valid, snr, 0.0).astype(np.float64)
    far = valid & (_RADIUS > _CORE)
    local_std = _rms(s, far)
    std, peak = np.maximum(local_std, 0.1), np.maximum(s[:, CENTRE, CENTRE], 0.5)
    found = {"peak_snr": s[:, CENTRE, CENTRE], "local_std": local_std, "peak_over_std": peak / std}
    found |= _sources(s, far, mask, catalogue_id)
    found["second_ratio"] = found["second_peak"] / peak
    found["deepest_minimum"] = _extreme(np.minimum, s, valid & (_RADIUS > _WINGS))
    found |= _profiles(s * far, far, std)
    found["valid_fraction"] = valid.mean(axis=(1, 2))
    found["edge_distance"] = np.where(valid, NOWHERE, _RADIUS).min(axis=(1, 2))
    found |= _shape(s, valid, std, peak)
    found |= _texture(s * far, valid, far, std)
    return found


def _sources(
    s: NDArray[np.float64], far: NDArray[np.bool_], mask: NDArray[np.uint8], catalogue_id: NDArray[np.int32]
) -> dict[str, NDArray[np.float64]]:
    n = len(s)
    near = np.zeros(s.shape, dtype=bool)
    distance, count = np.full(n, NOWHERE), np.zeros(n)
    for i in np.flatnonzero((mask == KNOWN_SOURCE).any(axis=(1, 2)) | (catalogue_id >= 0)):
        # A mark hides no other within one pixel of the trigger, so 3 is the patch that counts the trigger as a source.
        for row, column in source_positions(mask[i], int(catalogue_id[i]), 3):
            away = np.hypot(np.arange(SIDE)[:, None] - row, np.arange(SIDE)[None, :] - column)
            near[i] |= away <= _CORE
            distance[i] = min(distance[i], away[CENTRE, CENTRE])
            count[i] += 1
    return {
        "second_peak": _extreme(np.maximum, s, far & ~near),
        "source_peak": _extreme(np.maximum, np.abs(s), far & near),
        "source_distance": distance,
        "n_sources": count,
        "associated": (catalogue_id >= 0).astype(np.float64),
    }


def _profiles(
    s: NDArray[np.float64], far: NDArray[np.bool_], std: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    def z(total: NDArray[np.float64], n: NDArray[np.int64]) -> NDArray[np.float64]:
        return total / (np.sqrt(np.maximum(n, 1)) * std.reshape(-1, *[1] * (total.ndim - 1)))

    found = {}
    for name, along in (("column", 1), ("row", 2)):
        total, n = s.sum(axis=along), far.sum(axis=along)
        found[f"{name}_profile"] = np.abs(z(total, n)).max(axis=1)
        three = slice(CENTRE - 1, CENTRE + 2)
        found[f"trigger_{name}"] = z(total[:, three].sum(axis=1), n[:, three].sum(axis=1))
    halves = (slice(0, CENTRE), slice(CENTRE + 1, SIDE))
    quadrants = [(a, b) for a in halves for b in halves]
    quarter = np.stack([z(s[:, a, b].sum(axis=(1, 2)), far[:, a, b].sum(axis=(1, 2))) for a, b in quadrants], axis=1)
    found["quadrant_spread"] = np.ptp(quarter, axis=1)
    return found


def _shape(
    s: NDArray[np.float64], valid: NDArray[np.bool_], std: NDArray[np.float64], peak: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    rows, columns = np.nonzero(_RADIUS <= _WINGS)
    core, used, model = s[:, rows, columns], valid[:, rows, columns], _PSF[rows, columns]
    n = used.sum(axis=1)
    amplitude = core @ model / np.maximum(used @ model**2, 1e-9)
    residual = used * (core - amplitude[:, None] * model)
    centred = used * (core - (core.sum(axis=1) / np.maximum(n, 1))[:, None])
    centred_model = used * (model - (used @ model / np.maximum(n, 1))[:, None])
    norm = np.sqrt((centred**2).sum(axis=1) * (centred_model**2).sum(axis=1))

    def arm(step: int) -> NDArray[np.float64]:
        """Pixels at a distance on the four half axes: down, up, right, left."""
        c = CENTRE
        return np.stack([s[:, c + step, c], s[:, c - step, c], s[:, c, c + step], s[:, c, c - step]], axis=1)

    def dipole(arms: NDArray[np.float64]) -> NDArray[np.float64]:
        length: NDArray[np.float64] = np.hypot(arms[:, 0] - arms[:, 1], arms[:, 2] - arms[:, 3]) / 2
        return length

    next_ones = arm(1)
    minima = (arm(3) + arm(4)) / 2
    return {
        "psf_correlation": (centred * centred_model).sum(axis=1) / np.maximum(norm, 1e-9),
        "psf_residual": np.sqrt((residual**2).sum(axis=1) / np.maximum(n, 1)) / std,
        "core_width": next_ones.mean(axis=1) / peak,
        "core_elongation": (next_ones[:, :2].mean(axis=1) - next_ones[:, 2:].mean(axis=1)) / peak,
        "core_dipole": dipole(next_ones) / peak,
        "wing_dipole": dipole(arm(2) + arm(3) + arm(4)) / peak,
        "minima_depth": minima.mean(axis=1) / peak,
        "minima_spread": np.ptp(minima, axis=1) / peak,
    }


def _texture(
    s: NDArray[np.float64], valid: NDArray[np.bool_], far: NDArray[np.bool_], std: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    n = np.maximum(far.sum(axis=(1, 2)), 1)
    u = s / std[:, None, None]
    centred = far * (u - (u.sum(axis=(1, 2)) / n)[:, None, None])
    square = centred**2
    variance = square.sum(axis=(1, 2)) / n
    fourth = np.einsum("nij,nij->n", square, square) / n
    inner, outer = valid & (_RADIUS > _WINGS) & (_RADIUS <= _RING), valid & (_RADIUS > _RING)
    found = {
        "kurtosis": np.where(variance > 0, fourth / np.maximum(variance, 1e-9) ** 2 - 3, 0.0),
        "ring_ratio": _rms(s, inner) / np.maximum(_rms(s, outer), 0.1),
    }
    for lag in (1, 3):
        for name, a, b in (
            ("column", np.s_[:, lag:], np.s_[:, :-lag]),
            ("row", np.s_[:, :, lag:], np.s_[:, :, :-lag]),
        ):
            pairs = np.maximum((far[a] & far[b]).sum(axis=(1, 2)), 1)
            found[f"{name}_correlation_{lag}"] = np.einsum("nij,nij->n", u[a], u[b]) / pairs
    return found


def _rms(s: NDArray[np.float64], where: NDArray[np.bool_]) -> NDArray[np.float64]:
    total = np.einsum("nij,nij->n", s * where, s)
    root: NDArray[np.float64] = np.sqrt(total / np.maximum(where.sum(axis=(1, 2)), 1))
    return root


def _extreme(of: np.ufunc, s: NDArray[np.float64], where: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Largest or least of the pixels chosen, 0 where there are none."""
    start = -np.inf if of is np.maximum else np.inf
    found = of.reduce(np.where(where, s, start), axis=(1, 2))
    return np.where(np.isfinite(found), found, 0.0)
