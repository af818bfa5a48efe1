"""Photon spectra, and what of them the detectors count in the energy bands of the trigger.

Spectra are functions of the energy in keV that give photons/cm2/s/keV (the diffuse ones per sr). The *atoms* are
the intervals between the sorted edges of all bands; whatever is spectral is a float64 array over the atoms, and a
band is the sum of neighbouring atoms.

The matter is that of public tables: tantalum, total attenuation, NIST SRD 126 (Hubbell & Seltzer 2004); cadmium
telluride, photoabsorption, Elam, Ravel & Sieber 2002 (Radiat. Phys. Chem. 63, 121), which with its scattering adds
up to the NIST totals.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slewguard.sim.settings_sky import Energy, Pairs
from slewguard.sim.settings_sky import Sky as SkyKeys
from slewguard.subimages.errors import BadInput

Float64 = NDArray[np.float64]
Spectrum = Callable[[Float64], Float64]
ERG_PER_KEV = 1.602176634e-9
"""Exact in the SI of 2019."""
CDTE_DENSITY = 5.85
"""g/cm3 (usual handbook value)."""
TA_DENSITY = 16.654
"""g/cm3 (NIST SRD 126, table 1)."""
# keV, cm2/g. Below 20 keV a millimetre absorbs all, so that the L edges at 3.5 to 4.9 keV are left out; the two
# steps are the K edges of cadmium and tellurium.
_CDTE_PHOTOABSORPTION = """
3 608.5  5 834.5  8 245.9  10 135.4  15 44.76  20 20.14  26.711 8.92  26.712 28.52  30 21.04  31.814 18.00
31.815 34.19  40 18.75  50 10.24  60 6.195  80 2.763  100 1.463  120 0.867  150 0.456  200 0.1994
"""
_TA_ATTENUATION = """
3 1838  4 922.2  5 532.8  6 338.2  8 163.9  9.881 95.99  9.882 244.3  11.14 179.1  11.141 244.9  11.68 218.2
11.681 251.8  15 134.0  20 63.34  30 21.87  40 10.25  50 5.717  60 3.569  67.42 2.652  67.421 11.80  80 7.587
100 4.302  150 1.531  200 0.7598
"""


def cxb(energy: Float64) -> Float64:
    """Cosmic X-ray background, photons/cm2/s/sr/keV (Moretti et al. 2009, as used in Antier 2016SACLS467)."""
    x = energy / 29.0
    spectrum: Float64 = 0.109 / (x**1.40 + x**2.88)
    return spectrum


def crab(energy: Float64) -> Float64:
    """The Crab, 10 E^-2.1 photons/cm2/s/keV (as used in Antier 2016SACLS467)."""
    return power_law(energy, 2.1, 10.0)


def power_law(energy: Float64, index: float, at_1_kev: float = 1.0) -> Float64:
    """Power law of a photon index (positive: falling), photons/cm2/s/keV with a value at 1 keV."""
    spectrum: Float64 = at_1_kev * energy**-index
    return spectrum


def blackbody(energy: Float64, kt_kev: float) -> Float64:
    """Planck's photon spectrum E^2 / (exp(E / kT) - 1), in arbitrary units."""
    # Beyond E / kT = 700 the exponential overflows; what is left there is below 1e-290.
    spectrum: Float64 = energy**2 / np.expm1(np.minimum(energy / kt_kev, 700.0))
    return spectrum


def bremsstrahlung(energy: Float64, kt_kev: float) -> Float64:
    """Optically thin bremsstrahlung without Gaunt factor, exp(-E / kT) / E, in arbitrary units."""
    spectrum: Float64 = np.exp(-energy / kt_kev) / energy
    return spectrum


def band(energy: Float64, alpha: ArrayLike, beta: float, epeak_kev: ArrayLike) -> Float64:
    """Photon spectrum of Band et al. 1993 (ApJ 413, 281), in arbitrary units: 1 at 100 keV but for the fold.

    Parameters
    ----------
    energy : float64 array
        keV.
    alpha, beta : float
        Indices, alpha > -2 > beta; ``alpha`` may be an array that broadcasts with ``energy``.
    epeak_kev : float
        Where E^2 N(E) peaks; may be an array likewise.
    """
    alpha = np.asarray(alpha, dtype=np.float64)
    fold = np.asarray(epeak_kev, dtype=np.float64) / (2.0 + alpha)
    join = (alpha - beta) * fold
    low = np.minimum(energy, join)
    # Both branches in one: above the join the cut-off power law stays at its value there and beta takes over.
    spectrum: Float64 = (low / 100.0) ** alpha * np.exp(-low / fold) * (np.maximum(energy, join) / join) ** beta
    return spectrum


@lru_cache(maxsize=64)
def _quadrature(lo_kev: float, hi_kev: float) -> tuple[Float64, Float64]:
    return _gauss(np.geomspace(lo_kev, hi_kev, max(8, round(32 * math.log10(hi_kev / lo_kev)) + 1)))


def _gauss(edges: Float64) -> tuple[Float64, Float64]:
    """Nodes and weights of the three-point Gauss-Legendre rule on every interval between two edges."""
    x, w = np.polynomial.legendre.leggauss(3)
    half, middle = 0.5 * np.diff(edges)[:, None], 0.5 * (edges[1:] + edges[:-1])[:, None]
    return (middle + half * x).ravel(), (half * w).ravel()


def photon_flux(spectrum: Spectrum, lo_kev: float, hi_kev: float) -> float:
    """Photons/cm2/s of a spectrum between two energies."""
    energy, weight = _quadrature(lo_kev, hi_kev)
    return float(weight @ spectrum(energy))


def energy_flux(spectrum: Spectrum, lo_kev: float, hi_kev: float) -> float:
    """erg/cm2/s of a spectrum between two energies."""
    energy, weight = _quadrature(lo_kev, hi_kev)
    return float((weight * energy) @ spectrum(energy)) * ERG_PER_KEV


def _coefficient(table: str, energy: Float64) -> Float64:
    """Mass attenuation coefficient in cm2/g, log-log between the entries of a table."""
    numbers = np.log(np.array(table.split(), dtype=np.float64).reshape(-1, 2))
    coefficient: Float64 = np.exp(np.interp(np.log(energy), numbers[:, 0], numbers[:, 1]))
    return coefficient


def mask_transmission(energy: Float64, thickness_mm: float) -> Float64:
    """Share of photons that pass an opaque cell of the mask along the normal; 0 for a thickness of 0 (opaque)."""
    if thickness_mm == 0.0:
        return np.zeros_like(energy)
    passed: Float64 = np.exp(-_coefficient(_TA_ATTENUATION, energy) * TA_DENSITY * thickness_mm / 10.0)
    return passed


def cdte_efficiency(thickness_mm: float, threshold_kev: float, threshold_sigma_kev: float) -> Pairs:
    """Share of photons absorbed in the CdTe and above the threshold, as a table from 3 to 200 keV.

    Photoabsorption is computed; the threshold is a Gaussian step of an assumed width. Electrodes, escaping
    fluorescence and rejected multiple events are left out; a CdTe detector of the same family counted 39 to 75 % in
    single events between 2.2 and 11.6 keV (Dubos et al., cea-01791971), so this is an upper bound there.
    """
    steps = np.array([26.711, 26.712, 31.814, 31.815])
    energy = np.unique(np.concatenate([np.geomspace(3.0, 200.0, 160), steps]))
    absorbed = -np.expm1(-_coefficient(_CDTE_PHOTOABSORPTION, energy) * CDTE_DENSITY * thickness_mm / 10.0)
    scale = math.sqrt(2.0) * threshold_sigma_kev
    above = np.array([0.5 * math.erfc((threshold_kev - e) / scale) for e in energy])
    return tuple(zip(energy.tolist(), (absorbed * above).tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class Response:
    """What the detectors count of a spectrum in every atom; build it with :func:`response`."""

    atoms: tuple[tuple[float, float], ...]
    """Energy intervals in keV, ascending and adjacent."""
    bands_kev: tuple[tuple[float, float], ...]
    bands: tuple[slice, ...]
    """The atoms of each band."""
    mask_transparency: Float64
    """Share of the Crab's detected photons that pass an opaque mask cell along the normal, float64 [n_atoms].

    At an angle the path is longer: ``mask_transparency ** (1 / cos)`` is close, and exact for a line.
    """
    _energy: Float64
    _weight: Float64

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.atoms)

    @property
    def widths_kev(self) -> Float64:
        """Width of every atom, float64 [n_atoms]."""
        return np.array([hi - lo for lo, hi in self.atoms])

    def rate(self, spectrum: Spectrum) -> Float64:
        """Photons/cm2/s (and per sr for a diffuse spectrum) detected in every atom, float64 [n_atoms]."""
        detected: Float64 = self._weight @ spectrum(self._energy)
        return detected

    def band_sum(self, values: NDArray[np.float64], band_index: int) -> Float64:
        """Sum an array whose first axis is the atoms over the atoms of a band."""
        total: Float64 = values[self.bands[band_index]].sum(axis=0)
        return total


@lru_cache(maxsize=16)
def response(
    bands_kev: tuple[tuple[float, float], ...], efficiency: Pairs | None = None, mask_thickness_mm: float = 0.0
) -> Response:
    """Build, or find again, the response in a set of bands.

    Parameters
    ----------
    bands_kev : tuple of (low, high)
        Energy bands of the trigger, keV.
    efficiency : tuple of (keV, share), optional
        Linear between the entries; left out, every photon is detected.
    mask_thickness_mm : float
        Of the mask's tantalum; 0 is perfectly opaque.

    Raises
    ------
    BadInput
        If a band is empty or the efficiency does not cover the bands.
    """
    for lo, hi in bands_kev:
        if not 0.0 < lo < hi:
            raise BadInput(f"energy band {lo:g}-{hi:g} keV is empty")
    edges = sorted({edge for pair in bands_kev for edge in pair})
    table = np.array(efficiency or ((edges[0], 1.0), (edges[-1], 1.0)))
    if not table[0, 0] <= edges[0] or not edges[-1] <= table[-1, 0]:
        raise BadInput(
            f"efficiency covers {table[0, 0]:g} to {table[-1, 0]:g} keV, the bands need {edges[0]:g} to {edges[-1]:g}"
        )
    atoms = tuple(pairwise(edges))
    # Kinks of the efficiency are edges of the quadrature, so that each piece is smooth.
    parts = []
    for lo, hi in atoms:
        inside = table[(table[:, 0] > lo) & (table[:, 0] < hi), 0]
        parts.append(_gauss(np.unique(np.concatenate([np.geomspace(lo, hi, 25), inside]))))
    energy = np.concatenate([nodes for nodes, _ in parts])
    weight = np.zeros((len(atoms), len(energy)))
    start = 0
    for atom, (nodes, weights) in enumerate(parts):
        weight[atom, start : start + len(nodes)] = weights * np.interp(nodes, table[:, 0], table[:, 1])
        start += len(nodes)
    seen = weight @ crab(energy)
    leaked = weight @ (crab(energy) * mask_transmission(energy, mask_thickness_mm))
    # An atom in which nothing is detected leaks nothing.
    transparency = np.divide(leaked, seen, out=np.zeros_like(seen), where=seen > 0.0)
    for array in (energy, weight, transparency):
        array.setflags(write=False)
    bands = tuple(slice(edges.index(lo), edges.index(hi)) for lo, hi in bands_kev)
    return Response(atoms, bands_kev, bands, transparency, energy, weight)


def response_of(energy: Energy, bands_kev: tuple[tuple[float, float], ...], mask_thickness_mm: float) -> Response:
    """Response of a configuration; the thickness is that of the instrument's mask.

    Raises
    ------
    BadInput
        If the response file cannot be used or does not cover the bands.
    """
    if energy.response_path is not None:
        table = load_efficiency(energy.response_path)
        try:
            return response(bands_kev, table, mask_thickness_mm)
        except BadInput as error:
            raise error.within(energy.response_path) from error
    table = energy.efficiency or cdte_efficiency(energy.detector_mm, energy.threshold_kev, energy.threshold_sigma_kev)
    return response(bands_kev, table, mask_thickness_mm)


def load_efficiency(path: str | Path) -> Pairs:
    """Read an efficiency from a CSV file with the columns ``energy_kev,efficiency``; lines with ``#`` are skipped.

    Raises
    ------
    BadInput
        Naming file, line and fault, if it cannot be read, has another shape, or holds a value out of range or order.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise BadInput(error.strerror or "cannot be read", path) from error
    except UnicodeDecodeError as error:
        raise BadInput("is not UTF-8 text", path) from error
    pairs: list[tuple[float, float]] = []
    header = False
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = [cell.strip() for cell in line.split(",")]
        if not header:
            if cells != ["energy_kev", "efficiency"]:
                raise BadInput(f"line {number}: the header must be energy_kev,efficiency", path)
            header = True
            continue
        try:
            energy, share = map(float, cells)
        except ValueError as error:
            raise BadInput(f"line {number}: must hold two numbers", path) from error
        if not (math.isfinite(energy) and energy > 0.0):
            raise BadInput(f"line {number}: the energy must be positive", path)
        if not 0.0 <= share <= 1.0:
            raise BadInput(f"line {number}: the efficiency must be within 0 and 1", path)
        if pairs and energy <= pairs[-1][0]:
            raise BadInput(f"line {number}: the energies must increase", path)
        pairs.append((energy, share))
    if len(pairs) < 2:
        raise BadInput("must hold at least two energies", path)
    return tuple(pairs)


def particle_rate(sky: SkyKeys, seen: Response) -> Float64:
    """Lowest particle background along the orbit, counts/s/pixel in every atom, float64 [n_atoms]."""
    return sky.particles_per_kev * seen.widths_kev


def particle_factor(sky: SkyKeys, share: ArrayLike) -> Float64:
    """Factor on :func:`particle_rate` where ``share`` (0 to 1) runs from the lowest to the highest point."""
    return 1.0 + (sky.particles_orbit - 1.0) * np.asarray(share, dtype=np.float64)


def earth_albedo(sky: SkyKeys, seen: Response) -> Float64:
    """Brightness of the Earth over that of the CXB as detected in every atom, float64 [n_atoms]."""
    energy, ratio = np.array(sky.earth_albedo).T
    dark = seen.rate(cxb)
    lit = seen.rate(lambda e: cxb(e) * np.interp(e, energy, ratio))
    return np.divide(lit, dark, out=np.zeros_like(dark), where=dark > 0.0)
