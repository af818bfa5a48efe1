"""From a sky map to an alert: peak search, adaptive threshold, quality criteria, and the sub-image.

The criteria are those of Hubert & Schanne (Caen 2025): the quality (standard deviation) of the sky map, a first
peak well above the second outside known sources. Their values are unpublished and are configuration keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.imaging import Imager, SkyMap
from slewguard.sim.settings_instrument import Instrument
from slewguard.sim.settings_trigger import Trigger
from slewguard.sim.sources import Sources
from slewguard.subimages.contract import BACKGROUND, CENTRE, KNOWN_SOURCE, NO_DATA, SIDE, TRIGGER_PIXEL

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Criteria:
    """The criteria in force during one event; unpublished, so they are drawn from ranges."""

    exclusion_px: float
    """Radius about known sources in which only an outburst alerts; negative: none."""
    adaptive_cap: float
    """Largest factor by which the map's standard deviation raises the alert threshold."""
    second_peak_ratio: float

    @classmethod
    def draw(cls, rng: np.random.Generator, config: Trigger) -> Criteria:
        """Draw the criteria of an event."""
        return cls(
            float(rng.uniform(*config.exclusion_px)) if rng.random() < config.exclusion_share else -1.0,
            float(rng.uniform(*config.adaptive_cap)),
            float(rng.uniform(*config.second_peak_ratio)),
        )


@dataclass(frozen=True)
class Peak:
    """An alert in one sky map; row and column are those of the peak pixel [z, y]."""

    row: int
    column: int
    snr: float
    """SNR at the peak, in sigma (not divided by the map's standard deviation)."""
    second: float
    """Highest SNR elsewhere, outside known sources."""
    map_std: float
    catalogue_id: int


def find_alert(
    sky: SkyMap,
    imager: Imager,
    sources: Sources,
    seen: NDArray[np.bool_],
    fully_lit: NDArray[np.float64],
    criteria: Criteria,
    config: Trigger,
) -> Peak | None:
    """Return the alert of a sky map, or None where a criterion fails.

    Parameters
    ----------
    sky : SkyMap
        One exposure.
    imager : Imager
    sources : Sources
        Known sources, already subtracted.
    seen : bool array [n]
        Which of them are not behind the Earth throughout.
    fully_lit : float array [n]
        Counts of a fully lit pixel that each source's catalogue flux gives in this exposure.
    criteria : Criteria
    config : Trigger
    """
    snr = sky.snr
    if np.nanmax(snr, initial=-np.inf) < config.alert_threshold:
        return None
    allowed = np.where(imager.valid, snr, -np.inf)
    rows, cols = np.rint(sources.catalogue_z).astype(int), np.rint(sources.catalogue_y).astype(int)
    here = np.flatnonzero(seen & (rows >= 0) & (rows < len(snr)) & (cols >= 0) & (cols < len(snr)))
    for i in here if criteria.exclusion_px >= 0 else []:
        core = _disc(rows[i], cols[i], config.association_px, allowed.shape)
        highest = int(np.argmax(allowed[core]))
        at = core[0][highest], core[1][highest]
        excess = sky.excess[at] * sky.gain[at] / imager.response[at]
        if excess < config.outburst_excess * fully_lit[i]:
            allowed[_disc(rows[i], cols[i], criteria.exclusion_px, allowed.shape)] = -np.inf
    row, col = _highest(allowed, snr, config.alert_threshold)
    top = float(allowed[row, col])
    if top < config.alert_threshold:
        return None
    hidden = _disc(row, col, config.second_peak_px, allowed.shape)
    elsewhere = imager.valid.copy()
    elsewhere[hidden] = False
    map_std = float(snr[elsewhere].std())
    if top < config.alert_threshold * min(max(map_std, 1.0), criteria.adaptive_cap):
        return None
    for i in here:
        allowed[_disc(rows[i], cols[i], 3.0, allowed.shape)] = -np.inf
    allowed[hidden] = -np.inf
    second = float(allowed.max())
    if second > criteria.second_peak_ratio * top:
        return None
    distance = np.hypot(sources.catalogue_z[here] - row, sources.catalogue_y[here] - col)
    near = bool(len(here)) and float(distance.min()) <= config.association_px
    number = int(sources.number[here[int(np.argmin(distance))]]) if near else -1
    return Peak(row, col, top, second, map_std, number)


def cut_sub_image(
    snr: Float32, peak: Peak, sources: Sources, seen: NDArray[np.bool_]
) -> tuple[Float32, NDArray[np.uint8]]:
    """Cut the 56x56 SNR and mask around an alert; [28, 28] is the peak pixel.

    Returns
    -------
    snr : float32 array [56, 56]
        NaN outside the map.
    mask : uint8 array [56, 56]
        Codes of :mod:`slewguard.subimages.contract`; sources behind the Earth are not marked.
    """
    image = np.full((SIDE, SIDE), np.nan, dtype=np.float32)
    top, left = peak.row - CENTRE, peak.column - CENTRE
    rows = slice(max(top, 0), min(top + SIDE, snr.shape[0]))
    cols = slice(max(left, 0), min(left + SIDE, snr.shape[1]))
    image[rows.start - top : rows.stop - top, cols.start - left : cols.stop - left] = snr[rows, cols]
    mask = np.where(np.isnan(image), NO_DATA, BACKGROUND).astype(np.uint8)
    for y, z in zip(sources.catalogue_y[seen], sources.catalogue_z[seen], strict=True):
        row, col = round(float(z)) - top, round(float(y)) - left
        if 0 <= row < SIDE and 0 <= col < SIDE and mask[row, col] == BACKGROUND:
            mask[row, col] = KNOWN_SOURCE
    mask[CENTRE, CENTRE] = TRIGGER_PIXEL
    return image, mask


def sub_pixel(snr: NDArray[np.float32], row: int, column: int) -> tuple[float, float]:
    """Peak position (y, z) in sky pixels from a Gaussian through the peak and its two neighbours on either axis.

    A parabola instead makes R90 x SNR grow from 79 to 101 arcmin between SNR 6 and 31; with the Gaussian it stays
    at 71 to 75 (computed, 300 sources each), near the 77 of the public notices.
    """
    top = float(snr[row, column])

    def logarithm(r: int, c: int) -> float:
        inside = 0 <= r < snr.shape[0] and 0 <= c < snr.shape[1]
        value = float(snr[r, c]) if inside else np.nan
        # No data, or a neighbour in the point spread's minima: far down the flank.
        return float(np.log(max(value, 0.05 * top))) if np.isfinite(value) else float(np.log(0.05 * top))

    def offset(low: float, high: float) -> float:
        curvature = low - 2.0 * float(np.log(top)) + high
        return 0.5 * (low - high) / curvature if curvature < 0 else 0.0

    dy = offset(logarithm(row, column - 1), logarithm(row, column + 1))
    dz = offset(logarithm(row - 1, column), logarithm(row + 1, column))
    return column + dy, row + dz


def r90_arcmin(snr: float, instrument: Instrument) -> float:
    """Radius of the 90 % error circle without the systematic part, arcmin (Goldwurm & Gros 2023).

    sqrt(ln 10 d (m - d / 3)) / (H SNR) with pitch d, mask cell m and distance H: 77 arcmin / SNR, as in the notices.
    """
    d, m = instrument.pitch_mm, instrument.mask_cell_mm
    radians = np.sqrt(np.log(10.0) * d * (m - d / 3.0)) / (instrument.distance_mm * snr)
    return float(np.degrees(radians) * 60.0)


def _disc(row: int, column: int, radius: float, shape: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    i, j = _disc_offsets(radius)
    rows, cols = row + i, column + j
    inside = (rows >= 0) & (rows < shape[0]) & (cols >= 0) & (cols < shape[1])
    return rows[inside], cols[inside]


@lru_cache(maxsize=256)
def _disc_offsets(radius: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    r = int(radius)
    i, j = np.mgrid[-r : r + 1, -r : r + 1]
    kept = i * i + j * j <= radius * radius
    return i[kept], j[kept]


def _highest(allowed: NDArray[np.float32], snr: NDArray[np.float32], threshold: float) -> tuple[int, int]:
    """Highest allowed pixel that is a peak of the map, not the shoulder of an excluded one."""
    while True:
        row, col = (int(i) for i in np.unravel_index(int(np.argmax(allowed)), allowed.shape))
        around = snr[max(row - 1, 0) : row + 2, max(col - 1, 0) : col + 2]
        if allowed[row, col] < threshold or snr[row, col] >= np.nanmax(around):
            return row, col
        allowed[row, col] = -np.inf
