"""The Earth in the field of view: a curved, moving limb that hides the diffuse sky and may itself be bright.

Orbit of SVOM: 625 km, period 97 min, Earth's angular radius 65.6 degrees (published). The Earth is dark below
20 keV as a first approximation; the brightness of its limb (X-ray aurorae, reflected sources) is assumed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.defects import Disturbance
from slewguard.sim.instrument import Telescope
from slewguard.sim.sky import log_uniform

Float64 = NDArray[np.float64]
EARTH_RADIUS_DEG = 65.6
DEGREES_PER_S = 360.0 / (97.1 * 60.0)
_RIM_DEG = 4.0
_STEPS = 6


@dataclass(frozen=True)
class Limb(Disturbance):
    """The Earth's disc crossing the field; the known sources' own occultation is not simulated here.

    Parameters
    ----------
    telescope : Telescope
    cxb : float
        Photons/cm2/s/sr that the disc hides.
    depth_deg : float
        How far the disc reaches past the axis at the end of the event.
    angle_rad : float
        Side from which it comes.
    speed : float
        Share of the orbital rate with which it rises.
    brightness : float
        Surface brightness of the limb over the CXB.
    patch : tuple of float
        Centre (radians along the limb) and width of the bright part.
    """

    telescope: Telescope | None = None
    cxb: float = 0.0
    depth_deg: float = 0.0
    angle_rad: float = 0.0
    speed: float = 1.0
    brightness: float = 0.0
    patch: tuple[float, float] = (0.0, 1.0)

    def expected(self, photons: Float64, start_s: float, stop_s: float, end_s: float) -> Float64:
        """Change of the counts of an exposure; see :class:`slewguard.sim.defects.Disturbance`."""
        assert self.telescope is not None
        g = self.telescope.geometry
        t = (np.arange(g.sky_side) - g.sky_side // 2) * g.pitch_mm / g.distance_mm
        ty, tz = np.meshgrid(t, t)
        norm = np.sqrt(1.0 + ty**2 + tz**2)
        change = np.zeros_like(ty)
        for time in start_s + (np.arange(_STEPS) + 0.5) / _STEPS * (stop_s - start_s):
            depth = self.depth_deg + self.speed * DEGREES_PER_S * (time - end_s)
            off_axis = np.radians(EARTH_RADIUS_DEG - depth)
            cos_a, sin_a = np.cos(self.angle_rad), np.sin(self.angle_rad)
            along = ty * cos_a + tz * sin_a
            across = -ty * sin_a + tz * cos_a
            cosine = (np.cos(off_axis) + along * np.sin(off_axis)) / norm
            inside = EARTH_RADIUS_DEG - np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
            lit = np.exp(-0.5 * ((across - self.patch[0]) / self.patch[1]) ** 2)
            rim = np.exp(-np.maximum(inside, 0.0) / _RIM_DEG) * lit
            change += np.where(inside > 0.0, self.brightness * rim - 1.0, 0.0) / _STEPS
        return self.telescope.diffuse_visible(change) * self.cxb * g.efficiency * (stop_s - start_s)


def draw_limb(
    rng: np.random.Generator, tel: Telescope, cxb: float, length_s: float, brightness: tuple[float, float]
) -> Limb:
    """Draw a passage of the limb that is in the field at the end of the event."""
    return Limb(
        "earth_limb",
        telescope=tel,
        cxb=cxb,
        depth_deg=float(rng.uniform(-42.0, 35.0)),
        angle_rad=float(rng.uniform(0.0, 2.0 * np.pi)),
        speed=float(rng.uniform(-1.0, 1.0)),
        brightness=log_uniform(rng, brightness),
        patch=(float(rng.uniform(-0.8, 0.8)), log_uniform(rng, (0.05, 2.0))),
    )
