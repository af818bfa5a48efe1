"""The sky map against a brute-force deconvolution and the published or computed facts of ECLAIRs images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear
from scipy.signal import correlate, correlate2d

from slewguard.sim.imaging import Field, Imager, imager
from slewguard.sim.instrument import Telescope
from slewguard.sim.ladder import climb
from slewguard.sim.settings_instrument import Instrument
from slewguard.sim.spectra import crab as crab_spectrum
from slewguard.sim.spectra import cxb as cxb_spectrum
from slewguard.sim.spectra import photon_flux
from slewguard.sim.trigger import sub_pixel

CXB_FLUX, CRAB_FLUX = photon_flux(cxb_spectrum, 5.0, 20.0), photon_flux(crab_spectrum, 5.0, 20.0)
NO_SOURCES = np.zeros((0, 80, 80))
SECONDS = 20.48


@pytest.fixture(scope="module")
def camera() -> Imager:
    return imager(Instrument(), 1, 0.05)


def cxb(camera: Imager) -> np.ndarray:
    return camera.telescope.diffuse * CXB_FLUX * SECONDS


def crab(camera: Imager, y: float, z: float, flux: float = 1.0) -> np.ndarray:
    tel = camera.telescope
    return tel.shadow(y, z) * tel.projected_area(y, z) * CRAB_FLUX * SECONDS * flux


def image(camera: Imager, counts: np.ndarray) -> np.ndarray:
    background, _ = camera.fit(counts, NO_SOURCES, np.zeros(0))
    return camera.sky_map(counts, background).snr


def test_map_equals_one_correlation_per_term(camera: Imager) -> None:
    rng = np.random.default_rng(1)
    counts = rng.poisson(cxb(camera)).astype(float)
    model = np.full((80, 80), counts.mean())
    mask = camera.telescope.transmission
    inner = np.s_[45:150, 60:140]

    def on_sky(kernel: np.ndarray, plane: np.ndarray) -> np.ndarray:
        return correlate2d(kernel, plane, mode="full")

    shaded = np.ones_like(mask) - mask
    ones = np.ones((80, 80))
    b = on_sky(mask, ones)[inner] / on_sky(shaded, ones)[inner]
    s = on_sky(mask, counts - model)[inner] - b * on_sky(shaded, counts - model)[inner]
    v = on_sky(mask**2, counts)[inner] + b**2 * on_sky(shaded**2, counts)[inner]
    v -= 2 * b * on_sky(mask * shaded, counts)[inner]
    got = camera.sky_map(counts, model).snr[inner]
    # float32 transforms: about 1e-6 of the largest intermediate sum.
    assert np.abs(got - s / np.sqrt(v)).max() < 2e-3


def test_field_of_view(camera: Imager) -> None:
    snr = image(camera, cxb(camera))
    assert snr.shape == (199, 199)
    assert snr.dtype == np.float32
    assert np.array_equal(np.isnan(snr), camera.coding < 0.05)
    assert (camera.coding == 1.0).sum() == 41 * 41


def test_blank_maps(camera: Imager) -> None:
    rng = np.random.default_rng(2)
    maps = [image(camera, rng.poisson(cxb(camera)).astype(float)) for _ in range(40)]
    std = np.mean([np.nanstd(m) for m in maps])
    peak = np.mean([np.nanmax(m) for m in maps])
    # Reference recipe, section 9: 0.99 +- 0.02 with the cross term, mean maximum 3.3 to 4.6.
    assert std == pytest.approx(0.99, abs=0.02)
    assert 3.3 < peak < 4.6


def test_point_spread_has_four_minima() -> None:
    depth = []
    for seed in (1, 2, 3):
        camera = imager(Instrument(), seed, 0.05)
        snr = image(camera, cxb(camera) + crab(camera, 99, 99))
        peak = snr[99, 99]
        arms = [snr[95:98, 99], snr[101:104, 99], snr[99, 95:98], snr[99, 101:104]]
        depth += [float(arm.min() / peak) for arm in arms]
    # Section 9: -0.15 to -0.30 at the four axis positions (mean over masks; 0.03 for single patterns).
    assert -0.30 < np.mean(depth) < -0.15
    assert all(-0.33 < d < -0.12 for d in depth)


def test_crab_on_axis(camera: Imager) -> None:
    rng = np.random.default_rng(3)
    found = []
    for _ in range(30):
        y, z = 99 + rng.uniform(-0.5, 0.5, 2)
        counts = rng.poisson(cxb(camera) + crab(camera, y, z)).astype(float)
        found.append(np.nanmax(image(camera, counts)))
    # Section 3: SNR 39 in 20.48 s, 5-20 keV, ideal response; 3 is its stated tolerance. That is without the cross term
    # of the variance, where the SNR of a blank map scatters by 0.91 instead of 0.99.
    assert np.mean(found) == pytest.approx(39.0 * 0.99 / 0.91, abs=3.0)


def test_localisation_law() -> None:
    rng = np.random.default_rng(4)
    products = []
    for k in range(300):
        camera = imager(Instrument(), 1 + k % 3, 0.05)
        y, z = rng.uniform(80, 118, 2)
        counts = rng.poisson(cxb(camera) + crab(camera, y, z, 0.35)).astype(float)
        snr = image(camera, counts)
        row, col = np.unravel_index(np.nanargmax(snr), snr.shape)
        fit_y, fit_z = sub_pixel(snr, int(row), int(col))
        t = np.array([y, z, fit_y, fit_z]) - 99.0
        d = np.c_[t[0::2] * 4.5 / 460, t[1::2] * 4.5 / 460, np.ones(2)]
        d /= np.linalg.norm(d, axis=1, keepdims=True)
        angle = np.degrees(np.arccos(min(d[0] @ d[1], 1.0))) * 60
        products.append(angle * snr[row, col])
    # 25 public notices: R90 x SNR = 77.0 arcmin; the recipe allows 10 %, which 300 trials (5 %) do not widen.
    assert np.quantile(products, 0.9) == pytest.approx(77.0, rel=0.10)


def test_snr_follows_flux(camera: Imager) -> None:
    flux = np.array([0.05, 0.1, 0.2, 0.4, 0.8])
    background = cxb(camera)
    found = [image(camera, background + crab(camera, 110, 85, f))[85, 110] for f in flux]
    none = image(camera, background)[85, 110]
    # S grows as the flux and V as counts do, so (F / SNR)^2 is a straight line in F; 1e-3 covers float32.
    squared = (flux / (np.array(found) - none)) ** 2
    line = np.polyval(np.polyfit(flux, squared, 1), flux)
    assert np.abs(squared / line - 1).max() < 1e-3
    assert found[1] == pytest.approx(0.1 * 40, rel=0.35)


def test_a_fitted_source_vanishes(camera: Imager) -> None:
    tel = camera.telescope
    shadow = tel.shadow(120.3, 77.8)[None]
    area = tel.projected_area(120.3, 77.8)
    counts = cxb(camera) + crab(camera, 120.3, 77.8, 5.0)
    lit = 5.0 * area * CRAB_FLUX * SECONDS
    _, amplitude = camera.fit(counts, shadow, np.array([10 * lit]))
    assert amplitude[0] == pytest.approx(lit, rel=0.02)
    _, clipped = camera.fit(counts, shadow, np.array([0.5 * lit]))
    assert clipped[0] == 0.5 * lit
    flat = camera.flattened(counts - amplitude[0] * shadow[0])
    assert np.nanmax(camera.sky_map(counts, counts - flat).snr) < 2.0


def test_weights_give_the_balanced_sum(camera: Imager) -> None:
    rng = np.random.default_rng(5)
    plane = rng.normal(size=(80, 80))
    sky = camera.sky_map(np.abs(plane) + 5.0, np.abs(plane) + 5.0 - plane)
    for row, col in ((99, 99), (30, 150), (170, 100)):
        want = float(np.sum(camera.weights(row, col) * plane))
        assert sky.balanced[row, col] == pytest.approx(want, abs=2e-3)


def test_rotated_plane_gives_a_rotated_map(camera: Imager) -> None:
    rng = np.random.default_rng(6)
    tel = camera.telescope
    turned = Imager(Telescope(tel.geometry, np.rot90(tel.pattern)), 0.05)
    counts = rng.poisson(cxb(camera)).astype(float)
    assert np.allclose(image(turned, np.rot90(counts)), np.rot90(image(camera, counts)), atol=1e-3, equal_nan=True)


def exact_maps(camera: Imager, counts: np.ndarray, model: np.ndarray, cross_term: bool) -> tuple[np.ndarray, ...]:
    """SNR, S and V of the formulae in double precision, one correlation per term."""
    m = camera.telescope.transmission
    open_, shaded, ones = m, 1.0 - m, np.ones((80, 80))

    def on_sky(kernel: np.ndarray, plane: np.ndarray) -> np.ndarray:
        return correlate(kernel, plane, mode="full", method="fft")

    with np.errstate(all="ignore"):
        b = on_sky(open_, ones) / on_sky(shaded, ones)
        s = on_sky(open_, counts - model) - b * on_sky(shaded, counts - model)
        v = on_sky(open_**2, counts) + b**2 * on_sky(shaded**2, counts)
        if cross_term:
            v -= 2 * b * on_sky(open_ * shaded, counts)
        snr = s / np.sqrt(v)
    return tuple(np.where(camera.valid, x, np.nan) for x in (snr, s, v))


def crowded(camera: Imager, rng: np.random.Generator, k: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts of k exposures of a field of n sources, their shadows, and the counts of a fully lit pixel."""
    y, z = rng.uniform(30, 168, (2, n))
    shadows = camera.telescope.shadows(y, z)
    lit = rng.uniform(0.2, 4.0, (k, n)) * 0.16 * CRAB_FLUX * SECONDS
    return rng.poisson(cxb(camera) + np.tensordot(lit, shadows, axes=1)).astype(float), shadows, lit


@pytest.mark.parametrize("cross_term", [True, False])
def test_maps_of_a_field_against_the_formulae(cross_term: bool) -> None:
    camera, rng = imager(Instrument(variance_cross_term=cross_term), 1, 0.05), np.random.default_rng(11)
    counts, shadows, lit = crowded(camera, rng, 3, 7)
    field = Field(camera, shadows)
    amplitudes, background = field.fit(counts, 2 * lit)
    model = background + np.tensordot(amplitudes, shadows, axes=1)
    for maps in (field.sky_maps(counts, amplitudes), camera.sky_maps(counts, model)):
        for k in range(3):
            snr, s, v = exact_maps(camera, counts[k], model[k], cross_term)
            # Single precision: 2^-24 times the square root of the some 20 roundings of a transform, of the largest
            # sum that is formed (M * D, a third of all counts), against sigmas of the square root of that sum.
            assert np.nanmax(np.abs(maps.snr[k] - snr)) < 2e-3
            assert np.nanmax(np.abs(maps.balanced[k] - s)) < 2e-6 * counts[k].sum()
            assert np.nanmax(np.abs(maps.variance[k] / v - 1)) < 1e-3
            assert np.array_equal(np.isnan(maps.snr[k]), ~camera.valid)
            assert maps[k].snr.dtype == np.float32


def test_without_the_cross_term_blank_maps_scatter_less() -> None:
    camera = imager(Instrument(variance_cross_term=False), 1, 0.05)
    rng = np.random.default_rng(12)
    std = [np.nanstd(image(camera, rng.poisson(cxb(camera)).astype(float))) for _ in range(10)]
    # Reference recipe, section 2.1: 0.91 without it.
    assert np.mean(std) == pytest.approx(0.91, abs=0.02)


def test_fit_against_bounded_least_squares(camera: Imager) -> None:
    rng = np.random.default_rng(13)
    counts, shadows, lit = crowded(camera, rng, 4, 5)
    seen = np.ones((4, 5), dtype=bool)
    seen[1, 2] = seen[2, :] = False
    limits = lit * np.array([10.0, 10.0, 10.0, 0.5, 10.0])
    amplitudes, background = Field(camera, shadows).fit(counts, limits, seen)
    for k in range(4):
        used = np.flatnonzero(seen[k])
        design = np.vstack([camera.polynomial, shadows[used].reshape(-1, 6400)]).T
        low = np.r_[np.full(6, -np.inf), np.zeros(len(used))]
        want = lsq_linear(design, counts[k].ravel(), (low, np.r_[np.full(6, np.inf), limits[k, used]]), tol=1e-12).x
        assert amplitudes[k, used] == pytest.approx(want[6:], rel=1e-4)
        assert not amplitudes[k, ~seen[k]].any()
        assert np.allclose(background[k].ravel(), want[:6] @ camera.polynomial, rtol=1e-4)


def test_a_source_outside_the_field_is_left_alone(camera: Imager) -> None:
    counts = np.random.default_rng(14).poisson(cxb(camera), (2, 80, 80)).astype(float)
    amplitudes, _ = Field(camera, camera.telescope.shadows(np.array([400.0]), np.array([99.0]))).fit(
        counts, np.full((2, 1), 100.0)
    )
    assert amplitudes == pytest.approx(0.0, abs=1e-6)


def test_ladder_equals_every_window_on_its_own(camera: Imager) -> None:
    rng = np.random.default_rng(15)
    shadows = camera.telescope.shadows(*rng.uniform(40, 150, (2, 3)))
    field, bands = Field(camera, shadows), [(0, 2), (1, 3), (1, 4), (3, 4)]
    counts = rng.poisson(0.3 * cxb(camera) + 2.0 * shadows.sum(axis=0), (7, 4, 80, 80)).astype(float)
    limits = rng.uniform(1.0, 6.0, (7, 4, 3))
    factors = np.array([1.0, 0.98, 1.05])
    rungs = list(climb(field, counts, limits, bands, first=5, scales=3, factors=factors))
    # Windows 5 to 11 on the absolute grid hold 7 short ones, 6-7, 8-9, 10-11 and 8-11.
    assert [(r.first, r.scale) for r in rungs] == [
        *[(5, 0), (6, 0), (7, 0), (6, 1), (8, 0), (9, 0), (8, 1), (10, 0), (11, 0), (10, 1), (8, 2)]
    ]
    for rung in rungs:
        window = slice(rung.first - 5, rung.first - 5 + 2**rung.scale)
        for band, (low, high) in enumerate(bands):
            whole = counts[window, low:high].sum(axis=(0, 1))[None]
            fitted, _ = field.fit(whole, limits[window, band].sum(axis=0)[None])
            want = field.sky_maps(whole, fitted * factors)
            assert np.array_equal(rung.counts[band], whole[0])
            assert np.allclose(rung.amplitudes[band], fitted[0] * factors)
            # Sums of single-precision maps against the map of the sum.
            assert np.nanmax(np.abs(rung.maps.snr[band] - want.snr[0])) < 2e-3


@settings(max_examples=20, deadline=None)
@given(st.floats(30.0, 168.0), st.floats(30.0, 168.0))
def test_a_moved_source_moves_the_peak(y: float, z: float) -> None:
    camera = imager(Instrument(mask_thickness_mm=0.0), 1, 0.05)
    snr = image(camera, cxb(camera) + crab(camera, y, z, 3.0))
    row, col = (int(i) for i in np.unravel_index(np.nanargmax(snr), snr.shape))
    fit_y, fit_z = sub_pixel(snr, row, col)
    # Without noise what remains is the rebinning of the mask and the coding noise of the source itself.
    assert (fit_y, fit_z) == pytest.approx((y, z), abs=0.3)
