"""Which exposures can be skipped: those in which nothing that happens could come near the alert threshold.

Every part of an event has a pattern on the plane whose highest SNR is worked out once; a window's SNR follows from
its counts. Noise adds to that: an exposure is kept if the prediction lies within ``MARGIN`` of the threshold, which
noise at a given place exceeds in 1 of 740 cases. benchmarks/cadence.py measures what is lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.earth import direction, in_front
from slewguard.sim.exposures import Window
from slewguard.sim.imaging import Imager, imager
from slewguard.sim.population import coding
from slewguard.sim.scene import Scene, Truth
from slewguard.sim.settings_instrument import Instrument
from slewguard.sim.settings_trigger import TICK_S
from slewguard.subimages.contract import TRUE_CAUSES

Float64 = NDArray[np.float64]
MARGIN = 3.0
_HALF_WIDTH_PX = 1.3


def worth_imaging(scene: Scene, windows: Iterable[Window]) -> list[Window]:
    """Return the windows in which the scene's events could alert."""
    forecast = _Forecast(scene)
    threshold = scene.mission.config.trigger.alert_threshold
    predicted = [(w, forecast.sigma(w)) for w in windows]
    kept = [(w, sigma) for w, sigma in predicted if sigma > threshold - MARGIN]
    if not all(_alone(t) for t in scene.truths):
        return [w for w, _ in kept]
    # Of the images of a moment the best is sent; of a point source, one so much weaker is never the best.
    best: dict[int, float] = {}
    for w, sigma in kept:
        best[w.stop] = max(best.get(w.stop, 0.0), sigma)
    return [w for w, sigma in kept if sigma > best[w.stop] - 2.0 * MARGIN]


def _alone(truth: Truth) -> bool:
    """Whether nothing but a new source shines: what disturbs it is foretold from above, so it may not outbid it."""
    disturbed = truth.disturbances or truth.faults or truth.glow is not None
    return truth.cause in TRUE_CAUSES and not disturbed


class _Forecast:
    """Highest SNR that the events of a scene give in a window without noise, or more."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        config = scene.mission.config
        self._imager = imager(config.instrument, scene.mask_seed, config.trigger.min_coding)
        self._noise = _noise_map(config.instrument, scene.mask_seed, config.trigger.min_coding)
        self._bands = scene.mission.response.bands
        self._quiet = np.array([scene.mission.quiet_rate[b].sum() for b in self._bands])
        flat = scene.telescope.diffuse / scene.telescope.diffuse.mean()
        self._patterns: list[list[tuple[Float64 | float, Float64]]] = []
        for truth in scene.truths:
            patterns: list[tuple[Float64 | float, Float64]] = []
            for d in truth.disturbances:
                if d.efficiency is not None:
                    weights = scene.mission.quiet_rate * d.spectrum
                    patterns.append((self._highest(d.efficiency * flat), self._in_bands(weights)))
                elif d.rate is not None:
                    patterns.append((self._highest(d.rate), self._in_bands(d.spectrum)))
                elif d.counts is not None:
                    planes = [d.counts[b].sum(axis=0) for b in self._bands]
                    patterns.append((np.array([self._highest(p) for p in planes]), np.ones(len(planes))))
            self._patterns.append(patterns)
        self._left_behind = [self._leftover(truth) for truth in scene.truths]
        self._shared: dict[tuple[int, int], tuple[float, list[float]]] = {}
        self._point = [self._point_source(truth) for truth in scene.truths]

    def sigma(self, window: Window) -> float:
        """Highest SNR to be expected in a window."""
        start, stop = window.start * TICK_S, window.stop * TICK_S
        counts = 0.0
        key = window.start, window.stop
        if key not in self._shared:
            # The four bands of an exposure have this in common.
            shares = [self._scene.arrived_share(t, start, stop) for t in self._scene.truths]
            self._shared[key] = self._lit(start, stop), shares
        lit, shares = self._shared[key]
        for k, truth in enumerate(self._scene.truths):
            lo, hi = max(start, truth.start_s), min(stop, truth.stop_s)
            if hi <= lo:
                continue
            if truth.glow is not None:
                return np.inf
            for d, (highest, weights) in zip(truth.disturbances, self._patterns[k], strict=True):
                per = float(np.broadcast_to(highest, weights.shape)[window.band] * weights[window.band])
                if d.counts is not None:
                    counts += per
                else:
                    begin, end = max(start, d.start_s), min(stop, d.stop_s)
                    if end > begin:
                        counts += per * (d.effective_s(begin, end) if d.efficiency is None else end - begin)
            counts += self._left_behind[k][window.band] * (stop - start)
            if truth.new is not None:
                counts += self._point[k][window.band] * shares[k]
        quiet = self._quiet[window.band] * (stop - start) * lit
        # No fewer than one count per hundred pixels: below it the SNR is that of single counts.
        return counts / float(np.sqrt(max(quiet, 0.01)))

    def _in_bands(self, atoms: Float64) -> Float64:
        return np.array([atoms[b].sum() for b in self._bands])

    def _highest(self, plane: Float64) -> float:
        """Highest SNR of a plane over a background of one count per pixel."""
        snr = self._imager.excess(self._imager.flattened(plane)[None])[0] / self._noise
        return float(np.abs(snr[self._imager.valid]).max())

    def _point_source(self, truth: Truth) -> Float64:
        if truth.new is None:
            return np.zeros(len(self._bands))
        area = self._scene.telescope.projected_area(truth.new.y, truth.new.z)
        return self._in_bands(truth.new.fluence) * area * self._per_count(truth.new.y, truth.new.z)

    def _per_count(self, y: float, z: float) -> float:
        """SNR per count in a fully lit pixel from a direction, over one count per pixel of background."""
        side = len(self._noise)
        row, col = min(max(round(z), 0), side - 1), min(max(round(y), 0), side - 1)
        if not self._imager.valid[row, col]:
            # Seen by part of the plane only: at most what a searched direction of that coding would give.
            g = self._scene.telescope.geometry
            return float(np.sqrt(coding(g, y, z))) * self._scene.telescope.geometry.pixels * 0.5
        return float(self._imager.response[row, col] / self._imager.gain[row, col] / self._noise[row, col])

    def _leftover(self, truth: Truth) -> Float64:
        """SNR per second that catalogue faults leave of the worst source, over one count/s/pixel, per band."""
        worst = np.zeros(len(self._bands))
        s, most = self._scene.sources, self._scene.mission.config.trigger.max_flux_ratio
        for fault in truth.faults:
            shift = float(np.hypot(fault.dy, fault.dz))
            brighter = max(fault.flux_factor / fault.listed_factor - 1.0, 0.0)
            share = abs(fault.model_error) + min(shift / _HALF_WIDTH_PX, 1.5) + brighter
            for i in np.flatnonzero(fault.concerns(s)):
                area = self._scene.telescope.projected_area(float(s.y[i]), float(s.z[i]))
                height = area * self._per_count(float(s.y[i]), float(s.z[i])) * min(share, most)
                worst = np.maximum(worst, self._in_bands(s.rate[i]) * height)
        return worst

    def _lit(self, start_s: float, stop_s: float) -> float:
        """Share of the background that is left where the Earth hides the sky, roughly."""
        seen = in_front(
            _some_directions(self._scene.telescope.geometry),
            self._scene.earth(start_s, stop_s, max((stop_s - start_s) / 6.0, 5.0)),
            self._scene.mission.earth_radius_deg,
        )
        return max(float(seen.mean()), 0.1)


@lru_cache(maxsize=4)
def _some_directions(geometry: Instrument) -> Float64:
    at = np.linspace(0, geometry.sky_side - 1, 11)
    y, z = np.meshgrid(at, at)
    return direction(geometry, y.ravel(), z.ravel())


@lru_cache(maxsize=32)
def _noise_map(instrument: Instrument, mask_seed: int, min_coding: float) -> NDArray[np.float32]:
    """Square root of V / (1 + B)^2 for one count per pixel of quiet background, float32 [199, 199]."""
    view: Imager = imager(instrument, mask_seed, min_coding)
    flat = view.telescope.diffuse / view.telescope.diffuse.mean()
    noise: NDArray[np.float32] = np.sqrt(view.sky_map(flat, flat).spread)
    return noise
