from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.integrate import quad

from slewguard.sim.settings_sky import Bursts, Energy, Sky
from slewguard.sim.spectra import (
    ERG_PER_KEV,
    band,
    blackbody,
    bremsstrahlung,
    cdte_efficiency,
    crab,
    cxb,
    earth_albedo,
    energy_flux,
    load_efficiency,
    mask_transmission,
    particle_factor,
    particle_rate,
    photon_flux,
    power_law,
    response,
    response_of,
)
from slewguard.subimages import BadInput

BANDS = ((5.0, 20.0), (8.0, 50.0), (8.0, 120.0), (20.0, 120.0))
SPECTRA = {
    "cxb": cxb,
    "crab": crab,
    "flat": partial(power_law, index=0.0),
    "steep": partial(power_law, index=4.0),
    "burst": partial(band, alpha=-1.0, beta=-2.3, epeak_kev=150.0),
    "x-ray-rich": partial(band, alpha=-0.5, beta=-2.5, epeak_kev=7.0),
    "type-I": partial(blackbody, kt_kev=2.6),
    "flare": partial(bremsstrahlung, kt_kev=5.0),
}


def test_atoms_are_the_intervals_between_the_band_edges() -> None:
    seen = response(BANDS)
    assert seen.atoms == ((5, 8), (8, 20), (20, 50), (50, 120))
    for pair, atoms in zip(BANDS, seen.bands, strict=True):
        inside = seen.atoms[atoms]
        assert (inside[0][0], inside[-1][1]) == pair
    assert seen.widths_kev.tolist() == [3, 12, 30, 70]
    planes = np.arange(4.0)[:, None] * np.ones((4, 5))
    assert np.array_equal(seen.band_sum(planes, 2), np.full(5, 1 + 2 + 3))


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("table", [None, cdte_efficiency(1.0, 4.0, 0.35), ((4.0, 0.2), (30.0, 1.0), (150.0, 0.1))])
def test_rate_against_quadrature(name: str, table: tuple[tuple[float, float], ...] | None) -> None:
    spectrum = SPECTRA[name]
    seen = response(BANDS, table)
    energies, shares = np.array(table or ((1.0, 1.0), (200.0, 1.0))).T
    for (lo, hi), rate in zip(seen.atoms, seen.rate(spectrum), strict=True):
        kinks = [e for e in energies if lo < e < hi]
        edges = [lo, *kinks, hi]
        expected = sum(
            quad(lambda e: float(spectrum(np.array(e)) * np.interp(e, energies, shares)), a, b)[0]
            for a, b in pairwise(edges)
        )
        # The accuracy promised: far below any systematic of a real response.
        assert rate == pytest.approx(expected, rel=1e-4, abs=1e-12)


@pytest.mark.parametrize("name", SPECTRA)
def test_fluxes_against_quadrature(name: str) -> None:
    spectrum = SPECTRA[name]
    photons = quad(lambda e: float(spectrum(np.array(e))), 8, 120, points=(20, 50), limit=200)[0]
    kev = quad(lambda e: e * float(spectrum(np.array(e))), 8, 120, points=(20, 50), limit=200)[0]
    assert photon_flux(spectrum, 8, 120) == pytest.approx(photons, rel=1e-5)
    assert energy_flux(spectrum, 8, 120) == pytest.approx(kev * ERG_PER_KEV, rel=1e-5)


def diffuse_cm2_sr() -> float:
    """Area times solid angle of 6,400 pixels of 16 mm2, 460 mm under a mask of 540 mm that is 40 % open everywhere."""
    total = 0.0
    cell = (np.arange(108) + 0.5) * 5.0 - 270.0
    pixels = (np.arange(80) - 39.5) * 4.5
    for y in pixels[:40:4] + 6.75:
        for z in pixels[:40:4] + 6.75:
            r2 = (cell[:, None] - y) ** 2 + (cell[None, :] - z) ** 2 + 460.0**2
            total += 64 * 0.16 * 0.40 * (460.0**2 * 25.0 / r2**2).sum()
    return total


@pytest.mark.parametrize(
    ("lo", "hi", "background", "source"),
    [
        (4, 8, 1370, 432),
        (4, 20, 2480, 672),
        (5, 20, 1980, 496),
        (8, 50, 1580, 328),
        (8, 120, 1720, 359),
        (4, 120, 3090, None),
        (20, 120, None, 119),
    ],
)
def test_ideal_count_rates(lo: float, hi: float, background: float | None, source: float | None) -> None:
    # The reference's table, for the ideal response; 0.5 % covers its rounding to 10 and 1 counts/s.
    seen = response(((float(lo), float(hi)),))
    if background is not None:
        assert diffuse_cm2_sr() * seen.rate(cxb)[0] == pytest.approx(background, rel=0.005)
    if source is not None:
        assert 1024 * 0.40 * seen.rate(crab)[0] == pytest.approx(source, rel=0.005)


def test_band_spectrum_peaks_at_epeak_and_is_smooth() -> None:
    energy = np.geomspace(10, 2000, 20001)
    spectrum = band(energy, -1.0, -2.3, 150.0)
    assert energy[np.argmax(energy**2 * spectrum)] == pytest.approx(150.0, rel=1e-3)
    slope = np.gradient(np.log(spectrum), np.log(energy))
    assert np.abs(np.diff(slope)).max() < 0.01
    assert slope[-1] == pytest.approx(-2.3, abs=1e-3)


def test_band_spectrum_as_published() -> None:
    # Band et al. 1993, equation 1, written as there.
    alpha, beta, e0 = -0.8, -2.5, 200.0
    for e in (20.0, 300.0, 339.0, 341.0, 900.0):
        low = (e / 100) ** alpha * np.exp(-e / e0)
        join = (alpha - beta) * e0
        high = (join / 100) ** (alpha - beta) * np.exp(beta - alpha) * (e / 100) ** beta
        published = low if e <= join else high
        assert band(np.array([e]), alpha, beta, e0 * (2 + alpha))[0] == pytest.approx(published, rel=1e-12)


def test_blackbody_mean_energy() -> None:
    # The mean photon of a blackbody has 2.701 kT (pi^4 / 30 / zeta(3)).
    thermal = partial(blackbody, kt_kev=2.6)
    mean = energy_flux(thermal, 0.01, 200.0) / ERG_PER_KEV / photon_flux(thermal, 0.01, 200.0)
    assert mean / 2.6 == pytest.approx(2.7012, rel=1e-3)
    assert 0.0 <= blackbody(np.array([1e5]), 1.0)[0] < 1e-200


def test_a_millimetre_of_cdte() -> None:
    energy, share = np.array(cdte_efficiency(1.0, 4.0, 0.35)).T
    at = partial(np.interp, xp=energy, fp=share)
    assert at(4.0) == pytest.approx(0.5, abs=0.01)
    assert at(10.0) > 0.9999
    # 1 - exp(-mu rho d) with mu of the tables: 1.463 cm2/g at 100 keV.
    assert at(100.0) == pytest.approx(1 - np.exp(-1.463 * 5.85 * 0.1), rel=2e-3)
    # The K edge of cadmium.
    assert at(26.72) > at(26.70)
    assert ((share >= 0) & (share <= 1)).all()


def test_the_mask_leaks_above_its_k_edge_and_below_it() -> None:
    passed = mask_transmission(np.array([20.0, 60.0, 67.0, 68.0, 100.0]), 0.6)
    # exp(-mu rho d) of NIST's 63.34, 3.569 and 4.302 cm2/g.
    assert passed[[0, 1, 4]] == pytest.approx(np.exp(-np.array([63.34, 3.569, 4.302]) * 16.654 * 0.06), rel=1e-6)
    assert passed[2] > 0.06 > 0.001 > passed[3]
    seen = response(BANDS, mask_thickness_mm=0.6)
    assert (seen.mask_transparency[:2] < 1e-20).all()
    assert 1e-4 < seen.mask_transparency[2] < 2e-4
    assert 0.005 < seen.mask_transparency[3] < 0.05
    expected = quad(lambda e: crab(e) * mask_transmission(np.array(e), 0.6), 50, 120, points=(67.42, 80, 100))[0]
    # The step at 67.42 keV falls between two nodes.
    assert seen.mask_transparency[3] == pytest.approx(expected / quad(crab, 50, 120)[0], rel=0.02)
    assert (response(BANDS, mask_thickness_mm=0.0).mask_transparency == 0).all()


def test_response_of_a_configuration(tmp_path: Path) -> None:
    ideal = response_of(Energy(efficiency=((4.0, 1.0), (150.0, 1.0))), BANDS, 0.6)
    assert ideal.rate(crab) == pytest.approx(response(BANDS).rate(crab), rel=1e-9)
    computed = response_of(Energy(), BANDS, 0.6)
    assert (computed.rate(crab) < ideal.rate(crab)).all()
    path = tmp_path / "mine.csv"
    path.write_text("# team\nenergy_kev,efficiency\n4, 0.5\n150,0.5\n")
    half = response_of(Energy(response_path=str(path)), BANDS, 0.6)
    assert half.rate(crab) == pytest.approx(0.5 * ideal.rate(crab), rel=1e-9)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "two energies"),
        ("keV,eff\n4,1\n", "line 1: the header"),
        ("energy_kev,efficiency\n4,1\n", "two energies"),
        ("energy_kev,efficiency\n4,1\n150\n", "line 3: must hold two numbers"),
        ("energy_kev,efficiency\n4,1\n150,x\n", "line 3: must hold two numbers"),
        ("energy_kev,efficiency\n4,1\n\n150,1.2\n", "line 4: the efficiency"),
        ("energy_kev,efficiency\n4,1\n150,nan\n", "line 3: the efficiency"),
        ("energy_kev,efficiency\n-4,1\n150,1\n", "line 2: the energy"),
        ("energy_kev,efficiency\n4,1\ninf,1\n", "line 3: the energy"),
        ("energy_kev,efficiency\n150,1\n4,1\n", "line 3: the energies must increase"),
        ("energy_kev,efficiency\n4,1\n4,1\n150,1\n", "line 3: the energies must increase"),
        ("energy_kev,efficiency\n4,1\n80,1\n", "covers 4 to 80 keV, the bands need 5 to 120"),
    ],
)
def test_a_bad_response_file_is_named(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(BadInput, match=fault) as caught:
        response_of(Energy(response_path=str(path)), BANDS, 0.6)
    assert str(caught.value).startswith(f"{path}: ")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        load_efficiency(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="UTF-8"):
        load_efficiency(tmp_path / "bytes.csv")


def test_bad_bands_and_tables() -> None:
    with pytest.raises(BadInput, match="empty"):
        response(((20.0, 5.0),))
    for table in (((4.0, 1.0), (4.0, 1.0)), ((4.0, 1.0), (150.0, 1.5)), ((4.0, -1.0), (150.0, 1.0)), ((4.0, 1.0),)):
        with pytest.raises(ValidationError):
            Energy(efficiency=table)
    with pytest.raises(ValidationError):
        Bursts(sgr_t90_s=(0.0, 1.0))
    with pytest.raises(ValidationError):
        Bursts(new_weights=(0.0, 0.0, 0.0, 0.0, 0.0))


def test_particles_and_albedo() -> None:
    seen = response(BANDS)
    # 300 counts/s in 4-120 keV is what the default stands for; 6,400 pixels.
    assert 6400 * particle_rate(Sky(), seen).sum() * 116 / 115 == pytest.approx(320, rel=1e-6)
    assert particle_factor(Sky(), [0.0, 0.5, 1.0]).tolist() == [1.0, 2.0, 3.0]
    albedo = earth_albedo(Sky(), seen)
    assert (albedo[:2] == 0).all()
    energy, table = np.array(Sky().earth_albedo).T
    for (lo, hi), ratio in zip(((20, 50), (50, 120)), albedo[2:], strict=True):
        lit = quad(lambda e: cxb(e) * np.interp(e, energy, table), lo, hi, points=[30, 70, 100], limit=200)[0]
        assert ratio == pytest.approx(lit / quad(cxb, lo, hi)[0], rel=1e-3)


@given(st.floats(0.5, 30.0), st.floats(1.0, 4.0), st.floats(0.01, 1.0))
def test_rates_are_positive_and_linear(kt: float, index: float, factor: float) -> None:
    seen = response(BANDS)
    for spectrum in (partial(blackbody, kt_kev=kt), partial(power_law, index=index)):
        rate = seen.rate(spectrum)
        assert (rate > 0).all()
        assert seen.rate(lambda e, s=spectrum: factor * s(e)) == pytest.approx(factor * rate, rel=1e-9)
        flat = response(BANDS, ((4.0, factor), (150.0, factor)))
        assert flat.rate(spectrum) == pytest.approx(factor * rate, rel=1e-9)
