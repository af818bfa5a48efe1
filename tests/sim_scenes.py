"""Scenes that the tests of the simulator share: one mission, a calm stretch of time, and events made by hand."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from slewguard.sim.config import SimConfig
from slewguard.sim.earth import Glow, reaches_field
from slewguard.sim.imaging import Field
from slewguard.sim.lightcurve import LightCurve, Pulses, Steady
from slewguard.sim.mission import Mission, mission
from slewguard.sim.scene import Lit, NewSource, Scene, Truth, build_scene
from slewguard.sim.sources import Sources
from slewguard.sim.timeline import generator

CONFIG = SimConfig()
SEED = 3
SHORT = 20.48


def flight() -> Mission:
    return mission(CONFIG, SEED)


@lru_cache(maxsize=4)
def _stretch(length_s: float, with_earth: bool) -> float:
    m = flight()
    for k in range(2000):
        start = (k + 1) * 1310.72
        t = np.arange(start - 60.0, start + length_s, 20.0)
        pointing = m.pointing(start)
        earth = m.earth_in_body(pointing, t)
        here = reaches_field(CONFIG.instrument, earth, m.earth_radius_deg)
        # Well inside: the middle of the field is half hidden and half not.
        axis_hidden = earth[:, 0] > np.cos(np.radians(m.earth_radius_deg))
        crosses = axis_hidden.any() and not axis_hidden.all()
        if (crosses if with_earth else not here) and not m.in_saa(t).any() and pointing.stop_s > start + length_s:
            return start
    raise AssertionError("no such stretch")


def calm_s() -> float:
    """Begin of 350 s without the Earth in the field, on the grid of the short windows."""
    return _stretch(350.0, with_earth=False)


def setting_s() -> float:
    """Begin of 350 s in which the limb crosses the axis, on the grid of the short windows."""
    return _stretch(350.0, with_earth=True)


def no_sources() -> Sources:
    n, atoms = 0, len(flight().cxb_rate)
    empty, spectra = np.zeros(n), np.zeros((n, atoms))
    return Sources(np.zeros(n, np.int64), empty, empty, empty, empty, spectra, spectra, empty)


def scene_of(*truths: Truth, at_s: float | None = None, seed: int = 1) -> Scene:
    """A scene of the shared mission with events of our own."""
    at = calm_s() if at_s is None else at_s
    m = flight()
    return build_scene(generator(SEED, seed), m, m.pointing(at), truths, at)


def bare(scene: Scene) -> Scene:
    """The scene without known sources and without the detector's scatter."""
    n = scene.telescope.geometry.pixels
    shadows = np.zeros((0, n, n))
    return replace(
        scene,
        sources=no_sources(),
        ever=(),
        lit=Lit.of(scene.telescope, [], scene.mission.response.mask_transparency),
        view=Field(scene.view.imager, shadows),
        catalogue_shadows=shadows,
        catalogue_area=np.zeros(0),
        _kept={},
        _photons={},
    )


def crabs(flux_crab: float, seconds: float) -> np.ndarray:
    """Fluence of a source with the Crab's spectrum."""
    return flight().crab_rate * flux_crab * seconds


def burst(
    flux_crab: float = 1.0,
    seconds: float = 30.0,
    y: float = 110.3,
    z: float = 85.8,
    start_s: float | None = None,
    cause: str = "grb",
    curve: LightCurve | None = None,
    sequence: int = 7,
) -> Truth:
    start = calm_s() + 45.0 if start_s is None else start_s
    light = curve or Steady(start, start + seconds)
    return Truth(sequence, cause, start, start + seconds, new=NewSource(cause, y, z, crabs(flux_crab, seconds), light))


def pulse(start_s: float, decay_s: float = 4.0) -> Pulses:
    return Pulses((1.0,), (start_s,), (0.4 * decay_s,), (decay_s,))


def glow(start_s: float, stop_s: float, brightness: float = 300.0) -> Glow:
    earth = flight().earth_in_body(flight().pointing(start_s), np.array([start_s]))[0]
    return Glow(start_s, stop_s, brightness, float(np.arctan2(-earth[2], -earth[1])), 0.3)
