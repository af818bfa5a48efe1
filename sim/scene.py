"""A scene: everything that shines or goes wrong during a stretch of the mission, as planes of expected counts.

The scene is linear: every part of it (sky, sources, bursts, disturbances) is a plane of counts over any stretch of
time, so that the truth behind an alert can be told part by part. Counts are in energy intervals (*atoms*), of which
every band of the trigger is a sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.defects import Disturbance
from slewguard.sim.earth import Glow, direction, in_front, reaches_field, steps, visible_sky
from slewguard.sim.imaging import Field, imager
from slewguard.sim.instrument import Telescope, telescope
from slewguard.sim.lightcurve import LightCurve
from slewguard.sim.mission import Mission
from slewguard.sim.pointing import Pointing
from slewguard.sim.sources import Fault, Sources
from slewguard.sim.trigger import Criteria
from slewguard.subimages.contract import TRUE_CAUSES

Float64 = NDArray[np.float64]
_SEEN_STEP_S = 1.28


@dataclass(frozen=True)
class NewSource:
    """A source that no catalogue leads to: what the trigger is there to find, or a bright one beyond its field.

    Parameters
    ----------
    cause : str
        ``grb``, ``unknown_source`` or ``outburst``; ``edge_source`` where the trigger does not search.
    y, z : float
        Direction in sky pixels.
    fluence : float array [atoms]
        Photons/cm2 detected over the whole event.
    curve : LightCurve
        How they come; mission time.
    """

    cause: str
    y: float
    z: float
    fluence: Float64
    curve: LightCurve


@dataclass(frozen=True)
class Truth:
    """What one event of the time line adds to a scene."""

    sequence: int
    cause: str
    start_s: float
    stop_s: float
    """When something of it can be seen."""
    new: NewSource | None = None
    disturbances: tuple[Disturbance, ...] = ()
    faults: tuple[Fault, ...] = ()
    glow: Glow | None = None


@dataclass(frozen=True)
class Lit:
    """Area of every pixel that sources light: through holes, and at high energies through the mask itself.

    Parameters
    ----------
    holes, mask : float64 array [n, 80, 80]
        cm2 seen through holes and through tantalum.
    passed : float64 array [n, atoms]
        Share that passes the tantalum.
    """

    holes: Float64
    mask: Float64
    passed: Float64

    @classmethod
    def of(cls, tel: Telescope, where: Sequence[tuple[float, float] | None], transparency: Float64) -> Lit:
        """Work it out for directions in sky pixels (None: nowhere) and the mask's transparency along its normal."""
        n = tel.geometry.pixels
        holes, mask = np.zeros((2, len(where), n, n))
        passed = np.zeros((len(where), len(transparency)))
        for i, at in enumerate(where):
            if at is None:
                continue
            cm2 = tel.projected_area(*at)
            holes[i] = tel.shadow(*at) * cm2
            mask[i] = tel.outline(*at) * cm2 - holes[i]
            passed[i] = transparency ** (tel.geometry.active_mm**2 / 100.0 / cm2)
        return cls(holes, mask, passed)

    def counts(self, fluence: Float64) -> Float64:
        """Counts of all sources for photons/cm2 [n, atoms], float64 [atoms, 80, 80]."""
        total = np.tensordot(fluence.T, self.holes, axes=1)
        for atom in np.flatnonzero((self.passed > 1e-6).any(axis=0)):
            total[atom] += np.tensordot(fluence[:, atom] * self.passed[:, atom], self.mask, axes=1)
        return total

    def plane(self, i: int, fluence: Float64, band: slice) -> Float64:
        """Counts of one source in a band for photons/cm2 [atoms], float64 [80, 80]."""
        leaking = float(fluence[band] @ self.passed[i, band])
        plane = float(fluence[band].sum()) * self.holes[i]
        return plane + leaking * self.mask[i] if leaking else plane


@dataclass(frozen=True)
class Part:
    """Counts of one part of the scene in one exposure, and what it is."""

    kind: str
    """``signal``, ``source`` or ``artefact``."""
    cause: str
    sequence: int
    """Event it belongs to; -1 for what is there at all times."""
    plane: Float64
    y: float = np.nan
    z: float = np.nan


@dataclass(frozen=True)
class Scene:
    """Built by :func:`build_scene`."""

    mission: Mission
    pointing: Pointing
    telescope: Telescope
    sources: Sources
    truths: tuple[Truth, ...]
    ever: tuple[Disturbance, ...]
    criteria: Criteria
    mask_seed: int
    particles: Float64
    """Particle counts/s per pixel, float64 [atoms]."""
    lit: Lit
    """What the known sources light."""
    new_lit: Lit
    """What the new source of each truth lights; nothing where it has none."""
    view: Field
    """Onboard view: imager with the shadows at the catalogue positions."""
    catalogue_shadows: Float64
    """Lit share of every pixel for the catalogue positions, float64 [n, 80, 80]."""
    catalogue_area: Float64
    """Projected cm2 of a fully lit pixel for each catalogue position, float64 [n]."""
    correction: Float64
    """Factor by which the onboard software corrects each pixel's counts for its known efficiency, [80, 80]."""
    _kept: dict[tuple[float, float], tuple[Float64, Float64]] = field(default_factory=dict)
    _photons: dict[tuple[float, float], Float64] = field(default_factory=dict)

    def earth(self, start_s: float, stop_s: float, step_s: float = _SEEN_STEP_S) -> Float64:
        """Unit vectors to the Earth's centre in the body frame in the middle of equal steps, float64 [m, 3]."""
        return self.mission.earth_in_body(self.pointing, steps(start_s, stop_s, step_s))

    def seen_s(self, start_s: float, stop_s: float) -> Float64:
        """Seconds for which each known source is not behind the Earth, float64 [n]."""
        g = self.telescope.geometry
        where = direction(g, self.sources.y, self.sources.z)
        seen = in_front(where, self.earth(start_s, stop_s), self.mission.earth_radius_deg)
        return seen.mean(axis=0) * (stop_s - start_s)

    def arrived_share(self, truth: Truth, start_s: float, stop_s: float) -> float:
        """Share of a transient's fluence that arrives in a stretch while the Earth does not hide it."""
        lo, hi = max(start_s, truth.start_s), min(stop_s, truth.stop_s)
        if truth.new is None or hi <= lo:
            return 0.0
        n = max(int(np.ceil((hi - lo) / _SEEN_STEP_S - 1e-9)), 1)
        return float(self.arrived_shares(truth.new, np.linspace(lo, hi, n + 1)).sum())

    def arrived_shares(self, new: NewSource, edges_s: Float64) -> Float64:
        """The same between neighbouring edges [m + 1] that lie closely, float64 [m]."""
        where = direction(self.telescope.geometry, new.y, new.z)[None]
        earth = self.mission.earth_in_body(self.pointing, 0.5 * (edges_s[1:] + edges_s[:-1]))
        seen = in_front(where, earth, self.mission.earth_radius_deg)[:, 0]
        shares: Float64 = np.diff(new.curve.cumulative(edges_s)) * seen
        return shares

    def _arrived_fluence(self, truth: Truth, start_s: float, stop_s: float) -> Float64:
        if truth.new is None:
            return np.zeros(len(self.mission.cxb_rate))
        return truth.new.fluence * self.arrived_share(truth, start_s, stop_s)

    def without_transients(self) -> Scene:
        """Return the scene with every transient taken out."""
        return replace(self, truths=tuple(replace(t, new=None) for t in self.truths), _photons={})

    def misled(self, truths: Sequence[Truth], sources: Sources) -> Scene:
        """Return the same sky and detector as an onboard software sees them that works with another catalogue.

        Parameters
        ----------
        truths : sequence of Truth
            With what is wrong, for the labels.
        sources : Sources
            With the true directions and fluxes of the scene's own.
        """
        shadows, area = _listed(self.telescope, sources)
        view = Field(self.view.imager, shadows)
        # What is kept of the photons stays true: nothing in the sky has changed.
        return replace(
            self,
            truths=tuple(truths),
            sources=sources,
            view=view,
            catalogue_shadows=shadows,
            catalogue_area=area,
        )

    def diffuse(self, start_s: float, stop_s: float) -> tuple[Float64, Float64]:
        """Counts of the diffuse sky, [atoms, 80, 80], and of bright limbs, [truths, atoms, 80, 80] (or empty)."""
        key = (start_s, stop_s)
        if key not in self._kept:
            self._kept[key] = self._diffuse(start_s, stop_s)
        return self._kept[key]

    def _diffuse(self, start_s: float, stop_s: float) -> tuple[Float64, Float64]:
        tel, g, radius = self.telescope, self.telescope.geometry, self.mission.earth_radius_deg
        cxb, seconds = self.mission.cxb_rate, stop_s - start_s
        earth = self.earth(start_s, stop_s, 10.24)
        plane, behind = tel.diffuse, tel.diffuse_outline - tel.diffuse
        leak = self.mission.response.mask_transparency[:, None, None]
        whole = plane + leak * behind
        none = np.zeros((0, len(cxb), g.pixels, g.pixels))
        if not reaches_field(g, earth, radius):
            return cxb[:, None, None] * whole * seconds, none
        visible = visible_sky(g, earth, radius)
        plane = tel.diffuse_visible(visible)
        seen = plane + leak * (tel.outline_visible(visible) - plane)
        albedo = self.mission.albedo[:, None, None]
        sky = (seen + albedo * (whole - seen)) * cxb[:, None, None] * seconds
        if not any(t.glow for t in self.truths):
            return sky, none
        glows = []
        for truth in self.truths:
            lit = np.zeros((g.pixels, g.pixels))
            if truth.glow is not None:
                lo, hi = max(start_s, truth.glow.start_s), min(stop_s, truth.glow.stop_s)
                if hi > lo:
                    shining = truth.glow.map(g, self.earth(lo, hi, 10.24), radius)
                    lit = tel.diffuse_visible(shining) * (hi - lo)
            glows.append(cxb[:, None, None] * lit)
        return sky, np.array(glows)

    def photons(self, start_s: float, stop_s: float) -> Float64:
        """Expected counts without any disturbance of the detector, float64 [atoms, 80, 80]."""
        key = (start_s, stop_s)
        if key not in self._photons:
            self._photons[key] = self._all_photons(start_s, stop_s)
        return self._photons[key]

    def _all_photons(self, start_s: float, stop_s: float) -> Float64:
        sky, glows = self.diffuse(start_s, stop_s)
        seconds = stop_s - start_s
        rates = self.sources.rate * self.seen_s(start_s, stop_s)[:, None]
        total = sky + self.lit.counts(rates)
        total += self.particles[:, None, None] * seconds
        if len(glows):
            total = total + glows.sum(axis=0)
        total += self.new_lit.counts(np.array([self._arrived_fluence(t, start_s, stop_s) for t in self.truths]))
        return total * self.telescope.efficiency

    def disturbances(self) -> Iterator[tuple[int, Disturbance]]:
        """Every disturbance with the sequence it belongs to (-1: there at all times)."""
        for d in self.ever:
            yield -1, d
        for truth in self.truths:
            for d in truth.disturbances:
                yield truth.sequence, d

    def expected(self, start_s: float, stop_s: float) -> Float64:
        """Expected counts in all, without those that are already drawn, float64 [atoms, 80, 80]."""
        photons = self.photons(start_s, stop_s)
        total = photons.copy()
        for _, d in self.disturbances():
            total += d.expected(photons, start_s, stop_s)
        return np.maximum(total, 0.0, out=total)

    def arrived(self, start_s: float, stop_s: float) -> Float64 | float:
        """Counts that are already drawn and arrive in a stretch, [atoms, 80, 80] or 0."""
        return sum((d.arrived(start_s, stop_s) for _, d in self.disturbances()), 0.0)

    def parts(self, edges_s: Sequence[float], band: slice) -> list[Part]:
        """Take one exposure, corrected for efficiency, apart: all of it but the steady sky and particles.

        Parameters
        ----------
        edges_s : sequence of float
            The exposure as the pieces of time from which its counts were drawn.
        band : slice
            Atoms of the band.
        """
        start, stop = edges_s[0], edges_s[-1]
        photons = [self.photons(a, b) for a, b in pairwise(edges_s)]
        found = []
        for sequence, d in self.disturbances():
            plane = np.zeros_like(photons[0])
            for p, (a, b) in zip(photons, pairwise(edges_s), strict=True):
                plane += d.expected(p, a, b) + d.arrived(a, b)
            found.append(Part("artefact", d.cause, sequence, plane[band].sum(axis=0) * self.correction))
        for k, truth in enumerate(self.truths):
            if truth.new is not None:
                share = sum(self.arrived_share(truth, a, b) for a, b in pairwise(edges_s))
                plane = self.new_lit.plane(k, share * truth.new.fluence, band)
                kind = "signal" if truth.new.cause in TRUE_CAUSES else "artefact"
                found.append(Part(kind, truth.new.cause, truth.sequence, plane, truth.new.y, truth.new.z))
            if truth.glow is not None:
                glow = sum(self.diffuse(a, b)[1][k] for a, b in pairwise(edges_s) if len(self.diffuse(a, b)[1]))
                if isinstance(glow, np.ndarray):
                    found.append(Part("artefact", "earth_limb", truth.sequence, glow[band].sum(axis=0)))
        leak = self.mission.response.mask_transparency[:, None, None]
        whole = self.telescope.diffuse + leak * (self.telescope.diffuse_outline - self.telescope.diffuse)
        quiet = self.mission.cxb_rate[:, None, None] * whole * (stop - start)
        earth = sum(self.diffuse(a, b)[0] for a, b in pairwise(edges_s)) - quiet
        found.append(Part("artefact", "earth_limb", -1, earth[band].sum(axis=0)))
        seen = sum(self.seen_s(a, b) for a, b in pairwise(edges_s))
        fluences = self.sources.rate * np.asarray(seen)[:, None]
        faults = [(t.sequence, f) for t in self.truths for f in t.faults]
        for i in range(len(self.sources)):
            own = [(s, f.cause) for s, f in faults if f.number in (-1, int(self.sources.number[i]))]
            sequence, cause = own[-1] if own else (-1, "residual")
            plane = self.lit.plane(i, fluences[i], band)
            found.append(Part("source", cause, sequence, plane, float(self.sources.y[i]), float(self.sources.z[i])))
        # Light that a dead pixel does not count is no part of the exposure; all else is corrected for its efficiency.
        alive = self.telescope.efficiency > 0.0
        disturbed = sum(1 for _ in self.disturbances())
        return found[:disturbed] + [replace(p, plane=p.plane * alive) for p in found[disturbed:]]


def build_scene(
    rng: np.random.Generator, mission: Mission, pointing: Pointing, truths: Sequence[Truth], middle_s: float
) -> Scene:
    """Draw what is there at all times (mask, fluxes, small errors) and join it with the events.

    Parameters
    ----------
    rng : numpy Generator
    mission : Mission
    pointing : Pointing
    truths : sequence of Truth
    middle_s : float
        Time near which the scene lies, for what changes slowly along the orbit.
    """
    from slewguard.sim.population import circumstances, draw_ever, draw_sources

    config = mission.config
    mask_seed = int(rng.choice(config.instrument.mask_seeds))
    tel = telescope(config.instrument, mask_seed)
    sources = draw_sources(rng, mission, pointing)
    for truth in truths:
        for fault in truth.faults:
            sources = fault.apply(sources)
    ever = draw_ever(rng, circumstances(mission, middle_s, middle_s))
    criteria = Criteria.draw(rng, config.trigger)
    n = tel.geometry.pixels
    leak = mission.response.mask_transparency
    listed, area = _listed(tel, sources)
    mask_imager = imager(config.instrument, mask_seed, config.trigger.min_coding)
    return Scene(
        mission,
        pointing,
        tel,
        sources,
        tuple(truths),
        tuple(ever),
        criteria,
        mask_seed,
        mission.particle_rate(middle_s),
        Lit.of(tel, list(zip(sources.y, sources.z, strict=True)), leak),
        Lit.of(tel, [None if t.new is None else (t.new.y, t.new.z) for t in truths], leak),
        Field(mask_imager, listed),
        listed,
        area,
        np.divide(1.0, tel.efficiency, out=np.ones((n, n)), where=tel.efficiency > 0.0),
    )


def _listed(tel: Telescope, sources: Sources) -> tuple[Float64, Float64]:
    """Shadows [n, 80, 80] and cm2 of a fully lit pixel [n] for the catalogue positions."""
    area = [tel.projected_area(y, z) for y, z in zip(sources.catalogue_y, sources.catalogue_z, strict=True)]
    return tel.shadows(sources.catalogue_y, sources.catalogue_z), np.array(area).reshape(-1)
