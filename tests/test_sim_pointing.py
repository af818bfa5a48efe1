"""Pointings against astropy (separations, Galactic latitude, TAN projection) and the attitudes of the notices."""

from importlib.resources import files

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from slewguard.sim.config import Instrument
from slewguard.sim.orbit import earth_radius_deg, period_s, sun_direction
from slewguard.sim.pointing import (
    GALACTIC,
    SCO_X1_DEG,
    attitude_towards,
    earth_in_body,
    plan,
    pointing_slot,
    position_angle_deg,
    ra_dec,
    tan_wcs,
    to_sky_px,
    to_world,
    unit_vector,
)
from slewguard.sim.settings_orbit import Orbit, Plan

ORBIT, PLAN, GEOMETRY = Orbit(), Plan(), Instrument()
SLOTS = [pointing_slot(ORBIT, PLAN, 1, k) for k in range(400)]
SCO_X1 = SkyCoord(*SCO_X1_DEG, unit="deg")
RA, DEC = st.floats(0, 360, exclude_max=True), st.floats(-89, 89)


def sky(slot) -> SkyCoord:
    return SkyCoord(slot.ra_deg, slot.dec_deg, unit="deg")


def antisun_angle(slot) -> float:
    middle = 0.5 * (slot.start_s + slot.stop_s)
    ra, dec = ra_dec(-sun_direction(ORBIT, middle))
    return float(SkyCoord(ra, dec, unit="deg").separation(sky(slot)).deg)


def test_b1_keeps_its_rules() -> None:
    b1 = [slot for slot in SLOTS if slot.kind == "B1"]
    offsets = np.array([antisun_angle(slot) for slot in b1])
    assert offsets.min() >= 30.0 - 1e-6
    assert offsets.max() <= 55.0 + 1e-6
    assert min(abs(sky(slot).galactic.b.deg) for slot in b1) >= 18.0 - 1e-6
    assert min(sky(slot).separation(SCO_X1).deg for slot in b1) >= 48.0 - 1e-6


def test_too_keep_away_from_the_sun_and_some_lie_in_the_plane() -> None:
    too = [slot for slot in SLOTS if slot.kind == "ToO"]
    assert max(antisun_angle(slot) for slot in too) <= 90.0 + 1e-6
    galactic = np.mean([abs(sky(slot).galactic.b.deg) < 9.0 for slot in too])
    # 0.3 in the plane and sin(9 degrees) = 16 % of the 0.7 others; n about 140.
    assert 0.25 < galactic < 0.57
    # The published 35 %, binomial, 400 slots: 4 sigma.
    assert len(too) / len(SLOTS) == pytest.approx(0.35, abs=0.096)


def test_a_year_of_b1_covers_both_hemispheres() -> None:
    year = [s for s in SLOTS if s.kind == "B1"]
    north = np.mean([sky(s).galactic.b.deg > 0 for s in year])
    assert 0.25 < north < 0.75


def test_slots_are_drawn_alone() -> None:
    late = pointing_slot.__wrapped__(ORBIT, PLAN, 1, 250)
    assert (late.attitude == SLOTS[250].attitude).all()
    assert plan(ORBIT, PLAN, 1, SLOTS[250].start_s + 3.0) is SLOTS[250]
    assert plan(ORBIT, PLAN, 1, SLOTS[250].stop_s - 1e-3) is SLOTS[250]
    assert plan(ORBIT, PLAN, 1, SLOTS[250].stop_s) is SLOTS[251]
    assert pointing_slot(ORBIT, PLAN, 2, 250).ra_deg != SLOTS[250].ra_deg
    assert plan(ORBIT, PLAN, 1, -1.0).slot == -1


def test_plan_that_cannot_keep_its_rules_still_points() -> None:
    strict = Plan(galactic_avoid_deg=89.0, too_share=0.0)
    assert all(np.isfinite(pointing_slot(ORBIT, strict, 1, k).attitude).all() for k in range(20))


def test_plan_straight_away_from_the_sun_is_refused() -> None:
    with pytest.raises(ValidationError, match="must lie between"):
        Plan(sun_offset_deg=(0.0, 10.0))


def test_sun_lies_over_plus_z_and_never_on_the_panels_axis() -> None:
    for slot in SLOTS[:50]:
        sun = slot.attitude @ sun_direction(ORBIT, 0.5 * (slot.start_s + slot.stop_s))
        assert sun[1] == pytest.approx(0.0, abs=1e-9)
        assert sun[2] > 0
        assert slot.attitude @ slot.attitude.T == pytest.approx(np.eye(3), abs=1e-12)
        assert np.linalg.det(slot.attitude) == pytest.approx(1.0)
        assert slot.attitude[0] == pytest.approx(unit_vector(slot.ra_deg, slot.dec_deg), abs=1e-12)
        assert not slot.attitude.flags.writeable


def test_roll_is_the_published_one_of_the_notices() -> None:
    text = files("slewguard.sim").joinpath("data/svom_eclairs_notices.csv").read_text(encoding="ascii")
    rows = [line.split(",") for line in text.splitlines() if not line.startswith("#")]
    header, rows = rows[0], rows[1:]
    assert len(rows) == 25
    for row in rows:
        notice = dict(zip(header, row, strict=True))
        orbit = Orbit(start=notice["window_start"])
        axis = unit_vector(float(notice["attitude_ra_deg"]), float(notice["attitude_dec_deg"]))
        attitude = attitude_towards(axis, sun_direction(orbit, 0.0))
        roll = -position_angle_deg(axis, attitude[2])
        # Attitudes are printed to 0.01 degrees, and a pointing keeps its roll while the Sun moves on.
        assert (roll - float(notice["attitude_roll_deg"]) + 180) % 360 - 180 == pytest.approx(0.0, abs=0.3)


def test_galactic_axes_agree_with_astropy() -> None:
    ra, dec = np.array([10.0, 200.0, 266.0]), np.array([-70.0, 5.0, -29.0])
    ours = unit_vector(ra, dec) @ GALACTIC.T
    theirs = SkyCoord(ra, dec, unit="deg").galactic.cartesian.xyz.value.T
    assert ours == pytest.approx(theirs, abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(RA, DEC)
def test_unit_vectors_and_back(ra: float, dec: float) -> None:
    back = ra_dec(unit_vector(ra, dec))
    assert SkyCoord(*back, unit="deg").separation(SkyCoord(ra, dec, unit="deg")).deg < 1e-6


@settings(max_examples=100, deadline=None)
@given(st.floats(-60, 260), st.floats(-60, 260), st.integers(0, 399))
def test_pixels_to_sky_and_back(y: float, z: float, slot: int) -> None:
    attitude = SLOTS[slot].attitude
    there = unit_vector(*to_world(attitude, y, z, GEOMETRY))
    back_y, back_z, in_front = to_sky_px(attitude, there, GEOMETRY)
    assert in_front
    assert (back_y, back_z) == pytest.approx((y, z), abs=1e-8)
    off_axis = np.degrees(np.arctan(np.hypot(y - 99, z - 99) * 4.5 / 460.0))
    apart = SkyCoord(*ra_dec(there), unit="deg").separation(sky(SLOTS[slot])).deg
    assert apart == pytest.approx(off_axis, abs=1e-6)


def test_behind_the_mask_there_is_no_pixel() -> None:
    attitude = SLOTS[0].attitude
    y, z, in_front = to_sky_px(attitude, np.stack([attitude[0], -attitude[0], attitude[1]]), GEOMETRY)
    assert in_front.tolist() == [True, False, False]
    assert (y[0], z[0]) == pytest.approx((99.0, 99.0))
    assert np.isnan(y[1:]).all()
    assert np.isnan(z[1:]).all()


@pytest.mark.parametrize("corner", [(0.0, 0.0), (40.0, 91.0)])
def test_projection_keywords_agree_with_astropy(corner: tuple[float, float]) -> None:
    from astropy.io.fits import Header
    from astropy.wcs import WCS

    rng = np.random.default_rng(3)
    for slot in SLOTS[:20]:
        wcs = WCS(Header(tan_wcs(slot, GEOMETRY, *corner)))
        y, z = rng.uniform(0, 198, (2, 30))
        ra, dec = wcs.all_pix2world(y - corner[0], z - corner[1], 0)
        ours = SkyCoord(*to_world(slot.attitude, y, z, GEOMETRY), unit="deg")
        assert ours.separation(SkyCoord(ra, dec, unit="deg")).max() < 0.001 * u.arcsec


def test_earth_crosses_the_field_every_orbit_in_b1() -> None:
    turn = period_s(ORBIT)
    for slot in [s for s in SLOTS[:60] if s.kind == "B1"]:
        t = slot.start_s + np.arange(0.0, turn, 10.0)
        earth = earth_in_body(ORBIT, slot, t)
        assert np.linalg.norm(earth, axis=1) == pytest.approx(1.0)
        # Far edge of the field along an axis: 44 degrees.
        off_axis = np.degrees(np.arccos(earth[:, 0]))
        assert off_axis.min() < earth_radius_deg(ORBIT) + 44.0
        assert off_axis.max() > off_axis.min() + 20.0
        # From one orbit to the next the disc comes back to where it was, but for the drift of the node.
        again = np.degrees(np.arccos(earth_in_body(ORBIT, slot, t + turn)[:, 0]))
        assert again == pytest.approx(off_axis, abs=1.0)


def test_earth_hides_in_body_axes_what_it_hides_in_the_sky() -> None:
    from slewguard.sim.orbit import occulted

    slot = SLOTS[0]
    t = slot.start_s + np.arange(0.0, 6000.0, 7.0)
    source = unit_vector(*to_world(slot.attitude, 130.0, 60.0, GEOMETRY))
    angle = np.degrees(np.arccos(np.clip(earth_in_body(ORBIT, slot, t) @ (slot.attitude @ source), -1, 1)))
    assert ((angle < earth_radius_deg(ORBIT)) == occulted(ORBIT, source, t)).all()
