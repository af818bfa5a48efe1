"""The Earth in the field of view: a curved, moving limb that hides sky and sources and may itself shine.

The Earth's disc has an angular radius of 65.6 degrees from 625 km (published altitude) and moves by up to 3.7
degrees a minute through the field. It is dark below 20 keV as a first approximation; above, its albedo relative to
the cosmic background is a configuration key.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.settings_instrument import Instrument

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
STEP_S = 10.24
"""Longest step in which the limb is taken to stand still: it moves by one sky pixel (0.6 degrees)."""
RIM_DEG = 4.0
"""Depth to which a bright limb shines inside the disc's edge (assumed)."""
_SOFT_DEG = 0.6
"""The edge is drawn this soft, so that it moves on smoothly from step to step."""


def steps(start_s: float, stop_s: float, step_s: float = STEP_S) -> Float64:
    """Middles of equal time steps no longer than ``step_s``, float64 [n]."""
    n = max(int(np.ceil((stop_s - start_s) / step_s - 1e-9)), 1)
    return start_s + (np.arange(n) + 0.5) * ((stop_s - start_s) / n)


def direction(geometry: Instrument, y: Float64 | float, z: Float64 | float) -> Float64:
    """Unit vectors in the body frame of directions given in sky pixels, float64 [..., 3]."""
    half, scale = geometry.sky_side // 2, geometry.pitch_mm / geometry.distance_mm
    ty, tz = (np.asarray(y) - half) * scale, (np.asarray(z) - half) * scale
    vectors = np.stack(np.broadcast_arrays(1.0, ty, tz), axis=-1)
    unit: Float64 = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit


def in_front(directions: Float64, earth: Float64, radius_deg: float) -> NDArray[np.bool_]:
    """Whether directions are not behind the Earth.

    Parameters
    ----------
    directions : float array [n, 3]
        Unit vectors in the body frame.
    earth : float array [m, 3]
        Unit vectors to the Earth's centre at m times.
    radius_deg : float
        Angular radius of the disc.

    Returns
    -------
    bool array [m, n]
    """
    return earth @ directions.T < np.cos(np.radians(radius_deg))


def reaches_field(geometry: Instrument, earth: Float64, radius_deg: float) -> bool:
    """Whether the disc touches the sky map at any of the times (earth: float array [m, 3])."""
    corner = direction(geometry, 0.0, 0.0)
    widest = np.arccos(corner[0]) + np.radians(radius_deg + _SOFT_DEG)
    return bool((earth[:, 0] > np.cos(min(widest, np.pi))).any())


def visible_sky(geometry: Instrument, earth: Float64, radius_deg: float) -> Float32:
    """Share of the time for which each direction of the sky grid is not behind the Earth.

    Parameters
    ----------
    geometry : Instrument
    earth : float array [m, 3]
        Unit vectors to the Earth's centre at m equally long steps.
    radius_deg : float

    Returns
    -------
    float32 array [199, 199]
    """
    total = np.zeros((geometry.sky_side, geometry.sky_side), dtype=np.float32)
    for e in earth:
        total += np.clip(0.5 - _inside_deg(geometry, e, radius_deg) / _SOFT_DEG, 0.0, 1.0)
    return total / np.float32(len(earth))


@dataclass(frozen=True)
class Glow:
    """A bright part of the limb, fixed on the Earth's disc while it lasts.

    Parameters
    ----------
    start_s, stop_s : float
    brightness : float
        Surface brightness at the edge over that of the cosmic background.
    angle_rad : float
        Position angle of its centre about the Earth's centre, from the body's y axis towards z.
    width_rad : float
        Its Gaussian width along the limb.
    """

    start_s: float
    stop_s: float
    brightness: float
    angle_rad: float
    width_rad: float

    def map(self, geometry: Instrument, earth: Float64, radius_deg: float) -> Float32:
        """Mean brightness of each direction of the sky grid over the cosmic background, float32 [199, 199]."""
        total = np.zeros((geometry.sky_side, geometry.sky_side), dtype=np.float32)
        grid = _grid(geometry)
        for e in earth:
            inside = _inside_deg(geometry, e, radius_deg)
            shining = inside > 0.0
            along = np.arctan2(grid[shining, 2] - e[2], grid[shining, 1] - e[1]) - self.angle_rad
            off = (along + np.pi) % (2.0 * np.pi) - np.pi
            total[shining] += np.exp(-0.5 * (off / self.width_rad) ** 2 - inside[shining] / RIM_DEG)
        return total * np.float32(self.brightness / len(earth))


def _inside_deg(geometry: Instrument, earth: Float64, radius_deg: float) -> Float32:
    """Degrees by which the sky grid lies inside the disc's edge, right near the edge and monotone beyond."""
    cosine = _grid(geometry) @ earth.astype(np.float32)
    radius = np.radians(radius_deg)
    return (cosine - np.float32(np.cos(radius))) * np.float32(np.degrees(1.0) / np.sin(radius))


@lru_cache(maxsize=4)
def _grid(geometry: Instrument) -> Float32:
    z, y = np.mgrid[: geometry.sky_side, : geometry.sky_side]
    return direction(geometry, y, z).astype(np.float32)
