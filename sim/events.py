"""One event of the time line: its field, what shines in it, what disturbs the detector, and its exposures.

An event is drawn whole from its own counter-based generator, so it is the same in any shard and any order. Every
part of it is a plane of expected counts; the photons of the short exposures are part of the long one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.config import SimConfig
from slewguard.sim.defects import DETECTOR_CAUSES, Circumstances, Disturbance, always
from slewguard.sim.earth import Limb, draw_limb, time_steps
from slewguard.sim.instrument import Telescope, telescope
from slewguard.sim.sky import (
    CATALOGUE_SIZE,
    KnownSource,
    NewSource,
    arcmin_to_px,
    crab_flux,
    cxb_flux,
    draw_burst_fluence,
    draw_field,
    draw_position,
    log_uniform,
)
from slewguard.sim.trigger import Criteria
from slewguard.subimages.contract import TRUE_CAUSES

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Exposure:
    """Counts of one window and the planes of expected counts that made them (the truth)."""

    start_s: float
    stop_s: float
    counts: Float64
    signal: Float64
    """Expected counts of the new source or outburst."""
    known_s: Float64
    """Seconds for which each known source is not behind the Earth, float64 [n]."""
    artefacts: tuple[tuple[str, Float64], ...]
    """Cause and counts of every disturbance: expected, or drawn where they came at one instant."""


@dataclass(frozen=True)
class Event:
    """Everything that is true of one event."""

    cause: str
    mask_seed: int
    telescope: Telescope
    known: tuple[KnownSource, ...]
    subtraction: Float64
    """Factor by which the onboard model gets each known source's flux wrong."""
    new: NewSource | None
    disturbances: tuple[Disturbance, ...]
    criteria: Criteria
    true_shadows: Float64
    """Counts/s per pixel of every known source, float64 [n, 80, 80]."""
    catalogue_shadows: Float64
    """Lit share per pixel at the catalogue positions, float64 [n, 80, 80]."""


def draw_event(rng: np.random.Generator, config: SimConfig, cause: str) -> Event:
    """Draw an event of a cause: field, mask, new source and disturbances."""
    sky, trigger = config.sky, config.trigger
    mask_seed = int(rng.choice(config.instrument.mask_seeds))
    tel = telescope(config.instrument, mask_seed)
    known = draw_field(rng, sky, config.instrument, trigger, config.defects.position_arcmin)
    about = _circumstances(config, tel)
    disturbances = always(rng, about)
    # Two more than the field holds: an outburst and a disturbance may each add a source.
    subtraction = 1.0 + rng.normal(0.0, log_uniform(rng, config.defects.flux_error), len(known) + 2)
    criteria = Criteria.draw(rng, trigger)
    new = None
    if cause in TRUE_CAUSES:
        if cause == "outburst":
            known = known or [_bright(rng, config, (0.02, 0.5))]
            new = _draw_outburst(rng, config, known)
        else:
            new = _draw_new(rng, config, cause, known)
        if rng.random() < sky.disturbed_share:
            extra = str(rng.choice([*DETECTOR_CAUSES, "earth_limb", "residual"]))
            known, more = _disturb(rng, config, tel, about, extra, known, subtraction)
            disturbances += more
    else:
        known, more = _disturb(rng, config, tel, about, cause, known, subtraction)
        disturbances += more
    n = tel.geometry.pixels
    per_crab = crab_flux(*trigger.band_kev) * tel.geometry.efficiency
    true = [tel.shadow(s.y, s.z) * tel.projected_area(s.y, s.z) * s.flux * per_crab for s in known]
    listed = [tel.shadow(s.catalogue_y, s.catalogue_z) for s in known]
    return Event(
        cause,
        mask_seed,
        tel,
        tuple(known),
        subtraction[: len(known)],
        new,
        tuple(disturbances),
        criteria,
        np.array(true).reshape(-1, n, n),
        np.array(listed).reshape(-1, n, n),
    )


def expose(rng: np.random.Generator, event: Event, config: SimConfig) -> list[Exposure]:
    """Draw the event's exposures: its one or two telling short windows, then the long one that holds them."""
    tel, trigger = event.telescope, config.trigger
    quiet = quiet_rate(config, tel)
    source = np.zeros_like(quiet)
    if event.new is not None:
        area = tel.projected_area(event.new.y, event.new.z) * tel.geometry.efficiency
        source = tel.shadow(event.new.y, event.new.z) * area * event.new.fluence
    length = trigger.short_window_s * trigger.long_factor
    exposures: list[Exposure] = []
    total, told = np.zeros_like(quiet), np.zeros_like(quiet)
    for start, stop in [*_short_windows(event, config), (0.0, length)]:
        signal = source * visible_fraction(event, start, stop, config)
        edges = time_steps(start, stop, trigger.short_window_s)
        known_s = np.array([_visible(event, s.y, s.z, edges, length).mean() for s in event.known]) * (stop - start)
        photons = quiet * (stop - start) + np.tensordot(known_s, event.true_shadows, axes=1) + signal
        planes = [d.expected(photons, start, stop, length) for d in event.disturbances]
        arrived = [d.arrived(start, stop) for d in event.disturbances]
        expected = np.maximum(photons + np.sum(planes, axis=0), 0.0)
        if stop - start < length:
            drawn = rng.poisson(expected).astype(np.float64)
            total += drawn
            told += expected
        else:
            drawn = total + rng.poisson(np.maximum(expected - told, 0.0))
        artefacts = tuple(
            (d.cause, plane + more) for d, plane, more in zip(event.disturbances, planes, arrived, strict=True)
        )
        exposures.append(Exposure(start, stop, drawn + sum(arrived), signal, known_s, artefacts))
    return exposures


def visible_fraction(event: Event, start_s: float, stop_s: float, config: SimConfig) -> float:
    """Share of the new source's fluence that arrives in a window while the Earth does not hide the source."""
    if event.new is None:
        return 0.0
    short = config.trigger.short_window_s
    edges = time_steps(start_s, stop_s, short)
    visible = _visible(event, event.new.y, event.new.z, edges, short * config.trigger.long_factor)
    share = [event.new.fraction(a, b) for a, b in pairwise(edges)]
    return float(visible @ np.array(share))


def _visible(event: Event, y: float, z: float, edges_s: Float64, end_s: float) -> Float64:
    """1 in the time steps at whose middle a direction is not behind the Earth, else 0."""
    middle = 0.5 * (edges_s[1:] + edges_s[:-1])
    visible = np.ones_like(middle)
    for d in event.disturbances:
        if isinstance(d, Limb):
            visible *= d.visible(y, z, middle, end_s)
    return visible


def quiet_rate(config: SimConfig, tel: Telescope) -> Float64:
    """Expected counts/s of CXB and particles in every pixel, float64 [80, 80]."""
    lo, hi = config.trigger.band_kev
    cxb = tel.diffuse * cxb_flux(lo, hi) * tel.geometry.efficiency
    return cxb + config.sky.particles_per_kev * (hi - lo)


def _circumstances(config: SimConfig, tel: Telescope) -> Circumstances:
    short = config.trigger.short_window_s
    return Circumstances(
        config.defects,
        tel.geometry.pixels,
        float(quiet_rate(config, tel).mean()),
        short * config.trigger.long_factor,
        short,
    )


def _short_windows(event: Event, config: SimConfig) -> list[tuple[float, float]]:
    short, n = config.trigger.short_window_s, config.trigger.long_factor
    windows = [(i * short, (i + 1) * short) for i in range(n)]
    if event.new is not None:
        share = [visible_fraction(event, *w, config) for w in windows]
        return [windows[i] for i in sorted(np.argsort(share, kind="stable")[-2:])]
    arrivals = [d.at_s for d in event.disturbances if d.counts is not None]
    return [w for w in windows if w[0] <= arrivals[0] < w[1]] if arrivals else windows[-1:]


def _draw_new(rng: np.random.Generator, config: SimConfig, cause: str, known: Sequence[KnownSource]) -> NewSource:
    sky, trigger, instrument = config.sky, config.trigger, config.instrument
    y, z = draw_position(rng, instrument, trigger.min_coding)
    if known and rng.random() < sky.near_known_share:
        anchor = known[int(rng.integers(len(known)))]
        angle, distance = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(2.0, 10.0)
        edge = instrument.sky_side - 1
        y = float(np.clip(anchor.y + distance * np.cos(angle), 0, edge))
        z = float(np.clip(anchor.z + distance * np.sin(angle), 0, edge))
    onset = float(rng.uniform(1.0, 0.5 * trigger.long_factor) * trigger.short_window_s)
    if cause == "grb":
        duration, fluence = draw_burst_fluence(rng, sky, trigger.band_kev)
        return NewSource(cause, y, z, fluence, onset, duration, pulsed=True)
    duration = log_uniform(rng, sky.new_source_s)
    fluence = log_uniform(rng, sky.new_source_crab) * crab_flux(*trigger.band_kev) * duration
    return NewSource(cause, y, z, fluence, onset, duration, pulsed=bool(duration < 100.0))


def _draw_outburst(rng: np.random.Generator, config: SimConfig, known: Sequence[KnownSource]) -> NewSource:
    source = known[int(rng.integers(len(known)))]
    factor = log_uniform(rng, config.sky.outburst_factor)
    extra = min((factor - 1.0) * source.catalogue_flux, config.sky.flux_max_crab)
    duration = log_uniform(rng, config.sky.new_source_s)
    onset = float(rng.uniform(0.0, 0.5 * config.trigger.long_factor) * config.trigger.short_window_s)
    fluence = extra * crab_flux(*config.trigger.band_kev) * duration
    return NewSource("outburst", source.y, source.z, fluence, onset, duration, pulsed=bool(duration < 100.0))


def _bright(
    rng: np.random.Generator,
    config: SimConfig,
    crab: tuple[float, float],
    beside: Sequence[KnownSource] = (),
) -> KnownSource:
    y, z = draw_position(rng, config.instrument, config.trigger.min_coding)
    flux = log_uniform(rng, crab)
    free = np.setdiff1d(np.arange(1, CATALOGUE_SIZE + 1), [s.number for s in beside])
    return KnownSource(int(rng.choice(free)), y, z, flux, y, z, flux)


def _disturb(
    rng: np.random.Generator,
    config: SimConfig,
    tel: Telescope,
    about: Circumstances,
    cause: str,
    known: Sequence[KnownSource],
    subtraction: Float64,
) -> tuple[list[KnownSource], list[Disturbance]]:
    """Let a cause act: on the catalogue of the field, or as a disturbance of the plane."""
    sources, defects = list(known), config.defects
    if cause in DETECTOR_CAUSES:
        return sources, [DETECTOR_CAUSES[cause](rng, about)]
    if cause == "earth_limb":
        limb = draw_limb(rng, tel, cxb_flux(*config.trigger.band_kev), about.short_s, defects.limb_brightness)
        return sources, [limb]
    if cause == "edge_source":
        return sources, [_edge_source(rng, config, tel)]
    bright = 12.0 if cause != "coding_noise" else config.sky.flux_max_crab / defects.stale_factor[1]
    if not any(s.flux > 0.4 for s in sources):
        # A field without a strong source has nothing to subtract badly.
        sources.append(_bright(rng, config, (0.4, bright), sources))
    worst = int(np.argmax([s.flux for s in sources]))
    s = sources[worst]
    if cause == "residual":
        error, angle = log_uniform(rng, defects.residual_arcmin), rng.uniform(0.0, 2.0 * np.pi)
        shift = arcmin_to_px(error, config.instrument)
        sources[worst] = replace(s, catalogue_y=s.y + shift * np.cos(angle), catalogue_z=s.z + shift * np.sin(angle))
        subtraction[worst] += log_uniform(rng, defects.residual_flux) * rng.choice([-1.0, 1.0])
    elif cause == "coding_noise":
        sources[worst] = replace(s, flux=s.catalogue_flux * log_uniform(rng, defects.stale_factor))
    else:  # attitude: the whole catalogue is displaced
        error, angle = log_uniform(rng, defects.attitude_arcmin), rng.uniform(0.0, 2.0 * np.pi)
        shift = arcmin_to_px(error, config.instrument)
        dy, dz = shift * np.cos(angle), shift * np.sin(angle)
        sources = [replace(q, catalogue_y=q.y + dy, catalogue_z=q.z + dz) for q in sources]
    return sources, []


def _edge_source(rng: np.random.Generator, config: SimConfig, tel: Telescope) -> Disturbance:
    """A bright source that lights a corner or rim of the plane from beyond the searched field."""
    g = tel.geometry
    half = (g.mask_bins + g.pixels) / 2.0
    while True:
        y, z = rng.uniform(-0.5, g.sky_side - 0.5, 2)
        lit = np.clip(half - np.abs(np.array([y, z]) - g.sky_side // 2), 0.0, g.pixels).prod() / g.pixels**2
        if 0.005 < lit < config.trigger.min_coding:
            break
    rate = log_uniform(rng, config.defects.edge_crab) * crab_flux(*config.trigger.band_kev) * g.efficiency
    return Disturbance("edge_source", rate=tel.shadow(y, z) * tel.projected_area(y, z) * rate)
