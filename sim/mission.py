"""The mission: everything that is fixed once a configuration and a seed are chosen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slewguard.sim import orbit as orbits
from slewguard.sim import pointing as pointings
from slewguard.sim.catalogue import FieldSources, SourceTable, atom_fluxes, catalogue, sources_in_field
from slewguard.sim.config import SimConfig
from slewguard.sim.instrument import telescope
from slewguard.sim.pointing import Pointing
from slewguard.sim.spectra import Response, crab, cxb, earth_albedo, particle_factor, particle_rate, response_of

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Mission:
    """Orbit, pointing plan, catalogue and response of a configuration; build it with :func:`mission`."""

    config: SimConfig
    seed: int

    @cached_property
    def response(self) -> Response:
        """Detected spectra in the trigger's bands."""
        return response_of(self.config.energy, self.config.trigger.bands_kev, self.config.instrument.mask_thickness_mm)

    @cached_property
    def catalogue(self) -> SourceTable:
        """The onboard catalogue."""
        return catalogue(self.config.catalogue)

    @cached_property
    def cxb_rate(self) -> Float64:
        """Detected photons/cm2/s/sr of the cosmic background, float64 [atoms]."""
        return self.response.rate(cxb)

    @cached_property
    def crab_rate(self) -> Float64:
        """Detected photons/cm2/s of the Crab, float64 [atoms]."""
        return self.response.rate(crab)

    @cached_property
    def albedo(self) -> Float64:
        """Brightness of the Earth over that of the cosmic background, float64 [atoms]."""
        return earth_albedo(self.config.sky, self.response)

    @cached_property
    def earth_radius_deg(self) -> float:
        """Angular radius of the Earth's disc."""
        return orbits.earth_radius_deg(self.config.orbit)

    @cached_property
    def quiet_rate(self) -> Float64:
        """Mean counts/s of a pixel without the Earth in the field, float64 [atoms]."""
        diffuse = telescope(self.config.instrument, self.config.instrument.mask_seeds[0]).diffuse
        return self.cxb_rate * float(diffuse.mean()) + particle_rate(self.config.sky, self.response)

    def pointing(self, t_s: float) -> Pointing:
        """Slot of the pointing plan at a time."""
        return pointings.plan(self.config.orbit, self.config.pointing, self.seed, t_s)

    def earth_in_body(self, pointing: Pointing, t_s: ArrayLike) -> Float64:
        """Unit vectors to the Earth's centre in the body frame, float64 [m, 3]."""
        return pointings.earth_in_body(self.config.orbit, pointing, t_s)

    def in_saa(self, t_s: ArrayLike) -> NDArray[np.bool_]:
        """Whether the trigger stands still because of the SAA, bool [m]."""
        return orbits.in_saa(self.config.orbit, t_s)

    def saa_passages(self, start_s: float, stop_s: float) -> list[tuple[float, float]]:
        """SAA passages (entry, exit) that touch a stretch of time, s."""
        return orbits.saa_passages(self.config.orbit, start_s, stop_s)

    def particle_rate(self, t_s: float) -> Float64:
        """Particle counts/s of a pixel, float64 [atoms]: more of them the farther from the equator."""
        _, latitude = orbits.lon_lat(self.config.orbit, np.array([t_s]))
        share = float(np.abs(latitude[0])) / self.config.orbit.inclination_deg
        return particle_rate(self.config.sky, self.response) * float(particle_factor(self.config.sky, min(share, 1.0)))

    def field(self, pointing: Pointing) -> FieldSources:
        """Catalogue sources on the sky map of a pointing."""
        return sources_in_field(self.catalogue, pointing, self.config.instrument)

    def rates(self, flux_crab: Float64) -> Float64:
        """Detected photons/cm2/s of sources given their soft and hard flux in Crab [n, 2], float64 [n, atoms]."""
        edges = [lo for lo, _ in self.response.atoms] + [self.response.atoms[-1][1]]
        return atom_fluxes(flux_crab, edges) * self.crab_rate


@lru_cache(maxsize=8)
def mission(config: SimConfig, seed: int) -> Mission:
    """Build, or find again, the mission of a configuration and a seed."""
    return Mission(config, seed)
