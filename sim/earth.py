"""The Earth in the field of view: a curved, moving limb that hides sky and sources and may itself be bright.

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
_STEPS_PER_SHORT = 6


def time_steps(start_s: float, stop_s: float, short_s: float) -> Float64:
    """Edges of the time steps of a window, six in a short one, so that those of a long window are the same steps.

    Parameters
    ----------
    start_s, stop_s : float
        The window.
    short_s : float
        Length of a short window.

    Returns
    -------
    float64 array [steps + 1]
    """
    steps = max(round((stop_s - start_s) / short_s * _STEPS_PER_SHORT), 1)
    return np.linspace(start_s, stop_s, steps + 1)


@dataclass(frozen=True)
class Limb(Disturbance):
    """The Earth's disc crossing the field: it hides the diffuse sky, and sources by :meth:`visible`.

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
    short_s : float
        Length of a short window, which sets the time steps.
    """

    telescope: Telescope | None = None
    cxb: float = 0.0
    depth_deg: float = 0.0
    angle_rad: float = 0.0
    speed: float = 1.0
    brightness: float = 0.0
    patch: tuple[float, float] = (0.0, 1.0)
    short_s: float = 20.48

    def expected(self, photons: Float64, start_s: float, stop_s: float, end_s: float) -> Float64:
        """Change of the counts of an exposure; see :class:`slewguard.sim.defects.Disturbance`."""
        assert self.telescope is not None
        g = self.telescope.geometry
        t = (np.arange(g.sky_side) - g.sky_side // 2) * g.pitch_mm / g.distance_mm
        ty, tz = np.meshgrid(t, t)
        across = tz * np.cos(self.angle_rad) - ty * np.sin(self.angle_rad)
        lit = self.brightness * np.exp(-0.5 * ((across - self.patch[0]) / self.patch[1]) ** 2)
        edges = time_steps(start_s, stop_s, self.short_s)
        change = np.zeros_like(ty)
        for time in 0.5 * (edges[1:] + edges[:-1]):
            inside = self._inside(ty, tz, time - end_s)
            behind = inside > 0.0
            change[behind] += lit[behind] * np.exp(-inside[behind] / _RIM_DEG) - 1.0
        change /= len(edges) - 1
        return self.telescope.diffuse_visible(change) * self.cxb * g.efficiency * (stop_s - start_s)

    def visible(self, y: float, z: float, times_s: Float64, end_s: float) -> Float64:
        """Return 1 at the times at which a source is in front of the disc's edge and 0 where it is behind.

        Parameters
        ----------
        y, z : float
            Direction in sky pixels.
        times_s : array [n]
        end_s : float
            End of the event.

        Returns
        -------
        float64 array [n]
        """
        assert self.telescope is not None
        g = self.telescope.geometry
        ty, tz = ((at - g.sky_side // 2) * g.pitch_mm / g.distance_mm for at in (y, z))
        inside = self._inside(np.float64(ty), np.float64(tz), times_s - end_s)
        return np.where(inside > 0.0, 0.0, 1.0)

    def _inside(self, ty: Float64 | np.float64, tz: Float64 | np.float64, to_end_s: Float64 | np.float64) -> Float64:
        """Degrees by which directions (tangents) lie inside the disc's edge at times before the end of the event."""
        depth = self.depth_deg + self.speed * DEGREES_PER_S * to_end_s
        off_axis = np.radians(EARTH_RADIUS_DEG - depth)
        along = ty * np.cos(self.angle_rad) + tz * np.sin(self.angle_rad)
        cosine = (np.cos(off_axis) + along * np.sin(off_axis)) / np.sqrt(1.0 + ty**2 + tz**2)
        inside: Float64 = EARTH_RADIUS_DEG - np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
        return inside


def draw_limb(
    rng: np.random.Generator, tel: Telescope, cxb: float, short_s: float, brightness: tuple[float, float]
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
        short_s=short_s,
    )
