"""The orbit: where the satellite is, where it sees the Earth, and when it crosses the SAA.

A circular orbit about a spherical Earth whose node drifts by the Earth's oblateness (secular J2 term, Vallado
2013, chapter 9). Neglected: eccentricity, drag, the periodic J2 terms and the change that J2 makes to the period
(0.1 %). The ICRS axes stand for the true equator: precession since J2000 is neglected, 0.15 degrees on the map in 2026.
Longitudes follow from the Earth rotation angle (IERS 2010) with UTC taken as UT1 (0.9 s or 0.004 degrees) and
without leap seconds to come, so that nothing has to be downloaded.

Times ``t_s`` are seconds since ``Orbit.start``.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slewguard.sim.settings_orbit import Orbit

Float64 = NDArray[np.float64]

EARTH_RADIUS_KM = 6371.0
"""Mean radius; with 625 km it gives the published angular radius of 65.6 degrees."""
_EQUATOR_KM = 6378.137
_GM_KM3_S2 = 398600.4418
_J2 = 1.08262668e-3
"""WGS 84 and EGM 96 values (IERS Conventions 2010, table 1.1)."""
_EARTH_TURNS_PER_DAY = 1.00273781191135448
"""Rate of the Earth rotation angle (IERS Conventions 2010, eq. 5.15)."""
_DAY_S = 86400.0
_SAA_STEP_S = 10.0
_SAA_SEARCH_DAYS = 3


def start_time(orbit: Orbit) -> datetime:
    """Return the start of the time line as a datetime in UTC."""
    return datetime.fromisoformat(orbit.start).replace(tzinfo=UTC)


def absolute_time(orbit: Orbit, t_s: ArrayLike) -> Any:
    """Return the absolute times of ``t_s`` as an astropy ``Time`` in UTC."""
    from astropy.time import Time, TimeDelta

    return Time(start_time(orbit), scale="utc") + TimeDelta(np.asarray(t_s, dtype=np.float64), format="sec")


@lru_cache(maxsize=8)
def julian_start(orbit: Orbit) -> tuple[float, float]:
    """Julian date of the start in UTC: the day that begins at noon, and the days since."""
    since = start_time(orbit) - datetime(2000, 1, 1, 12, tzinfo=UTC)
    return 2451545.0, since.total_seconds() / _DAY_S


def period_s(orbit: Orbit) -> float:
    """Orbital period in s (Kepler)."""
    return float(2.0 * np.pi * np.sqrt((EARTH_RADIUS_KM + orbit.altitude_km) ** 3 / _GM_KM3_S2))


def node_drift_deg_per_day(orbit: Orbit) -> float:
    """Secular J2 drift of the ascending node, -3/2 n J2 (R/a)^2 cos i, in degrees per day."""
    a = EARTH_RADIUS_KM + orbit.altitude_km
    revolutions = _DAY_S / period_s(orbit)
    return float(-1.5 * 360.0 * revolutions * _J2 * (_EQUATOR_KM / a) ** 2 * np.cos(np.radians(orbit.inclination_deg)))


def earth_radius_deg(orbit: Orbit) -> float:
    """Angular radius of the Earth's disc seen from the orbit, in degrees."""
    return float(np.degrees(np.arcsin(EARTH_RADIUS_KM / (EARTH_RADIUS_KM + orbit.altitude_km))))


def position_km(orbit: Orbit, t_s: ArrayLike) -> Float64:
    """Position of the satellite.

    Parameters
    ----------
    orbit : Orbit
    t_s : array_like [n]
        Seconds since the start.

    Returns
    -------
    float64 array [n, 3]
        Geocentric position along the ICRS axes, km.
    """
    return (EARTH_RADIUS_KM + orbit.altitude_km) * -earth_direction(orbit, t_s)


def earth_direction(orbit: Orbit, t_s: ArrayLike) -> Float64:
    """Unit vectors from the satellite to the Earth's centre along the ICRS axes, float64 [n, 3]."""
    t = np.atleast_1d(np.asarray(t_s, dtype=np.float64))
    u = np.radians(orbit.phase_deg) + 2.0 * np.pi * t / period_s(orbit)
    node = np.radians(orbit.raan_deg + node_drift_deg_per_day(orbit) * t / _DAY_S)
    tilt = np.radians(orbit.inclination_deg)
    cos_u, sin_u, cos_n, sin_n = np.cos(u), np.sin(u), np.cos(node), np.sin(node)
    x = cos_n * cos_u - sin_n * sin_u * np.cos(tilt)
    y = sin_n * cos_u + cos_n * sin_u * np.cos(tilt)
    return -np.stack([x, y, sin_u * np.sin(tilt)], axis=-1)


def occulted(orbit: Orbit, direction: Float64, t_s: ArrayLike) -> NDArray[np.bool_]:
    """Whether the Earth's disc hides directions of the sky.

    Parameters
    ----------
    orbit : Orbit
    direction : float64 array [3] or [m, 3]
        ICRS unit vectors.
    t_s : array_like [n]

    Returns
    -------
    bool array [n] or [m, n]
    """
    cosine = direction @ earth_direction(orbit, t_s).T
    hidden: NDArray[np.bool_] = cosine > np.cos(np.radians(earth_radius_deg(orbit)))
    return hidden


def lon_lat(orbit: Orbit, t_s: ArrayLike) -> tuple[Float64, Float64]:
    """East longitude in -180..180 and latitude of the point below the satellite on a spherical Earth, degrees [n]."""
    t = np.atleast_1d(np.asarray(t_s, dtype=np.float64))
    up = -earth_direction(orbit, t)
    rotation = _rotation_at_start(orbit) + 360.0 * _EARTH_TURNS_PER_DAY * t / _DAY_S
    longitude = np.degrees(np.arctan2(up[:, 1], up[:, 0])) - rotation
    return (longitude + 180.0) % 360.0 - 180.0, np.degrees(np.arcsin(np.clip(up[:, 2], -1.0, 1.0)))


@lru_cache(maxsize=8)
def _rotation_at_start(orbit: Orbit) -> float:
    from erfa import era00  # type: ignore[import-untyped]

    return float(np.degrees(era00(*julian_start(orbit))))


def inside_saa_outline(orbit: Orbit, t_s: ArrayLike) -> NDArray[np.bool_]:
    """Whether the point below the satellite lies in the SAA ellipse, without the margin, bool [n]."""
    return _saa_depth(orbit, np.atleast_1d(np.asarray(t_s, dtype=np.float64))) > 0.0


def _saa_depth(orbit: Orbit, t_s: Float64) -> Float64:
    """1 minus the elliptical radius: positive inside the SAA, 0 on its outline."""
    longitude, latitude = lon_lat(orbit, t_s)
    east = (longitude - orbit.saa_centre_deg[0] + 180.0) % 360.0 - 180.0
    north = latitude - orbit.saa_centre_deg[1]
    c, s = np.cos(np.radians(orbit.saa_tilt_deg)), np.sin(np.radians(orbit.saa_tilt_deg))
    minor, major = (max(axis, 1e-9) for axis in orbit.saa_half_axes_deg)
    return 1.0 - np.hypot((c * east + s * north) / major, (c * north - s * east) / minor)


def saa_passages(orbit: Orbit, t0: float, t1: float) -> list[tuple[float, float]]:
    """SAA passages, each widened by the margin on both sides, that touch an interval.

    Parameters
    ----------
    orbit : Orbit
    t0, t1 : float
        The interval, s.

    Returns
    -------
    list of (entry, exit)
        In s, in order, apart from each other; not cut at the interval's ends.
    """
    first, last = int((t0 - orbit.saa_margin_s) // _DAY_S) - 1, int((t1 + orbit.saa_margin_s) // _DAY_S) + 1
    merged: list[tuple[float, float]] = []
    for day in range(first, last + 1):
        for entry, leave in _saa_day(orbit, day):
            if merged and entry - merged[-1][1] <= 2.0 * orbit.saa_margin_s + 1e-3:
                merged[-1] = (merged[-1][0], leave)
            else:
                merged.append((entry, leave))
    widened = [(entry - orbit.saa_margin_s, leave + orbit.saa_margin_s) for entry, leave in merged]
    return [passage for passage in widened if passage[1] >= t0 and passage[0] <= t1]


@lru_cache(maxsize=1024)
def _saa_day(orbit: Orbit, day: int) -> tuple[tuple[float, float], ...]:
    """Passages without margin within one day, cut at midnight; crossings are linear between steps of 10 s."""
    t = day * _DAY_S + np.arange(round(_DAY_S / _SAA_STEP_S) + 1) * _SAA_STEP_S
    depth = _saa_depth(orbit, t)
    inside = depth > 0.0
    at = np.flatnonzero(inside[1:] != inside[:-1])
    crossings = (t[at] + _SAA_STEP_S * depth[at] / (depth[at] - depth[at + 1])).tolist()
    if inside[0]:
        crossings.insert(0, float(t[0]))
    if inside[-1]:
        crossings.append(float(t[-1]))
    return tuple(zip(crossings[::2], crossings[1::2], strict=True))


def in_saa(orbit: Orbit, t_s: ArrayLike) -> NDArray[np.bool_]:
    """Whether the trigger stands still because of the SAA (margin included), bool [n]."""
    t = np.atleast_1d(np.asarray(t_s, dtype=np.float64))
    passages = saa_passages(orbit, float(t.min()), float(t.max()))
    edges = np.array(passages).reshape(-1)
    return np.searchsorted(edges, t, side="right") % 2 == 1


def seconds_to_saa(orbit: Orbit, t_s: float) -> tuple[float, float]:
    """Time from the last exit and to the next entry, margin included.

    Returns
    -------
    since_exit_s, to_entry_s : float
        Both 0 inside a passage; infinite where there is none within three days.
    """
    passages = _passages_about(orbit, int(t_s // _DAY_S))
    k = bisect_right(passages, (t_s, np.inf))
    if k and passages[k - 1][1] >= t_s:
        return 0.0, 0.0
    since = t_s - passages[k - 1][1] if k else np.inf
    until = passages[k][0] - t_s if k < len(passages) else np.inf
    return float(since), float(until)


@lru_cache(maxsize=64)
def _passages_about(orbit: Orbit, day: int) -> tuple[tuple[float, float], ...]:
    reach = _SAA_SEARCH_DAYS * _DAY_S
    return tuple(saa_passages(orbit, day * _DAY_S - reach, (day + 1) * _DAY_S + reach))


def sun_direction(orbit: Orbit, t_s: float) -> Float64:
    """ICRS unit vector to the Sun, float64 [3]: geometric, seen from the Earth's centre, UTC taken as TDB.

    Aberration (20 arcsec) and the 69 s between the time scales (3 arcsec) are neglected.
    """
    from erfa import epv00

    day, fraction = julian_start(orbit)
    heliocentric = np.asarray(epv00(day, fraction + t_s / _DAY_S)[0]["p"], dtype=np.float64)
    return -heliocentric / np.linalg.norm(heliocentric)
