"""The pointing plan and the way from the sky to the body and to sky pixels, and back.

A slot of the plan has one inertial attitude. Law B1 keeps the optical axis about anti-solar, away from the
Galactic plane and Sco X-1; targets of opportunity (ToO) lie anywhere away from the Sun. Each slot draws from its own
random numbers, so that any time can be asked for alone.

Body axes: x the optical axis, z such that the Sun lies in the half-plane (x, +z), y = z cross x. The solar panels
turn about y, so that the Sun must be perpendicular to y. That the Sun fixes the roll is seen in flight: in all 25
public notices the roll is minus the Sun's position angle (north through east) within 0.3 degrees. On which side of
the body the Sun lies is unpublished; it is +z here. ``roll_deg`` is that of the notices.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slewguard.sim.orbit import earth_direction, sun_direction
from slewguard.sim.settings_instrument import Instrument
from slewguard.sim.settings_orbit import Orbit, Plan

Float64 = NDArray[np.float64]

SCO_X1_DEG = (244.9795, -15.6403)
"""ICRS right ascension and declination of Sco X-1 (Liu et al. 2007)."""
GALACTIC = np.array(
    [
        [-0.0548755604162154, -0.8734370902348850, -0.4838350155487132],
        [0.4941094278755837, -0.4448296299600112, 0.7469822444972189],
        [-0.8676661490190047, -0.1980763734312015, 0.4559837761750669],
    ]
)
"""ICRS to Galactic axes (Hipparcos catalogue, ESA SP-1200, vol. 1, eq. 1.5.11)."""
_STREAM = 0x706F696E74
_TRIES = 256


@dataclass(frozen=True, eq=False)
class Pointing:
    """One slot of the plan."""

    slot: int
    start_s: float
    stop_s: float
    attitude: Float64
    """Rotation from ICRS to body axes, float64 [3, 3], read-only: body = attitude @ icrs."""
    kind: Literal["B1", "ToO"]
    ra_deg: float
    dec_deg: float
    roll_deg: float
    """Minus the position angle of the body's z axis, 0 to 360, as in the notices."""


def unit_vector(ra_deg: ArrayLike, dec_deg: ArrayLike) -> Float64:
    """ICRS unit vectors of right ascensions and declinations in degrees, float64 [..., 3]."""
    ra, dec = np.radians(np.asarray(ra_deg, np.float64)), np.radians(np.asarray(dec_deg, np.float64))
    return np.stack([np.cos(ra) * np.cos(dec), np.sin(ra) * np.cos(dec), np.sin(dec) * np.ones_like(ra)], axis=-1)


def ra_dec(direction: Float64) -> tuple[Float64, Float64]:
    """Right ascension (0 to 360) and declination in degrees of unit vectors [..., 3]."""
    ra = np.degrees(np.arctan2(direction[..., 1], direction[..., 0])) % 360.0
    return ra, np.degrees(np.arcsin(np.clip(direction[..., 2], -1.0, 1.0)))


def attitude_towards(axis: Float64, sun: Float64) -> Float64:
    """Attitude with a given optical axis and the Sun in the half-plane (x, +z).

    Parameters
    ----------
    axis, sun : float64 array [3]
        ICRS unit vectors, neither parallel nor opposite.

    Returns
    -------
    float64 array [3, 3]
        Rotation from ICRS to body axes.
    """
    y = np.cross(sun, axis)
    y /= np.linalg.norm(y)
    return np.stack([axis, y, np.cross(axis, y)])


def plan(orbit: Orbit, settings: Plan, seed: int, t_s: float) -> Pointing:
    """Return the slot of the pointing plan that holds a time.

    Parameters
    ----------
    orbit : Orbit
    settings : Plan
    seed : int
        Seed of the plan, not negative.
    t_s : float
        Seconds since the start.

    Returns
    -------
    Pointing
        The same object for every time of a slot.
    """
    return pointing_slot(orbit, settings, seed, int(t_s // settings.slot_s))


@lru_cache(maxsize=4096)
def pointing_slot(orbit: Orbit, settings: Plan, seed: int, slot: int) -> Pointing:
    """Draw one slot of the plan; see :func:`plan`. ``slot`` may be negative (before the start)."""
    rng = np.random.Generator(np.random.Philox(key=[seed, (_STREAM << 24) + slot % (1 << 24)]))
    start = slot * settings.slot_s
    sun = sun_direction(orbit, start + 0.5 * settings.slot_s)
    kind: Literal["B1", "ToO"] = "ToO" if rng.random() < settings.too_share else "B1"
    axis = _draw_too(rng, settings, sun) if kind == "ToO" else _draw_b1(rng, settings, sun)
    attitude = attitude_towards(axis, sun)
    attitude.setflags(write=False)
    ra, dec = ra_dec(axis)
    roll = -position_angle_deg(axis, attitude[2]) % 360.0
    return Pointing(slot, start, start + settings.slot_s, attitude, kind, float(ra), float(dec), roll)


def position_angle_deg(axis: Float64, towards: Float64) -> float:
    """Position angle, north through east, of a direction seen from an axis (ICRS unit vectors [3]), degrees."""
    east = np.array([-axis[1], axis[0], 0.0])
    north = np.cross(axis, east)
    return float(np.degrees(np.arctan2(towards @ east, towards @ north)))


def _draw_b1(rng: np.random.Generator, settings: Plan, sun: Float64) -> Float64:
    """Uniform in solid angle on the ring about the anti-solar point; the first of many that is allowed.

    Where none is (a narrow ring in the Galactic plane) the one that comes closest to being allowed.
    """
    low, high = np.cos(np.radians(settings.sun_offset_deg))
    cosine = rng.uniform(high, low, _TRIES)
    around = rng.uniform(0.0, 2.0 * np.pi, _TRIES)
    first = np.cross(sun, [0.0, 0.0, 1.0])
    first /= np.linalg.norm(first)
    second = np.cross(sun, first)
    ring = np.cos(around)[:, None] * first + np.sin(around)[:, None] * second
    axes = -cosine[:, None] * sun + np.sqrt(1.0 - cosine**2)[:, None] * ring
    latitude = np.degrees(np.abs(np.arcsin(np.clip(axes @ GALACTIC[2], -1.0, 1.0))))
    sco_x1 = np.degrees(np.arccos(np.clip(axes @ unit_vector(*SCO_X1_DEG), -1.0, 1.0)))
    short = np.maximum(settings.galactic_avoid_deg - latitude, 0.0) + np.maximum(
        settings.sco_x1_avoid_deg - sco_x1, 0.0
    )
    return _unit(axes[int(np.argmin(short))])


def _draw_too(rng: np.random.Generator, settings: Plan, sun: Float64) -> Float64:
    """Isotropic, or along the Galactic plane, and away from the Sun; the farthest of many where none is far enough."""
    if rng.random() < settings.too_galactic_share:
        longitude = rng.uniform(0.0, 360.0, _TRIES)
        axes = unit_vector(longitude, rng.normal(0.0, settings.too_galactic_sigma_deg, _TRIES)) @ GALACTIC
    else:
        axes = rng.normal(size=(_TRIES, 3))
        axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    near = np.maximum(axes @ sun, np.cos(np.radians(settings.too_sun_min_deg)))
    # Opposite to the Sun the roll is undefined.
    near[axes @ sun < -1.0 + 1e-9] = np.inf
    return _unit(axes[int(np.argmin(near))])


def _unit(vector: Float64) -> Float64:
    return vector / np.linalg.norm(vector)


def to_sky_px(
    attitude: Float64, direction: Float64, geometry: Instrument
) -> tuple[Float64, Float64, NDArray[np.bool_]]:
    """Sky pixels of directions.

    Parameters
    ----------
    attitude : float64 array [3, 3]
    direction : float64 array [..., 3]
        ICRS unit vectors.
    geometry : Instrument

    Returns
    -------
    y, z : float64 arrays [...]
        Sky pixels; NaN behind the plane of the mask.
    in_front : bool array [...]
        Whether the direction lies less than 90 degrees from the axis.
    """
    body = direction @ attitude.T
    in_front = body[..., 0] > 1e-9
    along = np.where(in_front, body[..., 0], np.nan)
    per_px = geometry.pitch_mm / geometry.distance_mm
    half = geometry.sky_side // 2
    return half + body[..., 1] / along / per_px, half + body[..., 2] / along / per_px, in_front


def to_world(attitude: Float64, y: ArrayLike, z: ArrayLike, geometry: Instrument) -> tuple[Float64, Float64]:
    """Right ascension (0 to 360) and declination of sky pixels, degrees; the inverse of :func:`to_sky_px`."""
    per_px = geometry.pitch_mm / geometry.distance_mm
    half = geometry.sky_side // 2
    ty, tz = np.broadcast_arrays((np.asarray(y) - half) * per_px, (np.asarray(z) - half) * per_px)
    body = np.stack([np.ones_like(ty), ty, tz], axis=-1) / np.sqrt(1.0 + ty**2 + tz**2)[..., None]
    return ra_dec(body @ attitude)


def earth_in_body(orbit: Orbit, pointing: Pointing, t_s: ArrayLike) -> Float64:
    """Unit vectors to the Earth's centre in body axes at times ``t_s`` [n], float64 [n, 3]."""
    return earth_direction(orbit, t_s) @ pointing.attitude.T


def tan_wcs(
    pointing: Pointing, geometry: Instrument, corner_y: float = 0.0, corner_z: float = 0.0
) -> dict[str, str | float]:
    """FITS keywords of the tangent projection that a sky map, or a part of it, is (Calabretta & Greisen 2002).

    Parameters
    ----------
    pointing : Pointing
    geometry : Instrument
    corner_y, corner_z : float
        Sky pixel of the array's column 0 and row 0: 0, 0 for the sky map, the peak minus 28 for a sub-image.

    Returns
    -------
    dict
        Keyword to value; axis 1 is y (columns), axis 2 is z (rows), degrees.
    """
    half = geometry.sky_side // 2
    step = float(np.degrees(geometry.pitch_mm / geometry.distance_mm))
    angle = np.radians(-pointing.roll_deg)
    c, s = float(np.cos(angle)), float(np.sin(angle))
    return {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CUNIT1": "deg",
        "CUNIT2": "deg",
        "CRPIX1": half - corner_y + 1.0,
        "CRPIX2": half - corner_z + 1.0,
        "CRVAL1": pointing.ra_deg,
        "CRVAL2": pointing.dec_deg,
        "CD1_1": step * c,
        "CD1_2": step * s,
        "CD2_1": -step * s,
        "CD2_2": step * c,
        "RADESYS": "ICRS",
    }
