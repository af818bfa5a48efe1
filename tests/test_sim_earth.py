"""The Earth against brute force: what it hides, when, and how fast its limb moves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from sim_scenes import CONFIG, SHORT, bare, burst, flight, scene_of, setting_s

from slewguard.sim.earth import Glow, direction, in_front, reaches_field, steps, visible_sky
from slewguard.sim.lightcurve import Steady

GEOMETRY = CONFIG.instrument
RADIUS = flight().earth_radius_deg


def angles(earth: np.ndarray) -> np.ndarray:
    """Degrees from the Earth's centre to every sky pixel, by the arc cosine of a plain product."""
    at = (np.arange(199) - 99) * 4.5 / 460
    y, z = np.meshgrid(at, at)
    cosine = (earth[0] + earth[1] * y + earth[2] * z) / np.sqrt(1 + y**2 + z**2)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


unit = st.tuples(st.floats(0, np.pi), st.floats(-np.pi, np.pi)).map(
    lambda a: np.array([np.cos(a[0]), np.sin(a[0]) * np.cos(a[1]), np.sin(a[0]) * np.sin(a[1])])
)


@settings(max_examples=60, deadline=None)
@given(unit)
def test_visible_sky_is_what_lies_outside_the_disc(earth: np.ndarray) -> None:
    seen = visible_sky(GEOMETRY, earth[None], RADIUS)
    away = angles(earth) - RADIUS
    # The edge is drawn 0.6 degrees soft.
    assert (seen[away > 0.31] == 1.0).all()
    assert (seen[away < -0.31] == 0.0).all()
    at_edge = np.abs(away) < 0.25
    np.testing.assert_allclose(seen[at_edge], 0.5 + away[at_edge] / 0.6, atol=5e-3)
    if not reaches_field(GEOMETRY, earth[None], RADIUS):
        assert (seen == 1.0).all()


def test_visible_sky_averages_over_time() -> None:
    earth = flight().earth_in_body(flight().pointing(setting_s()), steps(setting_s(), setting_s() + 327.68))
    assert len(earth) == 32
    want = np.mean([np.clip(0.5 + (angles(e) - RADIUS) / 0.6, 0, 1) for e in earth], axis=0)
    got = visible_sky(GEOMETRY, earth, RADIUS)
    np.testing.assert_allclose(got, want, atol=2e-3)
    assert 0.05 < got.mean() < 0.95


@settings(max_examples=60, deadline=None)
@given(unit, st.floats(0, 198), st.floats(0, 198))
def test_in_front_is_by_angle(earth: np.ndarray, y: float, z: float) -> None:
    u = direction(GEOMETRY, y, z)
    assert np.linalg.norm(u) == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(u[1:] / u[0] * 460 / 4.5 + 99, [y, z], atol=1e-9)
    angle = np.degrees(np.arctan2(np.linalg.norm(np.cross(earth, u)), earth @ u))
    if abs(angle - RADIUS) > 1e-6:
        assert in_front(u[None], earth[None], RADIUS).tolist() == [[angle > RADIUS]]


def test_directions_come_in_arrays() -> None:
    y, z = np.array([0.0, 99.0, 198.0]), np.array([5.0, 99.0, 7.0])
    many = direction(GEOMETRY, y, z)
    assert many.shape == (3, 3)
    for i in range(3):
        np.testing.assert_allclose(many[i], direction(GEOMETRY, y[i], z[i]))
    assert in_front(many, many, 10.0).tolist() == [[False, True, True], [True, False, True], [True, True, False]]


def test_the_disc_has_the_angle_of_its_altitude_and_moves_at_most_as_published() -> None:
    # asin(6371 / 6996) of a sphere; the reference recipe says 65.6 degrees and 3.7 degrees a minute.
    assert pytest.approx(65.6, abs=0.1) == RADIUS
    t = np.arange(0.0, 3 * 5826.0, 60.0)
    earth = flight().earth_in_body(flight().pointing(0.0), t)
    np.testing.assert_allclose(np.linalg.norm(earth, axis=1), 1.0, atol=1e-9)
    moved = np.degrees(np.arccos(np.clip((earth[1:] * earth[:-1]).sum(axis=1), -1, 1)))
    assert moved.max() <= 3.75
    assert moved.min() > 3.6
    # The slowest limb there is: none of the sky is hidden for more than half an orbit.
    hidden = ~in_front(direction(GEOMETRY, 99.0, 99.0)[None], earth, RADIUS)[:, 0]
    assert hidden.mean() < 0.5


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 1e6), st.floats(0.01, 2000), st.floats(0.5, 20))
def test_steps_are_equal_and_short_enough(start: float, length: float, step: float) -> None:
    middles = steps(start, start + length, step)
    each = length / len(middles)
    assert each <= step * (1 + 1e-6)
    assert len(middles) == 1 or length / (len(middles) - 1) > step * (1 - 1e-6)
    np.testing.assert_allclose(middles, start + each * (np.arange(len(middles)) + 0.5), atol=1e-6)


def crossing_s(y: float, z: float) -> float:
    """When the limb crosses a direction, from the angle alone."""
    m = flight()
    pointing = m.pointing(setting_s())
    u = direction(GEOMETRY, y, z)

    def above(t: float) -> float:
        return float(m.earth_in_body(pointing, np.array([t]))[0] @ u - np.cos(np.radians(RADIUS)))

    return float(brentq(above, setting_s(), setting_s() + 350.0))


@pytest.mark.parametrize("offset", [-7.3, 0.0, 8.9])
def test_a_source_that_sets_or_rises_shines_for_the_right_share(offset: float) -> None:
    at, m = crossing_s(99.0, 99.0), flight()
    u = direction(GEOMETRY, 99.0, 99.0)[None]
    rises = bool(in_front(u, m.earth_in_body(m.pointing(at), np.array([at + 5.0])), RADIUS)[0, 0])
    start, stop = at - SHORT / 2 + offset, at + SHORT / 2 + offset
    want = (stop - at if rises else at - start) / SHORT
    truth = burst(1.0, SHORT, y=99.0, z=99.0, start_s=start, curve=Steady(start, stop))
    scene = bare(scene_of(truth, at_s=setting_s()))
    # The Earth is looked at every 1.28 s.
    share = scene.arrived_share(scene.truths[0], start, stop)
    assert share == pytest.approx(want, abs=0.65 / SHORT)
    # Its counts are that share of what it gives in front of the Earth.
    extra = scene.expected(start, stop) - scene.without_transients().expected(start, stop)
    assert extra.sum() == pytest.approx(share * scene.new_lit.counts(truth.new.fluence[None]).sum(), rel=1e-9)


def test_known_sources_set_as_new_ones_do() -> None:
    scene = scene_of(at_s=setting_s())
    seconds = scene.seen_s(setting_s(), setting_s() + 327.68)
    m = flight()
    t = setting_s() + (np.arange(32768) + 0.5) * 0.01
    earth = m.earth_in_body(m.pointing(setting_s()), t)
    for s, y, z in zip(seconds, scene.sources.y, scene.sources.z, strict=True):
        want = in_front(direction(GEOMETRY, y, z)[None], earth, RADIUS).mean() * 327.68
        # Half a step of 1.28 s at each crossing of the limb.
        assert s == pytest.approx(want, abs=1.3)


def test_the_earth_takes_the_sky_away_at_low_energies() -> None:
    scene = bare(scene_of(at_s=setting_s()))
    m = flight()
    earth = m.earth_in_body(m.pointing(setting_s()), steps(setting_s(), setting_s() + SHORT, 0.5))
    plane = scene.telescope.diffuse_visible(visible_sky(GEOMETRY, earth, RADIUS))
    counts = scene.diffuse(setting_s(), setting_s() + SHORT)[0]
    # 5-8 keV: tantalum passes nothing and the Earth is dark. A step of 10.24 s moves the limb by a sky pixel.
    np.testing.assert_allclose(counts[0], m.cxb_rate[0] * plane * SHORT, rtol=0.01)
    full = m.cxb_rate[0] * scene.telescope.diffuse.sum() * SHORT
    assert counts[0].sum() < 0.99 * full


def test_a_glow_lies_on_the_disc_near_its_edge() -> None:
    earth = np.array([0.2, -0.8, 0.3])
    earth /= np.linalg.norm(earth)
    towards = float(np.arctan2(-earth[2], -earth[1]))
    shining = Glow(0.0, 1.0, 50.0, towards, 0.2).map(GEOMETRY, earth[None], RADIUS)
    away = angles(earth) - RADIUS
    assert (shining[away > 0.01] == 0.0).all()
    assert 25.0 < shining.max() <= 50.0
    row, col = np.unravel_index(np.argmax(shining), shining.shape)
    assert -1.0 < away[row, col] <= 0.01
    # It falls off by e in four degrees inside, where the limb faces the axis.
    u = direction(GEOMETRY, float(col), float(row))
    at = np.degrees(np.arccos(u @ earth))
    assert shining[row, col] == pytest.approx(50.0 * np.exp(-(RADIUS - at) / 4.0), rel=0.1)
    twice = Glow(0.0, 1.0, 50.0, towards, 0.2).map(GEOMETRY, np.stack([earth, -earth]), RADIUS)
    np.testing.assert_allclose(twice, 0.5 * shining, rtol=1e-6, atol=1e-12)
