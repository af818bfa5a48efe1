"""What an event is made of: drawn from its own random numbers, given where the telescope points at that time.

Each cause has one function that turns an event into a :class:`slewguard.sim.scene.Truth`, or into None where it
cannot be seen: no source in the field that could be subtracted badly, no limb in view, the SAA, the Earth before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.bursts import Transient, draw_burst, draw_outburst, draw_unknown
from slewguard.sim.catalogue import draw_fluxes
from slewguard.sim.defects import DETECTOR_CAUSES, Circumstances, Disturbance, ever, saa
from slewguard.sim.earth import Glow, direction, in_front, reaches_field, steps
from slewguard.sim.keys import log_uniform
from slewguard.sim.lightcurve import Steady
from slewguard.sim.mission import Mission
from slewguard.sim.pointing import Pointing
from slewguard.sim.scene import NewSource, Truth
from slewguard.sim.settings_instrument import Instrument
from slewguard.sim.sources import Fault, Sources
from slewguard.subimages.contract import TRUE_CAUSES

Float64 = NDArray[np.float64]
DAY_S = 86400.0
_LONGEST_S = 1310.72
_STRONG_CRAB = 0.1
"""Sources fainter than this leave no residual that alerts."""


def draw_truth(rng: np.random.Generator, mission: Mission, cause: str, sequence: int, day: int) -> Truth | None:
    """Draw an event of a cause that begins on a day of the time line."""
    draw = _SPECIAL.get(cause, _draw_detector if cause in DETECTOR_CAUSES else _draw_fault)
    truth = draw(rng, mission, cause, sequence, day)
    if truth is None or bool(mission.in_saa(np.array([truth.start_s]))[0]):
        return None
    if cause in TRUE_CAUSES and rng.random() < mission.config.bursts.disturbed_share:
        truth = _disturb(rng, mission, truth)
    return truth


def _time_of_day(rng: np.random.Generator, day: int) -> float:
    return (day + float(rng.random())) * DAY_S


def _draw_new(rng: np.random.Generator, mission: Mission, cause: str, sequence: int, day: int) -> Truth | None:
    start = _time_of_day(rng, day)
    pointing = mission.pointing(start)
    config = mission.config
    y, z = draw_position(rng, config.instrument, config.trigger.min_coding)
    if cause == "grb":
        drawn = draw_burst(rng, config.bursts, mission.response)
    else:
        drawn = draw_unknown(rng, config.bursts, mission.response)
        field = mission.field(pointing)
        if len(field) and rng.random() < config.bursts.near_known_share:
            i = int(rng.integers(len(field)))
            angle, away = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(2.0, 10.0)
            y, z = float(field.y[i] + away * np.cos(angle)), float(field.z[i] + away * np.sin(angle))
    return _appear(rng, mission, pointing, cause, sequence, start, drawn, (y, z))


def _draw_outburst(rng: np.random.Generator, mission: Mission, cause: str, sequence: int, day: int) -> Truth | None:
    start = _time_of_day(rng, day)
    pointing = mission.pointing(start)
    field = mission.field(pointing)
    inside = np.flatnonzero(coding(mission.config.instrument, field.y, field.z) > mission.config.trigger.min_coding)
    if not len(inside):
        return None
    # Transients burst more often than persistent sources; by how much is in the catalogue.
    weight = 0.02 + field.outburst_share[inside]
    i = int(rng.choice(inside, p=weight / weight.sum()))
    rate = mission.rates(field.flux_crab[i : i + 1])[0]
    drawn = draw_outburst(rng, rate, mission.config.bursts, mission.response)
    return _appear(rng, mission, pointing, cause, sequence, start, drawn, (float(field.y[i]), float(field.z[i])))


def _appear(
    rng: np.random.Generator,
    mission: Mission,
    pointing: Pointing,
    cause: str,
    sequence: int,
    start: float,
    drawn: Transient,
    where: tuple[float, float],
) -> Truth | None:
    """Let a transient begin at a time, unless the Earth hides it throughout."""
    curve = drawn.light_curve(rng, start, mission.config.bursts)
    first, last = curve.active_s
    last = min(last, first + _LONGEST_S + mission.config.trigger.sequence_s)
    earth = mission.earth_in_body(pointing, steps(first, last, 20.0))
    seen = in_front(direction(mission.config.instrument, *where)[None], earth, mission.earth_radius_deg)
    if not seen.any():
        return None
    return Truth(sequence, cause, first, last, new=NewSource(cause, *where, drawn.fluence, curve))


def _draw_detector(rng: np.random.Generator, mission: Mission, cause: str, sequence: int, day: int) -> Truth | None:
    start = _time_of_day(rng, day)
    stop = start + (0.01 if cause == "particle_shower" else log_uniform(rng, mission.config.defects.episode_s))
    disturbance = DETECTOR_CAUSES[cause](rng, circumstances(mission, start, stop))
    return Truth(sequence, cause, start, stop, disturbances=(disturbance,))


def _draw_saa(rng: np.random.Generator, mission: Mission, cause: str, sequence: int, day: int) -> Truth | None:
    passages = mission.saa_passages(day * DAY_S, (day + 1) * DAY_S)
    if not passages:
        return None
    entry, leaving = passages[int(rng.integers(len(passages)))]
    at_entry = bool(rng.random() < 0.5)
    edge = entry if at_entry else leaving
    disturbance = saa(rng, circumstances(mission, edge, edge), edge, at_entry)
    start = max(disturbance.start_s, edge - 2 * _LONGEST_S) if at_entry else edge + 0.01
    return Truth(sequence, cause, start, min(disturbance.stop_s, start + 2 * _LONGEST_S), disturbances=(disturbance,))


def _draw_limb(rng: np.random.Generator, mission: Mission, cause: str, sequence: int, day: int) -> Truth | None:
    instrument = mission.config.instrument
    for _ in range(20):
        start = _time_of_day(rng, day)
        earth = mission.earth_in_body(mission.pointing(start), np.array([start]))
        outside = not reaches_field(instrument, -earth, 180.0 - mission.earth_radius_deg)
        if reaches_field(instrument, earth, mission.earth_radius_deg) and not outside:
            length = log_uniform(rng, mission.config.defects.limb_s)
            glow = _glow(rng, mission, earth[0], start, start + length)
            return Truth(sequence, cause, start, start + length, glow=glow)
    return None


def _glow(rng: np.random.Generator, mission: Mission, earth: Float64, start: float, stop: float) -> Glow:
    # The part of the limb that faces the axis is the one in the field.
    towards_axis = float(np.arctan2(-earth[2], -earth[1]))
    return Glow(
        start,
        stop,
        log_uniform(rng, mission.config.defects.limb_brightness),
        towards_axis + float(rng.uniform(-0.8, 0.8)),
        log_uniform(rng, mission.config.defects.limb_width_rad),
    )


def _draw_fault(rng: np.random.Generator, mission: Mission, cause: str, sequence: int, day: int) -> Truth | None:
    start = _time_of_day(rng, day)
    stop = start + log_uniform(rng, mission.config.defects.episode_s)
    fault = _fault(rng, mission, mission.pointing(start), cause)
    return None if fault is None else Truth(sequence, cause, start, stop, faults=(fault,))


def _fault(rng: np.random.Generator, mission: Mission, pointing: Pointing, cause: str) -> Fault | None:
    defects, instrument = mission.config.defects, mission.config.instrument
    number = strong_source(rng, mission, pointing)
    if number is None:
        return None
    angle = rng.uniform(0.0, 2.0 * np.pi)

    def shifted(ends: tuple[float, float]) -> tuple[float, float]:
        shift = arcmin_to_px(log_uniform(rng, ends), instrument)
        return shift * float(np.cos(angle)), shift * float(np.sin(angle))

    if cause == "attitude":
        return Fault(cause, -1, *shifted(defects.attitude_arcmin))
    if cause == "residual":
        error = log_uniform(rng, defects.residual_flux) * float(rng.choice([-1.0, 1.0]))
        return Fault(cause, number, *shifted(defects.residual_arcmin), model_error=error)
    if rng.random() < defects.wrong_share:
        return Fault(cause, number, *shifted(defects.wrong_arcmin))
    return Fault(cause, number, flux_factor=log_uniform(rng, defects.stale_factor))


def strong_source(rng: np.random.Generator, mission: Mission, pointing: Pointing) -> int | None:
    """Draw the catalogue number of a source in the searched field that could leave a residual, if there is one."""
    field = mission.field(pointing)
    seen = coding(mission.config.instrument, field.y, field.z) > mission.config.trigger.min_coding
    strong = np.flatnonzero(seen & (field.flux_crab[:, 0] > _STRONG_CRAB))
    if not len(strong):
        return None
    # The brighter a source, the sooner its error shows.
    weight = field.flux_crab[strong, 0]
    return int(field.number[rng.choice(strong, p=weight / weight.sum())])


def _draw_edge(rng: np.random.Generator, mission: Mission, cause: str, sequence: int, day: int) -> Truth | None:
    """Draw a bright source outside the searched field that still lights a corner or rim of the plane."""
    start = _time_of_day(rng, day)
    stop = start + log_uniform(rng, mission.config.defects.episode_s)
    g = mission.config.instrument
    while True:
        y, z = rng.uniform(-0.5, g.sky_side - 0.5, 2)
        if 0.005 < coding(g, y, z) < mission.config.trigger.min_coding:
            break
    fluence = log_uniform(rng, mission.config.defects.edge_crab) * mission.crab_rate * (stop - start)
    new = NewSource(cause, float(y), float(z), fluence, Steady(start, stop))
    return Truth(sequence, cause, start, stop, new=new)


_SPECIAL: dict[str, Callable[[np.random.Generator, Mission, str, int, int], Truth | None]] = {
    "grb": _draw_new,
    "unknown_source": _draw_new,
    "outburst": _draw_outburst,
    "saa": _draw_saa,
    "earth_limb": _draw_limb,
    "edge_source": _draw_edge,
}


def _disturb(rng: np.random.Generator, mission: Mission, truth: Truth) -> Truth:
    """Let something else go wrong while a new source shines."""
    extra = str(rng.choice([*DETECTOR_CAUSES, "earth_limb", "residual"]))
    start = truth.start_s - float(rng.uniform(0.0, 600.0))
    stop = truth.start_s + log_uniform(rng, mission.config.defects.episode_s)
    if extra in DETECTOR_CAUSES:
        at = truth.start_s if extra == "particle_shower" else start
        about = circumstances(mission, at + float(rng.uniform(0.0, 20.0)), stop)
        return replace(truth, disturbances=(*truth.disturbances, DETECTOR_CAUSES[extra](rng, about)))
    pointing = mission.pointing(truth.start_s)
    if extra == "residual":
        fault = _fault(rng, mission, pointing, "residual")
        return truth if fault is None else replace(truth, faults=(fault,))
    earth = mission.earth_in_body(pointing, np.array([truth.start_s]))
    if not reaches_field(mission.config.instrument, earth, mission.earth_radius_deg):
        return truth
    return replace(truth, glow=_glow(rng, mission, earth[0], truth.start_s, stop))


def draw_sources(rng: np.random.Generator, mission: Mission, pointing: Pointing) -> Sources:
    """Draw the true fluxes of a field's catalogue sources and the small errors that are always there.

    A source's errors are capped so that its residual stays below ``defects.ever_cap_sigma`` in the longest window,
    and its flux below what the trigger subtracts: a trigger that alerted in every window on its brightest sources
    would have been corrected. Larger ones are events.
    """
    config, field = mission.config, mission.field(pointing)
    n = len(field)
    listed = mission.rates(field.flux_crab)
    ratio = np.divide(
        draw_fluxes(rng, field, config.catalogue)[:, 0], field.flux_crab[:, 0], out=np.ones(n), where=listed[:, 0] > 0
    )
    ratio = np.minimum(ratio, 0.95 * config.trigger.max_flux_ratio)
    seconds = config.trigger.window_s(config.trigger.image_scales - 1)
    brightest = _brightest_sigma(mission, listed, seconds)
    cap = config.defects.ever_cap_sigma / np.maximum(brightest, 1e-9)
    error = rng.normal(0.0, log_uniform(rng, config.defects.ever_flux_error), n)
    shift = rng.normal(
        0.0, arcmin_to_px(log_uniform(rng, config.defects.ever_position_arcmin), config.instrument), (2, n)
    )
    # A shift by one pixel leaves about the whole peak as a dipole (the PSF's half width is 1.3 pixels).
    dy, dz = np.clip(shift, -cap, cap)
    return Sources(
        field.number,
        field.y,
        field.z,
        field.y + dy,
        field.z + dz,
        listed * ratio[:, None],
        listed,
        1.0 + np.clip(error, -cap, cap),
    )


def _brightest_sigma(mission: Mission, listed: Float64, seconds: float) -> Float64:
    """SNR of sources, fully coded, in the longest window and their best band, float64 [n]."""
    instrument = mission.config.instrument
    half_open = 0.5 * instrument.pixels * instrument.active_mm / 10.0 * np.sqrt(seconds)
    best = np.zeros(len(listed))
    for band in mission.response.bands:
        background = mission.quiet_rate[band].sum() / (instrument.active_mm / 10.0) ** 2
        signal = listed[:, band].sum(axis=1)
        best = np.maximum(best, half_open * signal / np.sqrt(background + 0.4 * signal))
    return best


def draw_ever(rng: np.random.Generator, about: Circumstances) -> list[Disturbance]:
    """Draw the scatter of the detector that is there at all times."""
    return ever(rng, about)


def circumstances(mission: Mission, start_s: float, stop_s: float) -> Circumstances:
    """What a detector cause may need to know of the mission."""
    first = mission.response.bands[0]
    quiet = mission.quiet_rate
    return Circumstances(
        mission.config.defects,
        mission.config.instrument.pixels,
        mission.response.atoms,
        first,
        float(quiet[first].sum()),
        float(quiet.sum()),
        start_s,
        stop_s,
    )


def coding(instrument: Instrument, y: Float64 | float, z: Float64 | float) -> Float64:
    """Share of the plane that sees a direction (sky pixels) through the mask, float64 of the same shape."""
    half = (instrument.mask_bins + instrument.pixels) / 2
    lit = [np.clip(half - np.abs(np.asarray(at) - instrument.sky_side // 2), 0, instrument.pixels) for at in (y, z)]
    share: Float64 = lit[0] * lit[1] / instrument.pixels**2
    return share


def draw_position(rng: np.random.Generator, instrument: Instrument, min_coding: float) -> tuple[float, float]:
    """Draw a direction (y, z) in sky pixels, uniform in solid angle over the field that the trigger searches."""
    half = instrument.sky_side // 2
    scale = instrument.pitch_mm / instrument.distance_mm
    while True:
        offset = rng.uniform(-half, half, 2)
        inside = float(coding(instrument, *(half + offset))) > min_coding
        if inside and rng.random() < (1.0 + scale**2 * (offset @ offset)) ** -1.5:
            return float(half + offset[0]), float(half + offset[1])


def arcmin_to_px(angle_arcmin: float, instrument: Instrument) -> float:
    """Angle near the axis in sky pixels (one pixel is 33.6 arcmin)."""
    return float(np.tan(np.radians(angle_arcmin / 60.0)) * instrument.distance_mm / instrument.pitch_mm)
