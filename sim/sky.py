"""The sky: spectra in the band, the catalogue sources of a field, and bursts with their pulse.

Spectra: cosmic X-ray background (CXB) of Moretti et al. 2009 and the Crab as 10 E^-2.1, both as used in Antier's
thesis (2016SACLS467); bursts have Band spectra (Band et al. 1993) scaled to fluences of the BATSE 4B catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.config import Instrument, Sky, Trigger

CATALOGUE_SIZE = 89
"""Numbers the onboard catalogue gives out here; the highest seen in a notice is 81 (GX 340-00)."""
ERG_PER_KEV = 1.602176634e-9
_T90_PER_TAU = 4.388503
"""T90 of the pulse t exp(-t / tau) in units of tau: its cumulative is that of the gamma distribution of shape 2,
1 - (1 + x) exp(-x), whose 5 % and 95 % quantiles are x = 0.355362 and 4.743865 (computed)."""


def cxb_flux(lo_kev: float, hi_kev: float) -> float:
    """Photons/cm2/s/sr of the CXB between two energies (Moretti et al. 2009, smoothly broken power law)."""
    energy = np.geomspace(lo_kev, hi_kev, 2001)
    spectrum = 0.109 / ((energy / 29.0) ** 1.40 + (energy / 29.0) ** 2.88)
    return float(np.sum(0.5 * (spectrum[1:] + spectrum[:-1]) * np.diff(energy)))


def crab_flux(lo_kev: float, hi_kev: float) -> float:
    """Photons/cm2/s of the Crab, 10 E^-2.1 ph/cm2/s/keV, between two energies."""
    return 10.0 / 1.1 * (lo_kev**-1.1 - hi_kev**-1.1)


def band_spectrum(energy: NDArray[np.float64], alpha: float, beta: float, epeak_kev: float) -> NDArray[np.float64]:
    """Photon spectrum of Band et al. 1993 in arbitrary units at energies in keV."""
    fold = epeak_kev / (2.0 + alpha)
    join = (alpha - beta) * fold
    low = (energy / 100.0) ** alpha * np.exp(-energy / fold)
    high = (join / 100.0) ** (alpha - beta) * np.exp(beta - alpha) * (energy / 100.0) ** beta
    spectrum: NDArray[np.float64] = np.where(energy < join, low, high)
    return spectrum


@dataclass(frozen=True)
class KnownSource:
    """A source of the onboard catalogue in the field; directions in sky pixels, fluxes in Crab."""

    number: int
    y: float
    z: float
    flux: float
    """True flux during the event."""
    catalogue_y: float
    catalogue_z: float
    catalogue_flux: float


@dataclass(frozen=True)
class NewSource:
    """What the trigger is there to find: photons/cm2 in the band and how they come."""

    cause: str
    y: float
    z: float
    fluence: float
    """Photons/cm2 in the band over the whole event."""
    onset_s: float
    duration_s: float
    pulsed: bool
    """True: one pulse t exp(-t/tau) whose T90 is the duration; False: constant."""

    def fraction(self, start_s: float, stop_s: float) -> float:
        """Share of the fluence that arrives between two times."""
        return self._cumulative(stop_s) - self._cumulative(start_s)

    def _cumulative(self, time_s: float) -> float:
        since = max(time_s - self.onset_s, 0.0)
        if not self.pulsed:
            return min(since / self.duration_s, 1.0)
        x = since / (self.duration_s / _T90_PER_TAU)
        return float(1.0 - (1.0 + x) * np.exp(-x))


@lru_cache(maxsize=1)
def batse_bursts() -> NDArray[np.float64]:
    """T90 in s and 50-300 keV fluence in erg/cm2 of the BATSE 4B bursts that have both, float64 [N, 2]."""
    from importlib.resources import files

    text = files("slewguard.sim").joinpath("data/batse4b.csv").read_text(encoding="ascii")
    rows = [line for line in text.splitlines() if not line.startswith("#")]
    table = np.genfromtxt(rows, delimiter=",", names=True)
    fluence = 10.0 ** table["log10_fluence_50_100"] + 10.0 ** table["log10_fluence_100_300"]
    bursts = np.column_stack([10.0 ** table["log10_t90_s"], fluence])
    kept: NDArray[np.float64] = bursts[np.isfinite(bursts).all(axis=1)]
    return kept


def log_uniform(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    """Draw from a log-uniform distribution."""
    return float(np.exp(rng.uniform(np.log(ends[0]), np.log(ends[1]))))


def draw_burst_fluence(rng: np.random.Generator, sky: Sky, band_kev: tuple[float, float]) -> tuple[float, float]:
    """Draw a burst of the 4B catalogue and carry it to the band.

    Returns
    -------
    duration_s, fluence : float
        T90 in s and photons/cm2 in the band.
    """
    duration, erg = batse_bursts()[rng.integers(len(batse_bursts()))]
    alpha = float(np.clip(rng.normal(*sky.band_alpha), -1.8, 0.5))
    epeak = sky.epeak_median_kev * 10.0 ** rng.normal(0.0, sky.epeak_sigma_dex)
    x_ray_rich = rng.random() < sky.x_ray_rich_share
    soft_epeak = log_uniform(rng, sky.x_ray_rich_epeak_kev)
    energy = np.geomspace(4.0, 1000.0, 300)
    step = np.gradient(energy)
    hard = band_spectrum(energy, alpha, sky.band_beta, epeak)
    in_batse = (energy > 50.0) & (energy < 300.0)
    norm = erg / ERG_PER_KEV / float(np.sum((hard * energy * step)[in_batse]))
    spectrum = norm * hard
    if x_ray_rich:
        soft = band_spectrum(energy, alpha, sky.band_beta, soft_epeak)
        # At equal 4-1000 keV energy, times the factor by which X-ray-rich bursts are weaker.
        spectrum = soft * float(np.sum(spectrum * energy * step) / np.sum(soft * energy * step))
        spectrum *= sky.x_ray_rich_fluence
    in_band = (energy > band_kev[0]) & (energy < band_kev[1])
    return float(duration), float(np.sum((spectrum * step)[in_band]))


def draw_position(rng: np.random.Generator, instrument: Instrument, min_coding: float) -> tuple[float, float]:
    """Draw a direction (y, z) in sky pixels, uniform in solid angle over the field that the trigger searches."""
    half = instrument.sky_side // 2
    scale = instrument.pitch_mm / instrument.distance_mm
    while True:
        offset = rng.uniform(-half, half, 2)
        lit = np.clip((instrument.mask_bins + instrument.pixels) / 2 - np.abs(offset), 0, instrument.pixels)
        inside = lit.prod() / instrument.pixels**2 > min_coding
        if inside and rng.random() < (1.0 + scale**2 * (offset @ offset)) ** -1.5:
            return float(half + offset[0]), float(half + offset[1])


def draw_field(
    rng: np.random.Generator,
    sky: Sky,
    instrument: Instrument,
    trigger: Trigger,
    position_arcmin: tuple[float, float],
) -> list[KnownSource]:
    """Draw the catalogue sources of a field, their true fluxes and the small errors of the catalogue."""
    crowded = rng.random() < sky.crowded_share
    n = min(int(rng.poisson(sky.crowded_sources if crowded else sky.known_sources)), 40)
    error_px = arcmin_to_px(log_uniform(rng, position_arcmin), instrument)
    sources = []
    for number in rng.choice(CATALOGUE_SIZE, size=n, replace=False) + 1:
        y, z = draw_position(rng, instrument, trigger.min_coding)
        flux = min(sky.flux_median_crab * 10.0 ** rng.normal(0.0, sky.flux_sigma_dex), sky.flux_max_crab)
        true_flux = flux * 10.0 ** rng.normal(0.0, sky.variability_dex)
        dy, dz = rng.normal(0.0, error_px, 2)
        sources.append(KnownSource(int(number), y, z, true_flux, y + dy, z + dz, flux))
    return sources


def arcmin_to_px(angle_arcmin: float, instrument: Instrument) -> float:
    """Angle near the axis in sky pixels (one pixel is 33.6 arcmin)."""
    return float(np.tan(np.radians(angle_arcmin / 60.0)) * instrument.distance_mm / instrument.pitch_mm)
