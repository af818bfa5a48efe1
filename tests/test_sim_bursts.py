import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad, simpson
from scipy.stats import kstest, spearmanr

from slewguard.sim.bursts import (
    NEW_KINDS,
    OUTBURST_KINDS,
    batse_bursts,
    draw_band,
    draw_burst,
    draw_dimming,
    draw_outburst,
    draw_unknown,
)
from slewguard.sim.lightcurve import Steady
from slewguard.sim.settings_sky import Bursts
from slewguard.sim.spectra import ERG_PER_KEV, band, crab, response

SEEN = response(((5.0, 20.0), (8.0, 50.0), (8.0, 120.0), (20.0, 120.0)))
BURSTS = Bursts()


@pytest.fixture(scope="module")
def population() -> list:
    rng = np.random.default_rng(1)
    return [draw_burst(rng, BURSTS, SEEN) for _ in range(2000)]


def test_catalogue_is_whole() -> None:
    table = batse_bursts()
    assert 1950 < len(table) <= 1973
    assert 0.2 < (table[:, 0] < 2.0).mean() < 0.3
    # The first row of the catalogue: log10 T90 0.7147, log10 fluence in 50-100 keV -5.8794.
    assert table[0, [0, 2]] == pytest.approx([10**0.7147, 10**-5.8794])


def test_t90_are_those_of_the_catalogue(population: list) -> None:
    assert kstest([b.t90_s for b in population], batse_bursts()[:, 0]).pvalue > 0.01


@given(st.integers(0, 10**6))
@settings(deadline=None)
def test_everything_drawn_is_positive_and_repeatable(seed: int) -> None:
    def draw() -> list:
        rng = np.random.default_rng(seed)
        return [
            draw_burst(rng, BURSTS, SEEN),
            draw_unknown(rng, BURSTS, SEEN),
            draw_outburst(rng, 0.1 * SEEN.rate(crab), BURSTS, SEEN),
        ]

    for one, again in zip(draw(), draw(), strict=True):
        assert one.fluence.shape == (SEEN.n_atoms,)
        # A soft blackbody leaves 1e-20 photons above 50 keV, but some.
        assert (one.fluence > 0).all()
        assert np.isfinite(one.fluence).all()
        assert one.t90_s > 0
        assert (one.kind, one.t90_s) == (again.kind, again.t90_s)
        assert np.array_equal(one.fluence, again.fluence)
        light = one.light_curve(np.random.default_rng(seed), 3.0, BURSTS)
        assert light.t90_s == pytest.approx(one.t90_s, rel=1e-3)
        assert light.cumulative(3.0) == 0.0


def test_fluence_of_a_classical_burst_is_the_catalogues() -> None:
    # With a prior that fixes the spectrum and no tail, the photons follow from the catalogue's ergs by quadrature.
    fixed = Bursts(
        band_alpha=(-1.0, 0.0), epeak_median_kev=150.0, epeak_sigma_dex=1e-3, x_ray_rich_share=0.0, faint_depth=1.0
    )

    def spectrum(e: float) -> float:
        return float(band(np.array(e), -1.0, -2.3, 150.0))

    ergs = quad(lambda e: e * spectrum(e), 50, 300)[0] * ERG_PER_KEV
    photons = quad(spectrum, 5, 120)[0] / ergs
    drawn = [draw_burst(np.random.default_rng(s), fixed, SEEN) for s in range(20)]
    table = batse_bursts()
    for seed, one in enumerate(drawn):
        row = table[np.random.default_rng(seed).integers(len(table))]
        # The spectrum is drawn within one cell of the grid: 0.14 in alpha, 12 % in Epeak.
        assert one.t90_s == row[0]
        assert one.fluence.sum() == pytest.approx(photons * (row[2] + row[3]), rel=0.25)


def test_hardness_leads_epeak() -> None:
    rng = np.random.default_rng(2)
    true_peaks = 10.0 ** rng.uniform(1.6, 2.8, 300)
    edges = [(20, 50), (50, 100), (100, 300), (300, 2000)]
    drawn = []
    for peak in true_peaks:
        grids = [np.geomspace(lo, hi, 400) for lo, hi in edges]
        fluences = np.array([simpson(e * band(e, -1.0, -2.3, peak), x=e) for e in grids])
        drawn.append(np.mean([np.log10(draw_band(rng, fluences, BURSTS)[1]) for _ in range(20)]))
    # The mean of the posterior; the prior alone would give no correlation.
    assert spearmanr(drawn, true_peaks).statistic > 0.9
    assert np.median(np.abs(drawn - np.log10(true_peaks))) < 0.15
    missing = [draw_band(rng, np.array([np.nan, 1e-6, 2e-6, np.nan]), BURSTS)[1] for _ in range(50)]
    assert np.isfinite(missing).all()


def test_short_bursts_are_harder() -> None:
    # Kouveliotou et al. 1993; nothing but the fluences of each burst can tell our draw.
    rng, table = np.random.default_rng(3), batse_bursts()
    peaks = np.array([draw_band(rng, row[1:], BURSTS)[1] for row in table])
    short = table[:, 0] < 2.0
    assert np.median(peaks[short]) > 1.5 * np.median(peaks[~short])


def test_x_ray_rich_tail(population: list) -> None:
    share = np.mean([b.kind == "x_ray_rich_grb" for b in population])
    # 2,000 draws: a binomial error of 0.011.
    assert share == pytest.approx(BURSTS.x_ray_rich_share, abs=0.035)

    def softness(kind: str) -> float:
        return float(np.median([b.fluence[0] / b.fluence[3] for b in population if b.kind == kind]))

    assert softness("x_ray_rich_grb") > 3 * softness("long_grb") > 3 * softness("short_grb") / 2


def test_dimming_follows_its_slope() -> None:
    rng = np.random.default_rng(4)
    drawn = np.array([draw_dimming(rng, BURSTS) for _ in range(20_000)])
    assert ((drawn >= BURSTS.faint_depth) & (drawn <= 1.0)).all()
    faint = drawn[drawn < 1.0]
    assert len(faint) / len(drawn) == pytest.approx(BURSTS.faint_share, abs=0.02)
    far = BURSTS.faint_depth**-BURSTS.faint_slope
    assert kstest(faint, lambda s: (far - s**-BURSTS.faint_slope) / (far - 1.0)).pvalue > 0.01
    # Slope and share fit together: bursts above S are S^-slope of those above 1, without a step at the catalogue.
    for s in (0.4, 0.6, 0.9):
        assert (drawn > s).sum() / (drawn >= 1.0).sum() == pytest.approx(s**-BURSTS.faint_slope, rel=0.03)
    assert draw_dimming(rng, Bursts(faint_depth=1.0)) == 1.0


def test_faint_and_x_ray_rich_bursts_are_weaker_by_their_keys() -> None:
    def draw(seed: int, **keys: float) -> np.ndarray:
        return draw_burst(np.random.default_rng(seed), Bursts(**keys), SEEN).fluence

    dimmed = 0
    for seed in range(30):
        # The dimming is drawn last, so that all else is the same.
        ratio = draw(seed, faint_depth=0.3) / draw(seed, faint_depth=1.0)
        assert ratio == pytest.approx(ratio[0])
        assert 0.3 <= ratio[0] <= 1.0 + 1e-12
        dimmed += bool(ratio[0] < 0.99)
        weak, same = (draw(seed, x_ray_rich_share=1.0, x_ray_rich_fluence=share) for share in (0.3, 1.0))
        assert weak / same == pytest.approx(0.3)
    # 62 % of 30.
    assert 10 <= dimmed <= 27


def test_new_sources_of_every_kind() -> None:
    rng = np.random.default_rng(5)
    drawn = [draw_unknown(rng, BURSTS, SEEN) for _ in range(1500)]
    ends = {
        "type_i_burst": BURSTS.type_i_crab,
        "binary_flare": BURSTS.flare_crab,
        "x_ray_nova": BURSTS.nova_crab,
        "stellar_flare": BURSTS.stellar_crab,
    }
    weights = np.array(BURSTS.new_weights) / sum(BURSTS.new_weights)
    per_crab = SEEN.band_sum(SEEN.rate(crab), 0)
    for kind, weight in zip(NEW_KINDS, weights, strict=True):
        mine = [d for d in drawn if d.kind == kind]
        assert len(mine) / len(drawn) == pytest.approx(weight, abs=0.04)
        if kind in ends:
            flux = np.array([SEEN.band_sum(d.fluence, 0) / (d.t90_s / 0.9) / per_crab for d in mine])
            lo, hi = ends[kind]
            assert (flux > lo * 0.999).all()
            assert (flux < hi * 1.001).all()
        else:
            assert all(d.t90_s < 1.0 for d in mine)
    nova = next(d for d in drawn if d.kind == "x_ray_nova")
    assert isinstance(nova.light_curve(rng, 0.0, BURSTS), Steady)


def test_outbursts_stay_below_their_cap() -> None:
    rng = np.random.default_rng(6)
    per_crab = SEEN.rate(crab)
    for flux in (0.01, 1.0, 10.0):
        drawn = [draw_outburst(rng, flux * per_crab, BURSTS, SEEN) for _ in range(300)]
        assert {d.kind for d in drawn} == set(OUTBURST_KINDS)
        excess = np.array([d.fluence.sum() / (d.t90_s / 0.9) / per_crab.sum() for d in drawn])
        lo, hi = BURSTS.outburst_factor
        assert (excess > 0.999 * flux * (lo - 1)).all()
        assert (excess < 1.001 * min(flux * (hi - 1), BURSTS.outburst_max_crab)).all()
