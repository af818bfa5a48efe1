"""What events are made of: each cause in its place, at its time, and nothing that cannot be seen."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest
from sim_scenes import CONFIG, flight

from slewguard.sim.earth import direction, in_front, steps
from slewguard.sim.imaging import imager
from slewguard.sim.population import arcmin_to_px, circumstances, coding, draw_position, draw_sources, draw_truth
from slewguard.sim.scene import Truth
from slewguard.sim.timeline import generator
from slewguard.subimages.contract import BURST_CAUSES, FALSE_CAUSES, TRUE_CAUSES

INSTRUMENT, MIN_CODING = CONFIG.instrument, CONFIG.trigger.min_coding
CAUSES = list(CONFIG.rates.per_day())
DAYS = 12


def drawn(cause: str, n: int = 25) -> list[Truth]:
    found = [draw_truth(generator(1, k), flight(), cause, k, k % DAYS) for k in range(n)]
    return [t for t in found if t is not None]


def test_every_cause_that_an_event_can_have_has_a_rate() -> None:
    assert set(CAUSES) == {*TRUE_CAUSES, *FALSE_CAUSES} - {"coding_noise", "statistical"}


@pytest.mark.parametrize("cause", CAUSES)
def test_events_of_every_cause(cause: str) -> None:
    truths = drawn(cause)
    assert len(truths) >= 5
    for t in truths:
        assert (t.cause, t.start_s < t.stop_s) == (cause, True)
        # A SAA passage of a day may begin on the evening before.
        day = t.sequence % DAYS
        assert day * 86400.0 - 4000.0 <= t.start_s < (day + 1) * 86400.0 + 4000.0
        assert not flight().in_saa(np.array([t.start_s])).any()
        own = [t.new is not None, bool(t.disturbances), bool(t.faults), t.glow is not None]
        assert any(own)
        assert (t.new is not None) == (cause in (*TRUE_CAUSES, "edge_source"))
        if cause in FALSE_CAUSES:
            assert sum(own) == 1
        assert all(d.cause == cause for d in t.disturbances) or cause in TRUE_CAUSES
        assert all(f.cause == cause for f in t.faults) or cause in TRUE_CAUSES
    again = drawn(cause, 3)
    assert [t.start_s for t in again] == [t.start_s for t in truths[: len(again)]]


@pytest.mark.parametrize("cause", TRUE_CAUSES)
def test_true_events_can_be_seen(cause: str) -> None:
    m = flight()
    disturbed = 0
    for t in drawn(cause, 60):
        assert t.new is not None
        pointing = m.pointing(t.start_s)
        earth = m.earth_in_body(pointing, steps(t.start_s, t.stop_s, 20.0))
        assert in_front(direction(INSTRUMENT, t.new.y, t.new.z)[None], earth, m.earth_radius_deg).any()
        assert (t.new.fluence >= 0).all()
        assert t.new.fluence.sum() > 0
        share = float(t.new.curve.between(t.start_s, t.stop_s))
        assert share > 0.99 or t.stop_s - t.start_s > 1900.0
        if cause == "grb":
            assert coding(INSTRUMENT, t.new.y, t.new.z) > MIN_CODING
        if cause == "outburst":
            field = m.field(pointing)
            assert np.hypot(field.y - t.new.y, field.z - t.new.z).min() == 0.0
        disturbed += bool(t.disturbances or t.faults or t.glow)
    assert disturbed > 5


def test_known_and_wide_coordinates_of_the_coding() -> None:
    view = imager(INSTRUMENT, 1, MIN_CODING)
    z, y = np.mgrid[:199, :199]
    np.testing.assert_allclose(coding(INSTRUMENT, y, z), view.coding, atol=1e-6)
    assert coding(INSTRUMENT, -5.0, 99.0) == 0.0


def test_positions_are_uniform_in_solid_angle() -> None:
    rng = np.random.default_rng(1)
    where = np.array([draw_position(rng, INSTRUMENT, MIN_CODING) for _ in range(4000)])
    assert (coding(INSTRUMENT, *where.T) > MIN_CODING).all()
    # Within the square of +-40 pixels, all of which is searched: the azimuthal tangent's own distribution.
    inner = where[(np.abs(where - 99) < 40).all(axis=1)]
    grid = np.linspace(-40, 40, 2001)
    scale = 4.5 / 460
    density = ((1 + scale**2 * (grid[:, None] ** 2 + grid[None] ** 2)) ** -1.5).sum(axis=1)
    cumulative = np.cumsum(density) / density.sum()
    for axis in (0, 1):
        assert kstest(inner[:, axis] - 99, lambda x: np.interp(x, grid, cumulative)).pvalue > 1e-3
    # Of the solid angle of the searched field, that square has its share.
    z, y = np.mgrid[:199, :199] - 99
    solid = (1 + scale**2 * (y**2 + z**2)) ** -1.5 * (coding(INSTRUMENT, y + 99, z + 99) > MIN_CODING)
    share = solid[(np.abs(y) < 40) & (np.abs(z) < 40)].sum() / solid.sum()
    # The 79 whole pixels of the square reach to 39.5; five standard deviations of the sample.
    assert len(inner) / 4000 == pytest.approx(share * (40 / 39.5) ** 2, abs=5 * np.sqrt(share / 4000))


def test_sources_scatter_within_what_a_commissioned_trigger_allows() -> None:
    m = flight()
    seen = 0
    for k in range(30):
        pointing = m.pointing(60000.0 * k + 1.0)
        s = draw_sources(generator(2, k), m, pointing)
        field = m.field(pointing)
        assert (s.number == field.number).all()
        assert (s.y == field.y).all()
        assert (s.rate >= 0).all()
        lit = s.listed[:, 0] > 0
        assert (s.rate[lit, 0] <= 0.95 * CONFIG.trigger.max_flux_ratio * s.listed[lit, 0] * (1 + 1e-12)).all()
        cap = CONFIG.defects.ever_cap_sigma
        # The flux error of a source in the longest window, in sigma of a fully coded exposure.
        area = 0.16 * 6400 * 0.4 * 0.6
        for band in m.response.bands:
            rate = s.listed[:, band].sum(axis=1)
            background = m.quiet_rate[band].sum() * 6400
            sigma = rate * area * np.sqrt(1310.72) / np.sqrt(background + rate * 0.4 * 1024) * 2
            assert (np.abs(s.subtraction - 1) * sigma < 3 * cap).all()
        seen += len(s)
    assert seen > 20


@given(st.floats(0.01, 60.0))
def test_arcminutes_in_sky_pixels(angle: float) -> None:
    # The on-axis pixel is 33.6 arcmin.
    assert arcmin_to_px(angle, INSTRUMENT) == pytest.approx(angle / 33.63, rel=2e-3)


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 1e6), st.floats(1, 1e4))
def test_circumstances_are_those_of_the_mission(start: float, length: float) -> None:
    about = circumstances(flight(), start, start + length)
    assert about.quiet_rate == pytest.approx(flight().quiet_rate[about.first_band].sum())
    assert about.quiet_total == pytest.approx(flight().quiet_rate.sum())
    assert (about.start_s, about.stop_s) == (start, start + length)
    assert set(BURST_CAUSES) < set(TRUE_CAUSES)
