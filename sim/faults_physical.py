"""The same burst with and without a physical fault: what a wrong attitude, catalogue or background does to its alerts.

Causation is by counterfactual. An event is drawn once: sky, detector, criteria and every photon. Then the onboard
software sees those photons twice, as they are and with a fault, in the same windows. A fault acts where it happens:

* ``attitude``: the attitude that the onboard software works with is off, so that all catalogue positions are;
* ``wrong_position``, ``stale_flux``: a strong source of the catalogue is listed at a wrong place, or too faint;
* ``entry_on_burst``: the worst wrong place, where the burst is;
* ``saa_entry``: particles rise on the plane until the trigger is put to sleep, some time after the burst's start.
  Their counts are drawn apart and added.

Amplitudes are those of the same causes in :class:`slewguard.sim.settings_detector.Defects`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.config import SimConfig
from slewguard.sim.countrate import ticks
from slewguard.sim.defects import saa
from slewguard.sim.exposures import Counts, Exposed, Exposer, LightCurve4, Window, draw_light_curve, edges_of
from slewguard.sim.judge import TRUTH_PX
from slewguard.sim.keys import log_uniform
from slewguard.sim.onboard import Alert, asked_windows, watch
from slewguard.sim.population import arcmin_to_px, circumstances, strong_source
from slewguard.sim.scene import Scene, Truth
from slewguard.sim.settings_instrument import Instrument
from slewguard.sim.settings_trigger import TICK_S
from slewguard.sim.skip import worth_imaging
from slewguard.sim.sources import Fault
from slewguard.sim.threads import one_thread
from slewguard.sim.timeline import Begun, EventId, as_sub_image, begin_event, generator
from slewguard.subimages.contract import SubImage

_STREAM = 1 << 62
"""Faults draw from generators of their own, keyed beside the event's (whose counters lie below)."""


@dataclass(frozen=True)
class Seen:
    """The alerts of an event, in order of time, and which of them ask for a slew to the burst."""

    images: list[SubImage]
    asks: NDArray[np.bool_]


@dataclass(frozen=True)
class Counterfactual:
    """An event without a fault and, for each kind, with it; None where the fault has nothing to act on."""

    event_id: EventId
    without: Seen
    under: dict[str, Seen | None]


@dataclass(frozen=True)
class _Case:
    """An event as one watcher has it."""

    scene: Scene
    asleep_from: float = np.inf
    """Ticks: the trigger stands still from then on."""
    extra: Callable[[Sequence[int]], Exposer] | None = None
    """Makes the counts that the fault adds, given all edges."""
    asked: tuple[Window, ...] = ()


@dataclass(frozen=True)
class _Overlaid:
    """Counts of an event with more counts on top."""

    scene: Scene
    base: Exposer
    extra: Exposer | None

    def counts(self, window: Window, atoms: slice) -> Counts:
        drawn = self.base.counts(window, atoms)
        return drawn if self.extra is None else drawn + self.extra.counts(window, atoms)

    def edges_s(self, window: Window) -> list[float]:
        return self.base.edges_s(window)


class _Dark(Scene):
    """A scene on whose plane no photon falls."""

    def photons(self, start_s: float, stop_s: float) -> NDArray[np.float64]:
        g = self.telescope.geometry
        return np.zeros((len(self.mission.cxb_rate), g.pixels, g.pixels))


def counterfactual(
    config: SimConfig, seed: int, event_id: EventId, kinds: Sequence[str] | None = None
) -> Counterfactual | None:
    """Let the onboard software see one event with and without faults.

    Parameters
    ----------
    config : SimConfig
    seed : int
        Seed of the time line.
    event_id : EventId
        Of a new source: cause ``grb`` or ``unknown_source``.
    kinds : sequence of str, optional
        Names of :data:`KINDS`; all of them if left out.

    Returns
    -------
    Counterfactual or None
        None where the event asks for no slew to the burst even without a fault, so that none can be vetoed.
    """
    with one_thread():
        begun = begin_event(config, seed, event_id)
        if begun is None or begun.truth.new is None:
            return None
        quiet = _Case(begun.scene, asked=tuple(begun.asked))
        if not worth_imaging(begun.scene, begun.windows) and not begun.asked:
            return None
        cases: dict[str, _Case | None] = {}
        for name in kinds or KINDS:
            rng = generator(seed, _STREAM + (list(KINDS).index(name) << 56) + event_id.sequence)
            cases[name] = KINDS[name](rng, begun)
        return _watch(begun, event_id, quiet, cases)


def _watch(begun: Begun, event_id: EventId, quiet: _Case, cases: Mapping[str, _Case | None]) -> Counterfactual | None:
    present = [quiet, *(case for case in cases.values() if case is not None)]
    # The same windows for all, so that a fault alone makes a difference.
    images = sorted({w for case in present for w in worth_imaging(case.scene, begun.windows)})
    edges = edges_of([*images, *(w for case in present for w in case.asked)])
    base = Exposer(begun.rng, begun.scene, edges, begun.curves)

    def see(case: _Case) -> Seen:
        exposed: Exposed = _Overlaid(case.scene, base, case.extra(edges) if case.extra else None)
        awake = [w for w in [*images, *case.asked] if w.stop <= case.asleep_from]
        return _seen(watch(exposed, awake), case.scene, event_id.sequence)

    without = see(quiet)
    if not without.asks.any():
        return None
    under = {name: None if case is None else see(case) for name, case in cases.items()}
    return Counterfactual(event_id, without, under)


def _seen(alerts: Sequence[Alert], scene: Scene, sequence: int) -> Seen:
    new = scene.truths[0].new
    assert new is not None
    near = [float(np.hypot(a.position[0] - new.y, a.position[1] - new.z)) <= TRUTH_PX for a in alerts]
    images = [as_sub_image(scene, alert, sequence) for alert in alerts]
    return Seen(images, np.array([i.meta["slew"] == 1 for i in images], dtype=bool) & np.array(near, dtype=bool))


def _misled(begun: Begun, fault: Fault) -> _Case:
    truth = replace(begun.truth, faults=(*begun.truth.faults, fault))
    return _Case(begun.scene.misled([truth], fault.apply(begun.scene.sources)), asked=tuple(begun.asked))


def _attitude(rng: np.random.Generator, begun: Begun) -> _Case | None:
    config = begun.scene.mission.config
    return _misled(begun, Fault("attitude", -1, *_shift(rng, config.defects.attitude_arcmin, config.instrument)))


def _wrong_position(rng: np.random.Generator, begun: Begun) -> _Case | None:
    config, number = begun.scene.mission.config, _strong(rng, begun)
    if number is None:
        return None
    return _misled(
        begun, Fault("stale_catalogue", number, *_shift(rng, config.defects.wrong_arcmin, config.instrument))
    )


def _stale_flux(rng: np.random.Generator, begun: Begun) -> _Case | None:
    number = _strong(rng, begun)
    if number is None:
        return None
    factor = log_uniform(rng, begun.scene.mission.config.defects.stale_factor)
    # In the sky nothing changes: it is the catalogue that holds too little.
    return _misled(begun, Fault("stale_catalogue", number, listed_factor=1.0 / factor))


def _entry_on_burst(rng: np.random.Generator, begun: Begun) -> _Case | None:
    number, new, sources = _strong(rng, begun), begun.truth.new, begun.scene.sources
    if number is None or new is None:
        return None
    i = int(np.flatnonzero(sources.number == number)[0])
    away = new.y - float(sources.catalogue_y[i]), new.z - float(sources.catalogue_z[i])
    return _misled(begun, Fault("stale_catalogue", number, *away))


def _saa_entry(rng: np.random.Generator, begun: Begun) -> _Case | None:
    scene, truth = begun.scene, begun.truth
    edge = truth.start_s + float(rng.uniform(0.0, scene.mission.config.trigger.sequence_s))
    particles = saa(rng, circumstances(scene.mission, edge, edge), edge, True)
    disturbed = replace(truth, disturbances=(*truth.disturbances, particles))
    alone = Truth(truth.sequence, "saa", particles.start_s, edge, disturbances=(particles,))
    dark = _Dark(**{f.name: getattr(scene, f.name) for f in fields(Scene)} | {"truths": (alone,), "ever": ()})
    short = ticks(scene.mission.config.trigger.short_window_s)
    curves = tuple(draw_light_curve(rng, dark, c.first, c.first + len(c.counts), short) for c in begun.curves)
    faulty = replace(scene, truths=(disturbed,), _photons=scene._photons)
    both = [LightCurve4(a.first, a.counts + b.counts) for a, b in zip(begun.curves, curves, strict=True)]
    return _Case(
        faulty,
        np.floor(edge / TICK_S),
        lambda edges: Exposer(rng, dark, list(edges), curves),
        tuple(w for curve in both for w in asked_windows(faulty, curve)),
    )


def _shift(rng: np.random.Generator, arcmin: tuple[float, float], instrument: Instrument) -> tuple[float, float]:
    shift, angle = arcmin_to_px(log_uniform(rng, arcmin), instrument), rng.uniform(0.0, 2.0 * np.pi)
    return shift * float(np.cos(angle)), shift * float(np.sin(angle))


def _strong(rng: np.random.Generator, begun: Begun) -> int | None:
    return strong_source(rng, begun.scene.mission, begun.scene.pointing)


KINDS: Mapping[str, Callable[[np.random.Generator, Begun], _Case | None]] = {
    "attitude": _attitude,
    "wrong_position": _wrong_position,
    "stale_flux": _stale_flux,
    "entry_on_burst": _entry_on_burst,
    "saa_entry": _saa_entry,
}
"""Physical faults by name."""
