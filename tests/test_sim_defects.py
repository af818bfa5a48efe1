"""Disturbances of the detector plane: their shapes, their spectra, and how they act in time."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from sim_scenes import flight

from slewguard.sim.defects import DETECTOR_CAUSES, Disturbance, ever, saa
from slewguard.sim.population import circumstances
from slewguard.sim.timeline import generator

ABOUT = circumstances(flight(), 1000.0, 3000.0)
PHOTONS = np.full((4, 80, 80), 50.0)


def drawn(cause: str, n: int = 40) -> list[Disturbance]:
    return [DETECTOR_CAUSES[cause](generator(1, k), ABOUT) for k in range(n)]


@pytest.mark.parametrize("cause", list(DETECTOR_CAUSES))
def test_every_cause_acts_in_its_time_and_never_below_nothing(cause: str) -> None:
    for d in drawn(cause):
        assert d.cause == cause
        assert sum(part is not None for part in (d.efficiency, d.rate, d.counts)) == 1
        assert d.spectrum.shape == (4,)
        assert (d.spectrum >= 0).all()
        assert np.sum(d.expected(PHOTONS, 0.0, 900.0)) == 0.0
        assert np.sum(d.expected(PHOTONS, 3100.0, 4000.0)) == 0.0
        assert (PHOTONS + d.expected(PHOTONS, 1000.0, 1020.0) >= -1e-9).all()
        if d.efficiency is not None:
            # 1 in the lowest interval, less in each next one.
            assert d.spectrum[0] == 1.0
            assert (np.diff(d.spectrum) <= 0).all()
            assert d.efficiency.min() >= -1.0
        if d.rate is not None:
            assert d.spectrum[ABOUT.first_band].sum() == pytest.approx(1.0)
            assert d.rate.min() >= 0.0
        if d.counts is not None:
            assert d.counts.shape == (4, 80, 80)
            assert (d.counts == np.rint(d.counts)).all()
            assert d.arrived(1000.0, 1000.01) is d.counts
            assert d.arrived(1000.01, 2000.0) == 0.0
            assert d.arrived(900.0, 1000.0) == 0.0


def test_shapes() -> None:
    for d in drawn("xrdpix"):
        assert d.efficiency is not None
        blocks = d.efficiency.reshape(10, 8, 20, 4)
        assert (blocks == blocks[:, :1, :, :1]).all()
    for d in drawn("sector"):
        assert d.efficiency is not None
        rows, cols = np.nonzero(d.efficiency)
        # 25 modules of 32 pixels.
        assert len(rows) == 800
        assert (np.ptp(rows) + 1) * (np.ptp(cols) + 1) == 800
        assert len(np.unique(d.efficiency)) == 2
    for d in drawn("column"):
        assert d.efficiency is not None
        whole = [(d.efficiency != 0).any(axis=k).sum() for k in (0, 1)]
        # One or two lines of at most four pixels; two may run along different axes.
        assert min(whole) <= 8 or (d.efficiency != 0).mean() < 0.11
    for d in drawn("hot_pixel"):
        assert d.rate is not None
        assert 1 <= (d.rate > 0).sum() <= 3
    for d in drawn("noisy_pixel"):
        assert d.rate is not None
        assert 1 <= (d.rate > 0).sum() < 80
    for d in drawn("heat_pipe"):
        assert d.rate is not None
        inner = d.rate[6:-6, 6:-6]
        assert (inner == 0).all()
        assert (d.rate > 0).any()


def test_showers_have_the_counts_that_fall_on_the_plane() -> None:
    totals = [float(d.counts.sum()) for d in drawn("particle_shower") if d.counts is not None]
    assert max(totals) <= flight().config.defects.shower_counts[1]
    assert len(set(totals)) > 30


@pytest.mark.parametrize("entry", [True, False])
def test_saa_rises_to_its_edge_and_falls_from_it(entry: bool) -> None:
    for k in range(10):
        d = saa(generator(2, k), ABOUT, 5000.0, entry)
        assert d.rate is not None
        assert d.spectrum.sum() == pytest.approx(1.0)
        assert d.rate.mean() / ABOUT.quiet_total == pytest.approx(d.rate.mean() / ABOUT.quiet_total)
        lo, hi = flight().config.defects.saa_rate
        assert lo <= d.rate.mean() / ABOUT.quiet_total * (1 + 1e-9)
        assert d.rate.mean() / ABOUT.quiet_total <= hi * (1 + 1e-9)
        assert (d.stop_s if entry else d.start_s) == 5000.0
        a, b = (d.start_s + 0.3 * (d.stop_s - d.start_s), d.stop_s - 1.0)
        want = quad(lambda t, d=d: np.exp(-abs(t - 5000.0) / d.growth_s), a, b)[0]
        assert d.effective_s(a, b) == pytest.approx(want, rel=1e-6)
        near, far = ((4980.0, 5000.0), (4960.0, 4980.0)) if entry else ((5000.0, 5020.0), (5020.0, 5040.0))
        assert np.sum(d.expected(PHOTONS, *near)) > np.sum(d.expected(PHOTONS, *far)) > 0


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(["column", "hot_pixel", "heat_pipe", "saa"]),
    st.floats(0, 5000),
    st.floats(0.01, 0.99),
    st.floats(1, 3000),
)
def test_what_a_disturbance_adds_sums_over_time(cause: str, start: float, share: float, length: float) -> None:
    d = saa(generator(3, 1), ABOUT, 3000.0, entry=True) if cause == "saa" else drawn(cause, 1)[0]
    middle, stop = start + share * length, start + length
    whole = d.expected(PHOTONS * length, start, stop)
    pieces = d.expected(PHOTONS * share * length, start, middle) + d.expected(PHOTONS * (stop - middle), middle, stop)
    np.testing.assert_allclose(pieces, whole, rtol=1e-6, atol=1e-6)


def test_the_scatter_that_is_always_there() -> None:
    found = ever(generator(4, 1), ABOUT)
    assert [d.cause for d in found] == ["noisy_pixel", "xrdpix", "column"]
    for d in found:
        assert np.sum(np.abs(d.expected(PHOTONS, -1e9, -1e9 + 20.0))) > 0
        assert d.efficiency is not None
        assert np.abs(d.efficiency).max() < 0.3
    half = replace(found[0], start_s=10.0)
    np.testing.assert_allclose(half.expected(PHOTONS, 0.0, 20.0), 0.5 * found[0].expected(PHOTONS, 0.0, 20.0))
