"""What runs on board during a scene: count rates, images, alerts, and when a sequence ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.countrate import Excess, find_excesses, quadrants, tick_of, ticks
from slewguard.sim.exposures import Exposed, Exposer, LightCurve4, Window, draw_light_curve, edges_of
from slewguard.sim.imaging import SkyMap
from slewguard.sim.judge import Judged, judge
from slewguard.sim.scene import Scene
from slewguard.sim.settings_trigger import TICK_S
from slewguard.sim.trigger import Peak, find_alert, sub_pixel

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Alert:
    """One alert: its exposure, its peak, and what made it."""

    window: Window
    peak: Peak
    position: tuple[float, float]
    """Fitted position (y, z), sky pixels."""
    shadowgram: Float64
    """Counts, float64 [80, 80]."""
    snr: NDArray[np.float32]
    """SNR map, float32 [199, 199]."""
    seen: NDArray[np.bool_]
    """Known sources that were not behind the Earth throughout, bool [n]."""
    truth: Judged


def count_rates(rng: np.random.Generator, scene: Scene, start: int, stop: int) -> tuple[LightCurve4, list[Window]]:
    """Draw the count rates between two ticks and return them with the windows that the excesses ask to image."""
    curve = draw_light_curve(rng, scene, start, stop, ticks(scene.mission.config.trigger.short_window_s))
    return curve, asked_windows(scene, curve)


def asked_windows(scene: Scene, curve: LightCurve4) -> list[Window]:
    """Windows that the excesses of a light curve ask to image."""
    trigger, start = scene.mission.config.trigger, curve.first
    counts = curve.counts.copy()
    for _, d in scene.disturbances():
        at = tick_of(d.start_s) - start if d.counts is not None else -1
        if d.counts is not None and 0 <= at < len(counts):
            counts[at] += quadrants(d.counts).astype(np.int64)
    banded = np.stack([counts[:, b].sum(axis=1) for b in scene.mission.response.bands], axis=1)
    return [_asked(e, start) for e in find_excesses(banded, trigger, start)]


def _asked(excess: Excess, first: int) -> Window:
    return Window(first + excess.stop, first + excess.start, excess.band, "CRT")


def observe(
    rng: np.random.Generator,
    scene: Scene,
    windows: Sequence[Window],
    light_curves: tuple[LightCurve4, ...] = (),
    *,
    until_sequence_ends: bool = True,
) -> list[Alert]:
    """Expose, image and search windows in order of their ends; of those that end together the best alert is sent.

    Parameters
    ----------
    rng : numpy Generator
    scene : Scene
    windows : sequence of Window
    light_curves : tuple of LightCurve4
        Counts that are already drawn.
    until_sequence_ends : bool
        Stop where the sequence that the first alert opens is over: all alerts are taken as of one event.
    """
    exposer = Exposer(rng, scene, edges_of(windows), light_curves)
    return watch(exposer, windows, until_sequence_ends=until_sequence_ends)


def watch(exposer: Exposed, windows: Sequence[Window], *, until_sequence_ends: bool = True) -> list[Alert]:
    """:func:`observe` of counts that come from elsewhere; every window must lie between edges of ``exposer``."""
    trigger = exposer.scene.mission.config.trigger
    found: list[Alert] = []
    for stop, group in groupby(sorted(windows), key=lambda w: w.stop):
        over = found and stop > found[0].window.stop + ticks(trigger.sequence_s)
        if until_sequence_ends and (over or len(found) >= trigger.sequence_alerts):
            break
        images = image(exposer, list(group))
        if images:
            found.append(_alert(exposer, max(images, key=lambda i: i.peak.snr)))
    return found


@dataclass(frozen=True)
class Image:
    """One imaged exposure in which a peak passed the criteria."""

    window: Window
    peak: Peak
    shadowgram: Float64
    sky: SkyMap
    seen: NDArray[np.bool_]
    amplitudes: Float64
    """Counts of a fully lit pixel that were subtracted for each known source, float64 [n]."""


def image(exposer: Exposed, windows: Sequence[Window]) -> list[Image]:
    """Image and search windows that end together and return those with a peak that passed."""
    scene = exposer.scene
    mission, view = scene.mission, scene.view
    bands = mission.response.bands
    counts = np.stack([exposer.counts(w, bands[w.band]) for w in windows]) * scene.correction
    spans = {w.start: scene.seen_s(w.start * TICK_S, w.stop * TICK_S) for w in windows}
    seconds = np.stack([spans[w.start] for w in windows])
    seen = seconds > 0.0
    listed = np.stack([scene.sources.listed[:, bands[w.band]].sum(axis=1) for w in windows])
    fully_lit = listed * seconds * scene.catalogue_area
    limits = fully_lit * mission.config.trigger.max_flux_ratio
    amplitudes = view.fit(counts, limits, seen)[0] * scene.sources.subtraction
    maps = view.sky_maps(counts, amplitudes)
    found = []
    for i, window in enumerate(windows):
        sky = maps[i]
        peak = find_alert(
            sky, view.imager, scene.sources, seen[i], fully_lit[i], scene.criteria, mission.config.trigger
        )
        if peak is not None:
            found.append(Image(window, peak, counts[i], sky, seen[i], amplitudes[i]))
    return found


def _alert(exposer: Exposed, image: Image) -> Alert:
    scene, window, peak = exposer.scene, image.window, image.peak
    parts = scene.parts(exposer.edges_s(window), scene.mission.response.bands[window.band])
    modelled = scene.catalogue_shadows * image.amplitudes[:, None, None]
    height = float(image.sky.balanced[peak.row, peak.column])
    threshold = scene.mission.config.trigger.alert_threshold
    judged = judge(parts, modelled, peak, height, scene.view.imager, threshold)
    position = sub_pixel(image.sky.snr, peak.row, peak.column)
    return Alert(window, peak, position, image.shadowgram, image.sky.snr, image.seen, judged)
