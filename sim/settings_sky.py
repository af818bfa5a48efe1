"""Configuration of the sky and of how the telescope sees it: energy response, diffuse background, transients."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, Field

from slewguard.sim.keys import Range, Section, key


def _table(pairs: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    if any(not 0 < a[0] < b[0] for a, b in pairwise(pairs)) or pairs[0][0] <= 0:
        raise ValueError("must hold [keV, value] pairs of positive, increasing energy")
    if any(value < 0 for _, value in pairs):
        raise ValueError("must not hold negative values")
    return pairs


def _share_table(pairs: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    if any(value > 1 for _, value in _table(pairs)):
        raise ValueError("must not hold shares above 1")
    return pairs


def _weights(weights: tuple[float, ...]) -> tuple[float, ...]:
    if any(w < 0 for w in weights) or sum(weights) <= 0:
        raise ValueError("must hold weights >= 0 of which one is > 0")
    return weights


def _positive(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] <= 0:
        raise ValueError(f"must be [low, high] with 0 < low <= high, not {list(pair)}")
    return pair


Pairs = tuple[tuple[float, float], ...]
Gauss = tuple[float, Annotated[float, Field(ge=0)]]
"""Mean and standard deviation of a normal distribution."""
PositiveFloat = Annotated[float, Field(gt=0)]
LogRange = Annotated[Range, AfterValidator(_positive)]
"""Ends of a log-uniform distribution, both above 0."""


class Energy(Section):
    """Response of the detectors against energy."""

    detector_mm: float = key(1.0, "thickness of the CdTe, mm", "published", "arXiv:1406.7759", gt=0)
    threshold_kev: float = key(4.0, "low-energy threshold, keV", "published", "arXiv:2604.24253", gt=0)
    threshold_sigma_kev: float = key(
        0.35, "width of the threshold: scatter of the pixels and resolution, keV", "assumed", "none", gt=0
    )
    efficiency: Annotated[Pairs, AfterValidator(_share_table)] | None = key(
        None,
        "pairs [keV, share detected], linear between; null: computed from the photoabsorption of the CdTe and the "
        "threshold. [[4, 1], [150, 1]] is the ideal response",
        "computed",
        "Elam et al. 2002; no electrode, escape or multiple events",
        min_length=2,
    )
    response_path: str | None = key(
        None,
        "file of the instrument team in place of the above: CSV with the columns energy_kev,efficiency",
        "assumed",
        "none",
    )


class Sky(Section):
    """Diffuse background, particles and the bright Earth."""

    particles_per_kev: float = key(
        0.05 / 116,
        "particle background, counts/s/keV/pixel, flat over the plane, at its lowest along the orbit",
        "assumed",
        "300 counts/s in 4-120 keV",
        ge=0,
    )
    particles_orbit: float = key(
        3.0, "highest particle background along an orbit over the lowest", "assumed", "geomagnetic cut-off", ge=1
    )
    earth_albedo: Annotated[Pairs, AfterValidator(_table)] = key(
        ((20.0, 0.0), (30.0, 0.11), (50.0, 0.45), (70.0, 0.62), (100.0, 0.86), (120.0, 1.02)),
        "brightness of the Earth over the CXB: pairs [keV, ratio], linear between, constant beyond",
        "assumed",
        "shape of Ajello et al. 2008 (Swift/BAT, arXiv:0808.3377), coefficients recalled and unchecked",
        min_length=1,
    )


class Bursts(Section):
    """Gamma-ray bursts, new Galactic sources and outbursts of known sources."""

    band_alpha: Gauss = key(
        (-1.0, 0.3), "Band low-energy index: mean, sigma before the hardness", "assumed", "usual BATSE/GBM values"
    )
    band_beta: float = key(-2.3, "Band high-energy index", "assumed", "usual BATSE/GBM value", lt=-2.0)
    epeak_median_kev: float = key(
        150.0, "median Epeak before the burst's own hardness is looked at, keV", "assumed", "usual value", gt=0
    )
    epeak_sigma_dex: float = key(0.35, "scatter of log Epeak, likewise, dex", "assumed", "as above", gt=0)
    hardness_error_dex: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = key(
        (0.15, 0.15, 0.5),
        "error of log10 of the fluence ratios 50-100/20-50, 100-300/50-100 and >300/100-300 keV of the catalogue",
        "assumed",
        "our table has no errors",
    )
    x_ray_rich_share: float = key(
        0.35,
        "share of X-ray-rich bursts, which BATSE hardly saw",
        "assumed",
        "Antier 2016SACLS467: favoured",
        ge=0,
        le=1,
    )
    x_ray_rich_epeak_kev: LogRange = key((5.0, 50.0), "their Epeak, log-uniform, keV", "assumed", "as above")
    x_ray_rich_fluence: float = key(
        0.3, "their 4-1000 keV fluence relative to a classical burst", "assumed", "none", gt=0
    )
    faint_depth: float = key(
        0.3, "faintest burst relative to the catalogue's; 1: the catalogue alone", "assumed", "none", gt=0, le=1
    )
    faint_slope: float = key(
        0.8, "slope of log N(>S) against log S below the catalogue", "assumed", "logN-logS, recalled", gt=0
    )
    pulse_ratio: tuple[PositiveFloat, PositiveFloat] = key(
        (0.5, 0.75),
        "share of bursts with n + 1 pulses over those with n, of 1 to 8: short (T90 < 2 s), long",
        "assumed",
        "bright BATSE bursts have several (A&A 385, 377)",
    )
    pulse_rise: Gauss = key(
        (-0.5, 0.2),
        "log10 of rise over decay time of a pulse: mean, sigma",
        "assumed",
        "rises are shorter: Norris 1996",
    )
    pulse_width_dex: float = key(
        0.35, "scatter of log decay time among the pulses of a burst, dex", "assumed", "log-normal: A&A 385, 377", ge=0
    )
    pulse_gap: Gauss = key(
        (0.4, 0.45),
        "log10 of the time between pulses over the typical decay time: mean, sigma",
        "assumed",
        "log-normal: A&A 385, 377",
    )
    pulse_height_dex: float = key(0.35, "scatter of log peak flux among the pulses, dex", "assumed", "as above", ge=0)
    new_weights: Annotated[tuple[float, float, float, float, float], AfterValidator(_weights)] = key(
        (3.0, 3.0, 1.0, 1.0, 1.0),
        "relative numbers of new sources: type-I bursts, flares of X-ray binaries, SGR bursts, X-ray novae, "
        "stellar flares",
        "assumed",
        "the kinds: svom.eu news, Apr 2026",
    )
    type_i_crab: LogRange = key(
        (0.2, 3.0), "mean 5-20 keV flux of a type-I burst, log-uniform, Crab", "assumed", "none"
    )
    type_i_t90_s: LogRange = key((8.0, 80.0), "its T90, log-uniform, s", "assumed", "10 s in ATel 17270")
    type_i_kt_kev: LogRange = key(
        (1.6, 2.8), "its blackbody temperature, uniform, keV", "assumed", "2.6 in GCN 44714, 2.4 in ATel 17270"
    )
    flare_crab: LogRange = key(
        (0.08, 3.0), "mean 5-20 keV flux of a flare of an X-ray binary, log-uniform, Crab", "assumed", "none"
    )
    flare_t90_s: LogRange = key((8.0, 2000.0), "its T90, log-uniform, s", "assumed", "none")
    flare_index: LogRange = key((1.2, 2.5), "its photon index, uniform", "assumed", "usual X-ray binaries")
    sgr_erg_cm2: LogRange = key(
        (3e-8, 1e-5), "8-120 keV fluence of a burst of a magnetar, log-uniform, erg/cm2", "assumed", "none"
    )
    sgr_t90_s: LogRange = key((0.04, 0.8), "its T90, log-uniform, s", "assumed", "short bursts last some 0.1 s")
    sgr_kt_kev: LogRange = key((20.0, 40.0), "its bremsstrahlung temperature, uniform, keV", "assumed", "recalled")
    nova_crab: LogRange = key((0.05, 3.0), "5-20 keV flux of an X-ray nova, log-uniform, Crab", "assumed", "none")
    nova_s: LogRange = key((1e4, 1e6), "its duration, log-uniform, s", "assumed", "days; steady on our scale")
    nova_index: LogRange = key((1.5, 2.5), "its photon index, uniform", "assumed", "hard to soft state")
    stellar_crab: LogRange = key(
        (0.03, 1.0), "mean 5-20 keV flux of a stellar flare, log-uniform, Crab", "assumed", "none"
    )
    stellar_t90_s: LogRange = key((60.0, 3000.0), "its T90, log-uniform, s", "assumed", "none")
    stellar_kt_kev: LogRange = key(
        (3.0, 15.0), "its bremsstrahlung temperature, uniform, keV", "assumed", "superflares"
    )
    outburst_weights: Annotated[tuple[float, float, float], AfterValidator(_weights)] = key(
        (2.0, 2.0, 1.0),
        "relative numbers of outbursts of known sources: type-I bursts, flares, long outbursts",
        "assumed",
        "none",
    )
    outburst_factor: LogRange = key((2.0, 60.0), "flux in outburst over catalogue flux, log-uniform", "assumed", "none")
    outburst_max_crab: float = key(12.0, "brightest outburst, Crab over all bands", "assumed", "Sco X-1", gt=0)
    outburst_s: LogRange = key((3e3, 3e5), "duration of a long outburst, log-uniform, s", "assumed", "none")

    near_known_share: float = key(
        0.35,
        "share of new Galactic sources placed 2 to 10 sky pixels from a known one (they cluster in the plane)",
        "assumed",
        "none",
        ge=0,
        le=1,
    )
    disturbed_share: float = key(
        0.4,
        "share of true events on a disturbed detector or background; above nature, so that it is met often enough",
        "assumed",
        "none",
        ge=0,
        le=1,
    )

    @property
    def faint_share(self) -> float:
        """Share of the population below its catalogue flux: it follows from slope and depth, 1 - depth^slope."""
        return 1.0 - self.faint_depth**self.faint_slope
