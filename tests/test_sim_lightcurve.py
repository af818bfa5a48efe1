import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import expon, gamma

from slewguard.sim.lightcurve import LightCurve, Pulses, Steady, decaying, draw_pulses
from slewguard.sim.settings_sky import Bursts

BURSTS = Bursts()


def curve(kind: str, seed: int, t90_s: float, onset_s: float) -> LightCurve:
    if kind == "steady":
        return Steady(onset_s, onset_s + t90_s / 0.9)
    if kind == "decay":
        return decaying(t90_s, onset_s)
    return draw_pulses(np.random.default_rng(seed), t90_s, onset_s, BURSTS)


CURVES = st.builds(
    curve,
    st.sampled_from(["steady", "decay", "pulses"]),
    st.integers(0, 10**6),
    st.floats(0.01, 3000.0),
    st.floats(0.0, 1e5),
)


@given(CURVES, st.lists(st.floats(-1e3, 2e5), min_size=3, max_size=20))
@settings(deadline=None)
def test_cumulative_is_a_distribution(light: LightCurve, times: list[float]) -> None:
    t = np.sort(np.array(times))
    share = light.cumulative(t)
    assert ((share >= 0) & (share <= 1)).all()
    # Rounding of sums of up to eight pulses.
    assert (np.diff(share) >= -1e-12).all()
    parts = light.between(t[:-1], t[1:])
    assert parts.sum() == pytest.approx(float(light.between(t[0], t[-1])), abs=1e-12)
    assert light.cumulative(light._span_s()[0]) == 0.0
    assert light.cumulative(light._span_s()[1]) == pytest.approx(1.0, abs=1e-9)
    assert light.cumulative(t.reshape(-1, 1)).shape == (len(t), 1)


@given(CURVES)
@settings(deadline=None)
def test_active_interval_holds_its_share(light: LightCurve) -> None:
    start, stop = light.active_s
    # The quantiles are exact to 1e-7 of a span of some 100 decay times.
    assert float(light.between(start, stop)) == pytest.approx(0.995, abs=1e-4)
    assert float(light.cumulative(start)) == pytest.approx(0.0025, abs=1e-4)


@given(st.integers(0, 10**6), st.floats(0.02, 500.0), st.floats(0.0, 1000.0))
@settings(deadline=None, max_examples=50)
def test_drawn_pulses_have_the_t90_asked_for(seed: int, t90_s: float, onset_s: float) -> None:
    light = draw_pulses(np.random.default_rng(seed), t90_s, onset_s, BURSTS)
    assert 1 <= len(light.weights) <= 8
    assert sum(light.weights) == pytest.approx(1.0)
    assert min(light.onsets_s) == onset_s
    # Independent of the closed form: the flux, written out, summed on a fine grid, and its quantiles read off.
    decays, rises, onsets = map(np.array, (light.decays_s, light.rises_s, light.onsets_s))
    time = np.linspace(onset_s, float((onsets + 15 * decays).max()), 400_001)
    flux = np.zeros_like(time)
    for weight, onset, rise, decay in zip(light.weights, onsets, rises, decays, strict=True):
        since = np.maximum(time - onset, 0.0)
        shape = -np.expm1(-since / rise) * np.exp(-since / decay)
        flux += weight * shape / (decay**2 / (rise + decay))
    arrived = np.cumsum(0.5 * (flux[1:] + flux[:-1])) * (time[1] - time[0])
    assert arrived[-1] == pytest.approx(1.0, abs=1e-4)
    t05, t95 = np.interp([0.05, 0.95], arrived, time[1:])
    assert t95 - t05 == pytest.approx(t90_s, rel=1e-3)
    assert light.t90_s == pytest.approx(t90_s, rel=1e-4)


@pytest.mark.parametrize(("rise", "decay"), [(0.3, 2.0), (5.0, 1.0), (1e-3, 40.0)])
def test_pulse_integral_against_quadrature(rise: float, decay: float) -> None:
    pulse = Pulses((1.0,), (1.0,), (rise,), (decay,))

    def flux(t: float) -> float:
        return float((1 - np.exp(-t / rise)) * np.exp(-t / decay))

    total = quad(flux, 0, 40 * decay, points=[rise, 20 * rise, decay], limit=200)[0]
    for t in (0.1 * decay, decay, 4 * decay):
        share = quad(flux, 0, t, points=[min(rise, t), min(20 * rise, t)], limit=200)[0] / total
        assert float(pulse.cumulative(1.0 + t)) == pytest.approx(share, abs=1e-7)


def test_limits_of_the_pulse() -> None:
    time = np.linspace(0.0, 20.0, 101)
    # A rise much longer than the decay makes the pulse t exp(-t / decay), the gamma distribution of shape 2; what
    # differs is of the order of decay / rise.
    slow = Pulses((1.0,), (0.0,), (1e5,), (2.0,))
    assert slow.cumulative(time) == pytest.approx(gamma.cdf(time, 2, scale=2.0), abs=1e-4)
    fast = Pulses((1.0,), (0.0,), (1e-5,), (2.0,))
    assert fast.cumulative(time) == pytest.approx(expon.cdf(time, scale=2.0), abs=1e-4)


def test_quantiles_invert_the_cumulative() -> None:
    light = draw_pulses(np.random.default_rng(3), 20.0, 5.0, BURSTS)
    shares = np.array([[0.01, 0.3], [0.5, 0.99]])
    assert light.cumulative(light.quantile(shares)) == pytest.approx(shares, abs=1e-5)
    assert float(Steady(10.0, 30.0).quantile(0.25)) == pytest.approx(15.0, abs=1e-5)


def test_pulse_numbers_follow_their_key() -> None:
    rng = np.random.default_rng(0)
    for t90_s, ratio in zip((0.5, 20.0), BURSTS.pulse_ratio, strict=True):
        counts = np.bincount([len(draw_pulses(rng, t90_s, 0.0, BURSTS).weights) for _ in range(1500)], minlength=9)
        expected = 1500 * ratio ** np.arange(8) / (ratio ** np.arange(8)).sum()
        # chi-square with 7 degrees of freedom stays below 24.3 in 99.9 % of draws.
        assert ((counts[1:] - expected) ** 2 / expected).sum() < 24.3


def test_heights_are_peak_fluxes() -> None:
    alike, several = Bursts(pulse_height_dex=0.0), 0
    for seed in range(10):
        light = draw_pulses(np.random.default_rng(seed), 20.0, 0.0, alike)
        peaks = []
        for weight, rise, decay in zip(light.weights, light.rises_s, light.decays_s, strict=True):
            pulse, time = Pulses((1.0,), (0.0,), (rise,), (decay,)), np.linspace(0.0, 5.0 * decay, 5001)
            peaks.append(weight * np.diff(pulse.cumulative(time)).max() / time[1])
        # The steepest of 1,000 steps a decay time.
        assert peaks == pytest.approx([peaks[0]] * len(peaks), rel=1e-3)
        several += len(peaks) > 1
    assert several > 3


def test_same_generator_same_curve() -> None:
    assert draw_pulses(np.random.default_rng(9), 7.0, 1.0, BURSTS) == draw_pulses(
        np.random.default_rng(9), 7.0, 1.0, BURSTS
    )
