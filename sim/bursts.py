"""What the trigger is there to find: gamma-ray bursts, new Galactic sources, outbursts of known sources.

Everything is drawn as photons/cm2 detected per atom. A burst takes T90 and fluences from a random burst of the BATSE
4B catalogue, and a Band spectrum that agrees with its own hardness. BATSE triggered on 50-300 keV and so saw the hard
and the bright; two things make up for it: a share of X-ray-rich bursts, and fainter copies drawn from N(>S) ~
S^-slope down to a depth, which turns the catalogue's bright slope over into the fainter one without touching it above.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.keys import log_uniform
from slewguard.sim.lightcurve import SHORT_S, LightCurve, Steady, decaying, draw_pulses
from slewguard.sim.settings_sky import Bursts
from slewguard.sim.spectra import (
    Response,
    Spectrum,
    band,
    blackbody,
    bremsstrahlung,
    crab,
    energy_flux,
    photon_flux,
    power_law,
)

Float64 = NDArray[np.float64]
CRAB_BAND_KEV = (5.0, 20.0)
"""Where fluxes in Crab are meant."""
BATSE_KEV = ((20.0, 50.0), (50.0, 100.0), (100.0, 300.0), (300.0, 2000.0))
"""The four fluences of the 4B catalogue; the last is open upwards, 2 MeV is where the detectors end (assumed)."""
NEW_KINDS = ("type_i_burst", "binary_flare", "sgr_burst", "x_ray_nova", "stellar_flare")
OUTBURST_KINDS = ("type_i_burst", "binary_flare", "long_outburst")
Shape = Literal["pulses", "decay", "steady"]


@dataclass(frozen=True, eq=False)
class Transient:
    """A new source, or the excess of an outburst over the catalogue flux."""

    kind: str
    shape: Shape
    t90_s: float
    fluence: Float64
    """Photons/cm2 detected over the whole event in every atom, float64 [n_atoms]."""

    def light_curve(self, rng: np.random.Generator, onset_s: float, bursts: Bursts) -> LightCurve:
        """Draw its light curve, which begins at a time and has its T90."""
        if self.shape == "pulses":
            return draw_pulses(rng, self.t90_s, onset_s, bursts)
        if self.shape == "decay":
            return decaying(self.t90_s, onset_s)
        return Steady(onset_s, onset_s + self.t90_s / 0.9)


@lru_cache(maxsize=1)
def batse_bursts() -> Float64:
    """T90 in s and the four fluences in erg/cm2 of the BATSE 4B bursts, float64 [N, 5].

    Bursts without a fluence in 50-100 or 100-300 keV are left out; a missing one of the other two is NaN.
    """
    from importlib.resources import files

    text = files("slewguard.sim").joinpath("data/batse4b.csv").read_text(encoding="ascii")
    rows = [line for line in text.splitlines() if not line.startswith("#")]
    table = np.genfromtxt(rows, delimiter=",", names=True)
    columns = ("t90_s", "fluence_20_50", "fluence_50_100", "fluence_100_300", "fluence_gt300")
    bursts = 10.0 ** np.column_stack([table[f"log10_{name}"] for name in columns])
    kept: Float64 = bursts[np.isfinite(bursts[:, [0, 2, 3]]).all(axis=1)]
    kept.setflags(write=False)
    return kept


@dataclass(frozen=True, eq=False)
class _SpectrumGrid:
    """Band spectra on a grid of alpha and log10 Epeak with their prior and hardness, one row a spectrum."""

    cells: Float64
    steps: Float64
    log_prior: Float64
    hardness: Float64


@lru_cache(maxsize=4)
def _spectrum_grid(bursts: Bursts) -> _SpectrumGrid:
    alphas = np.linspace(-1.8, 0.5, 17)
    peaks = np.linspace(1.0, 3.5, 51)
    alpha, peak = (g.ravel() for g in np.meshgrid(alphas, peaks, indexing="ij"))
    fluences = []
    for lo, hi in BATSE_KEV:
        # ergs cancel in the ratios; 48 logarithmic steps are good to 1e-4, far below the errors of the catalogue.
        edges = np.geomspace(lo, hi, 49)
        energy = np.sqrt(edges[1:] * edges[:-1])
        spectra = band(energy, alpha[:, None], bursts.band_beta, 10.0 ** peak[:, None])
        fluences.append(spectra @ (energy**2 * np.log(edges[1] / edges[0])))
    hardness = np.diff(np.log10(np.array(fluences)), axis=0).T
    mean, sigma = bursts.band_alpha
    log_prior = (
        -0.5 * ((alpha - mean) / max(sigma, 1e-3)) ** 2
        - 0.5 * ((peak - np.log10(bursts.epeak_median_kev)) / bursts.epeak_sigma_dex) ** 2
    )
    steps = np.array([alphas[1] - alphas[0], peaks[1] - peaks[0]])
    return _SpectrumGrid(np.column_stack([alpha, peak]), steps, log_prior, hardness)


def draw_band(rng: np.random.Generator, fluences: Float64, bursts: Bursts) -> tuple[float, float]:
    """Draw alpha and Epeak (keV) from what prior and hardness leave of them.

    Parameters
    ----------
    fluences : float64 array [4]
        Fluences in the intervals of :data:`BATSE_KEV`; NaN where missing.
    """
    grid = _spectrum_grid(bursts)
    off = (np.diff(np.log10(fluences)) - grid.hardness) / np.array(bursts.hardness_error_dex)
    log_posterior = grid.log_prior - 0.5 * np.nansum(off**2, axis=1)
    cumulative = np.cumsum(np.exp(log_posterior - log_posterior.max()))
    cell = grid.cells[np.searchsorted(cumulative, rng.random() * cumulative[-1])]
    alpha, peak = cell + grid.steps * rng.uniform(-0.5, 0.5, 2)
    return float(alpha), float(10.0**peak)


def draw_burst(rng: np.random.Generator, bursts: Bursts, seen: Response) -> Transient:
    """Draw a gamma-ray burst: kind ``short_grb`` (T90 < 2 s), ``long_grb`` or ``x_ray_rich_grb``."""
    table = batse_bursts()
    t90, *fluences = table[rng.integers(len(table))].tolist()
    alpha, epeak = draw_band(rng, np.array(fluences), bursts)
    x_ray_rich = rng.random() < bursts.x_ray_rich_share
    soft_epeak = log_uniform(rng, bursts.x_ray_rich_epeak_kev)
    dimming = draw_dimming(rng, bursts)
    spectrum: Spectrum = partial(band, alpha=alpha, beta=bursts.band_beta, epeak_kev=epeak)
    norm = dimming * (fluences[1] + fluences[2]) / energy_flux(spectrum, 50.0, 300.0)
    if x_ray_rich:
        total = norm * energy_flux(spectrum, 4.0, 1000.0)
        spectrum = partial(band, alpha=alpha, beta=bursts.band_beta, epeak_kev=soft_epeak)
        norm = bursts.x_ray_rich_fluence * total / energy_flux(spectrum, 4.0, 1000.0)
    kind = "x_ray_rich_grb" if x_ray_rich else "short_grb" if t90 < SHORT_S else "long_grb"
    return Transient(kind, "pulses", t90, norm * seen.rate(spectrum))


def draw_dimming(rng: np.random.Generator, bursts: Bursts) -> float:
    """Draw the flux relative to the catalogue's: 1, or for the faint share from N(>S) ~ S^-slope above the depth."""
    if rng.random() >= bursts.faint_share:
        return 1.0
    far = bursts.faint_depth**-bursts.faint_slope
    return float((far - rng.random() * (far - 1.0)) ** (-1.0 / bursts.faint_slope))


def draw_unknown(rng: np.random.Generator, bursts: Bursts, seen: Response) -> Transient:
    """Draw a new Galactic source of one of :data:`NEW_KINDS`."""
    kind = _choose(rng, NEW_KINDS, bursts.new_weights)
    if kind == "sgr_burst":
        t90 = log_uniform(rng, bursts.sgr_t90_s)
        spectrum: Spectrum = partial(bremsstrahlung, kt_kev=rng.uniform(*bursts.sgr_kt_kev))
        norm = log_uniform(rng, bursts.sgr_erg_cm2) / energy_flux(spectrum, 8.0, 120.0)
        return Transient(kind, "pulses", t90, norm * seen.rate(spectrum))
    shape: Shape
    if kind == "type_i_burst":
        shape, t90, flux = "decay", log_uniform(rng, bursts.type_i_t90_s), log_uniform(rng, bursts.type_i_crab)
        spectrum = partial(blackbody, kt_kev=rng.uniform(*bursts.type_i_kt_kev))
    elif kind == "binary_flare":
        shape, t90, flux = "pulses", log_uniform(rng, bursts.flare_t90_s), log_uniform(rng, bursts.flare_crab)
        spectrum = partial(power_law, index=rng.uniform(*bursts.flare_index))
    elif kind == "x_ray_nova":
        shape, t90, flux = "steady", 0.9 * log_uniform(rng, bursts.nova_s), log_uniform(rng, bursts.nova_crab)
        spectrum = partial(power_law, index=rng.uniform(*bursts.nova_index))
    else:
        shape, t90, flux = "decay", log_uniform(rng, bursts.stellar_t90_s), log_uniform(rng, bursts.stellar_crab)
        spectrum = partial(bremsstrahlung, kt_kev=rng.uniform(*bursts.stellar_kt_kev))
    norm = flux * photon_flux(crab, *CRAB_BAND_KEV) / photon_flux(spectrum, *CRAB_BAND_KEV)
    # The mean flux is meant over the T90, which holds 90 % of the fluence.
    return Transient(kind, shape, t90, norm * seen.rate(spectrum) * t90 / 0.9)


def draw_outburst(rng: np.random.Generator, rate: Float64, bursts: Bursts, seen: Response) -> Transient:
    """Draw the outburst of a known source, as its excess over the catalogue flux, of one of :data:`OUTBURST_KINDS`.

    Parameters
    ----------
    rate : float64 array [n_atoms]
        Photons/cm2/s of the source detected at its catalogue flux, not all 0.
    """
    kind = _choose(rng, OUTBURST_KINDS, bursts.outburst_weights)
    factor = log_uniform(rng, bursts.outburst_factor)
    most = bursts.outburst_max_crab * seen.rate(crab).sum() / rate.sum()
    excess = rate * min(factor - 1.0, float(most))
    if kind == "type_i_burst":
        thermal = seen.rate(partial(blackbody, kt_kev=rng.uniform(*bursts.type_i_kt_kev)))
        t90 = log_uniform(rng, bursts.type_i_t90_s)
        return Transient(kind, "decay", t90, thermal * (excess.sum() / thermal.sum()) * t90 / 0.9)
    if kind == "binary_flare":
        t90 = log_uniform(rng, bursts.flare_t90_s)
        return Transient(kind, "pulses", t90, excess * t90 / 0.9)
    duration = log_uniform(rng, bursts.outburst_s)
    return Transient(kind, "steady", 0.9 * duration, excess * duration)


def _choose(rng: np.random.Generator, kinds: tuple[str, ...], weights: tuple[float, ...]) -> str:
    cumulative = np.cumsum(weights)
    return kinds[int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))]
