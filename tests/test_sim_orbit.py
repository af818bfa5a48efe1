"""The orbit against textbook figures, astropy and the published live-time loss."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from slewguard.sim.orbit import (
    EARTH_RADIUS_KM,
    absolute_time,
    earth_direction,
    earth_radius_deg,
    in_saa,
    inside_saa_outline,
    lon_lat,
    node_drift_deg_per_day,
    occulted,
    period_s,
    position_km,
    saa_passages,
    seconds_to_saa,
    start_time,
    sun_direction,
)
from slewguard.sim.settings_orbit import Orbit

ORBIT = Orbit()
DAY = 86400.0
TIMES = st.floats(-3e7, 3e8)


def test_period_and_earth_radius_are_the_published_ones() -> None:
    assert period_s(ORBIT) / 60 == pytest.approx(97.1, abs=0.1)
    assert earth_radius_deg(ORBIT) == pytest.approx(65.6, abs=0.05)


def test_node_drifts_as_of_a_known_satellite() -> None:
    # Sun-synchronous orbits are built on this drift: 705 km (Landsat 7, Terra) needs 98.2 degrees for 360/365.2422.
    landsat = Orbit(altitude_km=705.0 + 6378.137 - EARTH_RADIUS_KM, inclination_deg=81.8)
    assert -node_drift_deg_per_day(landsat) == pytest.approx(360 / 365.2422, rel=0.01)


@settings(max_examples=50, deadline=None)
@given(TIMES, st.floats(0, 360), st.floats(1, 89))
def test_orbit_is_circular_and_keeps_its_inclination(t: float, node: float, tilt: float) -> None:
    orbit = Orbit(raan_deg=node, inclination_deg=tilt)
    r = position_km(orbit, [t, t + 1.0])
    assert np.linalg.norm(r, axis=1) == pytest.approx(EARTH_RADIUS_KM + 625.0, rel=1e-12)
    momentum = np.cross(r[0], r[1])
    # The node moves by 1e-6 rad in a second, which tilts the plane through two positions by no more than that
    # over the angle flown, 1e-3.
    assert np.degrees(np.arccos(momentum[2] / np.linalg.norm(momentum))) == pytest.approx(tilt, abs=0.15)


def test_earth_is_opposite_to_the_position() -> None:
    t = np.arange(0.0, 6000.0, 500.0)
    assert -position_km(ORBIT, t) / (EARTH_RADIUS_KM + 625.0) == pytest.approx(earth_direction(ORBIT, t), abs=1e-15)


def test_longitudes_agree_with_astropy() -> None:
    import astropy.units as u
    from astropy.coordinates import GCRS, ITRS, CartesianRepresentation
    from astropy.utils import iers

    t = np.linspace(0.0, 40 * DAY, 25)
    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("iers_degraded_accuracy", "ignore"):
        when = absolute_time(ORBIT, t)
        place = GCRS(CartesianRepresentation((position_km(ORBIT, t) * u.km).T), obstime=when)
        ground = place.transform_to(ITRS(obstime=when)).spherical
    lon, lat = lon_lat(ORBIT, t)
    apart = (lon - ground.lon.deg + 180) % 360 - 180
    # Precession and nutation since J2000, which the module neglects: up to 0.15 degrees in declination, and less than
    # that times tan(30 degrees) in longitude.
    assert np.abs(apart).max() < 0.15
    assert np.abs(lat - ground.lat.deg).max() < 0.16
    assert np.abs(lat).max() <= 30.0
    assert np.abs(lat).max() > 29.0


def test_absolute_time_is_the_start_plus_seconds() -> None:
    assert absolute_time(ORBIT, 90061.5).isot == "2026-01-02T01:01:01.500"
    assert start_time(Orbit(start="2027-03-01T12:00:00Z")).isoformat() == "2027-03-01T12:00:00+00:00"


@pytest.mark.parametrize("bad", ["yesterday", "2026-01-01T00:00:00+02:00", "1950-01-01T00:00:00", "2026-13-01"])
def test_bad_start_is_refused(bad: str) -> None:
    with pytest.raises(ValidationError, match="must"):
        Orbit(start=bad)


def test_sun_agrees_with_astropy() -> None:
    from astropy.coordinates import get_sun
    from astropy.utils import iers

    t = np.linspace(0.0, 365 * DAY, 13)
    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("iers_degraded_accuracy", "ignore"):
        sun = get_sun(absolute_time(ORBIT, t)).cartesian.xyz.value.T
    ours = np.array([sun_direction(ORBIT, at) for at in t])
    cosine = (ours * sun / np.linalg.norm(sun, axis=1, keepdims=True)).sum(axis=1)
    # astropy's Sun is aberrated, by 20.5 arcsec.
    assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 0.01


def test_source_sets_and_rises_behind_a_disc_of_the_right_size() -> None:
    # A source in the orbital plane is hidden for twice the disc's radius over a turn.
    t = np.arange(0.0, period_s(ORBIT), 1.0)
    in_plane = earth_direction(ORBIT, [1234.0])[0]
    hidden = occulted(ORBIT, in_plane, t)
    assert hidden.mean() == pytest.approx(2 * 65.6 / 360, abs=0.002)
    assert np.count_nonzero(hidden[1:] != hidden[:-1]) == 2
    pole = np.cross(earth_direction(ORBIT, [0.0])[0], earth_direction(ORBIT, [1000.0])[0])
    assert not occulted(ORBIT, pole / np.linalg.norm(pole), t).any()
    both = occulted(ORBIT, np.stack([in_plane, pole / np.linalg.norm(pole)]), t)
    assert both.shape == (2, len(t))
    assert (both[0] == hidden).all()


def test_saa_takes_the_published_share_of_the_time() -> None:
    # 13 % of the time is lost (Antier thesis, 1.3.3); tuned on it by the ellipse, to the last printed digit.
    t = np.arange(0.0, 60 * DAY, 20.0)
    assert in_saa(ORBIT, t).mean() == pytest.approx(0.13, abs=0.005)


def test_passages_are_those_of_a_fine_grid() -> None:
    orbit = Orbit(saa_margin_s=0.0)
    t = np.arange(0.0, 2 * DAY, 1.0)
    outline = inside_saa_outline(orbit, t)
    # Crossings are interpolated between steps of 10 s: right to a second.
    assert np.count_nonzero(in_saa(orbit, t) != outline) <= len(saa_passages(orbit, 0.0, 2 * DAY)) * 2
    changes = t[1:][outline[1:] != outline[:-1]]
    ends = np.array(saa_passages(orbit, 0.0, 2 * DAY)).ravel()
    assert ends == pytest.approx(changes, abs=1.1)


def test_margin_widens_every_passage() -> None:
    bare = saa_passages(Orbit(saa_margin_s=0.0), 0.0, 3 * DAY)
    wide = saa_passages(Orbit(saa_margin_s=100.0), 0.0, 3 * DAY)
    assert np.array(wide) == pytest.approx(np.add(bare, [-100.0, 100.0]), abs=1e-6)


def test_passages_that_the_margin_joins_are_one() -> None:
    wide = saa_passages(Orbit(saa_margin_s=3000.0), 0.0, 3 * DAY)
    assert all(b[0] > a[1] for a, b in pairwise(wide))
    assert len(wide) < len(saa_passages(ORBIT, 0.0, 3 * DAY))


def test_passage_across_midnight_is_whole() -> None:
    passages = saa_passages(ORBIT, 0.0, 30 * DAY)
    across = [p for p in passages if p[0] // DAY != p[1] // DAY]
    assert across
    for entry, leave in across:
        assert saa_passages(ORBIT, entry + 1.0, entry + 2.0) == [pytest.approx((entry, leave))]
        assert in_saa(ORBIT, np.linspace(entry + 0.1, leave - 0.1, 50)).all()


@settings(max_examples=100, deadline=None)
@given(st.floats(-1e6, 3e7))
def test_time_to_saa_leads_to_its_edge(t: float) -> None:
    since, until = seconds_to_saa(ORBIT, t)
    if in_saa(ORBIT, [t])[0]:
        assert since == until == 0.0
        return
    assert since > 0
    assert until > 0
    edges = in_saa(ORBIT, [t - since - 0.01, t - since + 0.01, t + until - 0.01, t + until + 0.01])
    assert edges.tolist() == [True, False, False, True]
    assert not in_saa(ORBIT, np.linspace(t - since + 0.01, t + until - 0.01, 200)).any()


def test_without_an_saa_there_is_no_passage() -> None:
    orbit = Orbit(saa_half_axes_deg=(0.0, 0.0))
    assert saa_passages(orbit, 0.0, DAY) == []
    assert seconds_to_saa(orbit, 100.0) == (np.inf, np.inf)
    assert not in_saa(orbit, [0.0, 1.0]).any()
