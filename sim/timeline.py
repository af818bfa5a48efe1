"""The mission time line: a Poisson process of events per cause, and the labelled alerts of one event.

Only exposures in which an event could alert are simulated (:mod:`slewguard.sim.skip`);
:mod:`slewguard.sim.cadence` leaves none out. An event is drawn whole from its own counter-based generator, so it is
the same in any shard and any order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slewguard.sim.config import SimConfig
from slewguard.sim.countrate import tick_of
from slewguard.sim.exposures import LightCurve4, Window, image_windows
from slewguard.sim.mission import Mission, mission
from slewguard.sim.onboard import Alert, count_rates, observe
from slewguard.sim.pointing import Pointing, to_world
from slewguard.sim.population import draw_truth
from slewguard.sim.scene import Scene, Truth, build_scene
from slewguard.sim.settings_trigger import TICK_S
from slewguard.sim.skip import worth_imaging
from slewguard.sim.threads import one_thread
from slewguard.sim.trigger import cut_sub_image, r90_arcmin
from slewguard.subimages.contract import SubImage

MAX_EVENTS_PER_DAY = 1 << 20
_SHORT_LIVED_S = 300.0
_CRT_SPAN_S = 160.0


@dataclass(frozen=True)
class EventId:
    """Place of an event on the time line."""

    day: int
    number: int
    cause: str

    @property
    def sequence(self) -> int:
        """Number that all alerts of the event share."""
        return self.day * MAX_EVENTS_PER_DAY + self.number


def events(config: SimConfig, days: float, seed: int) -> Iterator[EventId]:
    """Yield the events of a time line in order of day; within a day in random order of cause."""
    for day in range(int(np.ceil(days))):
        rng = generator(seed, day * MAX_EVENTS_PER_DAY + MAX_EVENTS_PER_DAY - 1)
        share = min(days - day, 1.0)
        causes = [
            cause for cause, rate in config.rates.per_day().items() for _ in range(int(rng.poisson(rate * share)))
        ]
        for number, i in enumerate(rng.permutation(len(causes))):
            yield EventId(day, number, causes[i])


@dataclass(frozen=True)
class Simulated:
    """One event as it was simulated, with everything that led to its alerts."""

    event_id: EventId
    truth: Truth
    scene: Scene
    alerts: list[Alert]


def simulate_event(config: SimConfig, seed: int, event_id: EventId, *, skip: bool = True) -> Simulated | None:
    """Simulate one event, or return None where it cannot be seen at all.

    Parameters
    ----------
    config : SimConfig
    seed : int
        Seed of the whole time line; the event's generator is keyed by it and the event's number.
    event_id : EventId
    skip : bool
        Leave out exposures that cannot alert.
    """
    with one_thread():
        return _simulate_event(config, seed, event_id, skip)


def _simulate_event(config: SimConfig, seed: int, event_id: EventId, skip: bool) -> Simulated | None:
    begun = begin_event(config, seed, event_id)
    if begun is None:
        return None
    windows = worth_imaging(begun.scene, begun.windows) if skip else begun.windows
    found = observe(begun.rng, begun.scene, windows + begun.asked, begun.curves)
    return Simulated(event_id, begun.truth, begun.scene, found)


@dataclass(frozen=True)
class Begun:
    """An event of which all is drawn but the counts of its images."""

    rng: np.random.Generator
    """To draw them from."""
    truth: Truth
    scene: Scene
    windows: list[Window]
    """Every image-trigger window while the trigger runs."""
    curves: tuple[LightCurve4, ...]
    """Count rates."""
    asked: list[Window]
    """What they ask to image."""


def begin_event(config: SimConfig, seed: int, event_id: EventId) -> Begun | None:
    """Draw an event up to its images, or return None where it cannot be seen at all."""
    rng = generator(seed, event_id.sequence)
    flight = mission(config, seed)
    truth = draw_truth(rng, flight, event_id.cause, event_id.sequence, event_id.day)
    if truth is None:
        return None
    pointing = flight.pointing(truth.start_s)
    scene = build_scene(rng, flight, pointing, [truth], truth.start_s)
    last = truth.start_s + 2.0 * config.trigger.window_s(config.trigger.image_scales - 1) + config.trigger.sequence_s
    windows = image_windows(config.trigger, truth.start_s, min(truth.stop_s, last))
    windows = awake(flight, pointing, windows)
    curves: list[LightCurve4] = []
    asked: list[Window] = []
    for start, stop in _count_rate_spans(flight, pointing, truth):
        curve, found = count_rates(rng, scene, start, stop)
        curves.append(curve)
        asked += found
    return Begun(rng, truth, scene, windows, tuple(curves), asked)


def alerts(config: SimConfig, seed: int, event_id: EventId) -> list[SubImage]:
    """Simulate one event and return its alerts, labelled by the truth, in order of time.

    Returns
    -------
    list of SubImage
        With every column of the trigger set in ``meta``.
    """
    simulated = simulate_event(config, seed, event_id)
    return [] if simulated is None else sub_images(simulated)


def sub_images(simulated: Simulated) -> list[SubImage]:
    """Cut the sub-images of an event's alerts, in order of time."""
    return [as_sub_image(simulated.scene, alert, simulated.event_id.sequence) for alert in simulated.alerts]


def as_sub_image(scene: Scene, alert: Alert, sequence: int) -> SubImage:
    """Cut an alert's sub-image and fill the columns of the trigger set."""
    config, peak, window = scene.mission.config, alert.peak, alert.window
    image, mask = cut_sub_image(alert.snr, peak, scene.sources, alert.seen)
    y, z = alert.position
    ra, dec = to_world(scene.pointing.attitude, y, z, config.instrument)
    lo, hi = config.trigger.bands_kev[window.band]
    meta: dict[str, Any] = {
        "label": alert.truth.label,
        "cause": alert.truth.cause.encode("ascii"),
        "sequence": sequence,
        "catalogue_id": peak.catalogue_id,
        "peak_snr": peak.snr,
        "second_peak": peak.second,
        "window_s": window.seconds,
        "band_lo_kev": lo,
        "band_hi_kev": hi,
        "sky_y": y,
        "sky_z": z,
        "trigger": window.kind.encode("ascii"),
        "time_s": window.stop * TICK_S,
        "ra_deg": float(ra),
        "dec_deg": float(dec),
        "r90_arcmin": r90_arcmin(peak.snr, config.instrument),
        "map_std": peak.map_std,
        "slew": int(peak.snr >= config.trigger.slew_threshold),
    }
    return SubImage(image, mask, peak.catalogue_id, meta)


def awake(flight: Mission, pointing: Pointing, windows: Sequence[Window]) -> list[Window]:
    """Windows through which the trigger runs: within one pointing and outside the SAA."""
    if not windows:
        return []
    first, last = min(w.start for w in windows) * TICK_S, max(w.stop for w in windows) * TICK_S
    asleep = flight.saa_passages(first, last)
    asleep += [(-np.inf, pointing.start_s), (pointing.stop_s, np.inf)]
    return [w for w in windows if not any(a < w.stop * TICK_S and b > w.start * TICK_S for a, b in asleep)]


def _count_rate_spans(flight: Mission, pointing: Pointing, truth: Truth) -> list[tuple[int, int]]:
    """Stretch of time (ticks) in which the count rates could ask for an image: about the start of what is sudden."""
    trigger = flight.config.trigger
    shower = any(d.counts is not None for d in truth.disturbances)
    sudden = truth.new is not None and truth.stop_s - truth.start_s < _SHORT_LIVED_S
    if not (sudden or shower) or trigger.crt_scales == 0:
        return []
    before = trigger.crt_background_s + trigger.crt_gap_s + trigger.short_window_s
    first = truth.start_s - before
    last = min(truth.stop_s, truth.start_s + _CRT_SPAN_S) + 2.0 * trigger.short_window_s
    # What of it lies in the same pointing and between the same two SAA passages as the start.
    first, last = max(first, pointing.start_s), min(last, pointing.stop_s)
    for entry, leaving in flight.saa_passages(first, last):
        first = max(first, leaving) if leaving <= truth.start_s else first
        last = min(last, entry) if entry >= truth.start_s else last
    return [(tick_of(first) + 1, tick_of(last))] if last - first > trigger.crt_background_s + trigger.crt_gap_s else []


def generator(seed: int, counter: int) -> np.random.Generator:
    """Random numbers of one event: counter-based, keyed by the time line's seed and the event's number."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, counter], dtype=np.uint64)))
