"""The scene is linear: in time, and in what it is made of."""

from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sim_scenes import SHORT, bare, burst, calm_s, flight, glow, pulse, scene_of, setting_s

from slewguard.sim.defects import Disturbance, hot_pixel, saa, sector
from slewguard.sim.population import circumstances
from slewguard.sim.scene import Lit, Scene, Truth
from slewguard.sim.timeline import generator

ALL = slice(0, None)


def disturbances(start: float, stop: float) -> tuple[Disturbance, ...]:
    rng, m = generator(1, 1), flight()
    about = circumstances(m, start, stop)
    plane = np.zeros((4, 80, 80))
    plane[1, 40, 40] = 1000.0
    shower = Disturbance("particle_shower", np.ones(4), start + 25.0, start + 25.01, counts=plane)
    return (
        sector(rng, about),
        hot_pixel(rng, about),
        replace(saa(rng, about, stop, entry=True), start_s=start),
        shower,
    )


def full(at_s: float) -> Scene:
    """Everything that can be in a scene at once, acting from before to after the first 330 s."""
    new = burst(2.0, 60.0, start_s=at_s + 20.48, curve=pulse(at_s + 20.48))
    truth = replace(new, disturbances=disturbances(at_s - 50, at_s + 500), glow=glow(at_s + 10.24, at_s + 204.8))
    edge = burst(3.0, 300.0, y=3.0, z=20.0, start_s=at_s + 30.0, cause="edge_source", sequence=8)
    return scene_of(truth, edge, at_s=at_s)


@lru_cache(maxsize=2)
def full_scene(name: str) -> Scene:
    return full(calm_s() if name == "calm" else setting_s())


@pytest.fixture(name="calm")
def _calm() -> Scene:
    return full_scene("calm")


@pytest.fixture(name="setting")
def _setting() -> Scene:
    return full_scene("setting")


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 3200), st.integers(1, 3200), st.floats(0.02, 0.98))
def test_steady_light_adds_up_over_any_split(first: int, ticks: int, share: float) -> None:
    scene = scene_of()
    a = calm_s() + first * 0.01
    b, c = a + share * ticks * 0.01, a + ticks * 0.01
    whole, parts = scene.expected(a, c), scene.expected(a, b) + scene.expected(b, c)
    np.testing.assert_allclose(parts, whole, rtol=1e-9)


@pytest.mark.parametrize("split", [1, 4, 9])
def test_everything_adds_up_over_the_steps_in_which_the_limb_moves(setting: Scene, split: int) -> None:
    # From the middle of the event on, so that no disturbance sets in inside a piece.
    a, b, c = (setting_s() + 10.24 * k for k in (12, 12 + split, 22))
    # The efficiency of a sector acts on the piece's photons, which a fading burst spreads unevenly: left out.
    steady = setting.without_transients()
    # Disturbances of efficiency multiply photons, so their sum is that of the photons; single-precision transforms.
    whole, parts = steady.expected(a, c), steady.expected(a, b) + steady.expected(b, c)
    np.testing.assert_allclose(parts, whole, rtol=2e-5)
    photons = setting.photons(a, b) + setting.photons(b, c)
    np.testing.assert_allclose(photons, setting.photons(a, c), rtol=2e-5)


@pytest.mark.parametrize("name", ["calm", "setting"])
def test_parts_and_the_quiet_sky_are_the_whole(name: str) -> None:
    scene = full_scene(name)
    start = calm_s() if name == "calm" else setting_s()
    edges = [start + SHORT * k for k in (0, 1, 2, 5, 8)]
    for band in (*flight().response.bands, ALL):
        parts = sum(p.plane for p in scene.parts(edges, band))
        leak = flight().response.mask_transparency[:, None, None]
        behind = scene.telescope.diffuse_outline - scene.telescope.diffuse
        rate = flight().cxb_rate[:, None, None] * (scene.telescope.diffuse + leak * behind)
        quiet = (rate + scene.particles[:, None, None])[band].sum(axis=0) * (edges[-1] - edges[0])
        pieces = list(pairwise(edges))
        want = sum(scene.expected(a, b) + scene.arrived(a, b) for a, b in pieces)[band].sum(axis=0)
        # The sum of sources leaves out energies of which tantalum passes less than 1e-6.
        np.testing.assert_allclose(parts + quiet, want, rtol=2e-6)


def test_parts_stay_the_whole_with_an_efficiency_map(calm: Scene) -> None:
    rng = np.random.default_rng(1)
    efficiency = rng.uniform(0.5, 1.0, (80, 80))
    efficiency[3, 4] = 0.0
    correction = np.divide(1.0, efficiency, out=np.ones((80, 80)), where=efficiency > 0)

    class Seen:
        def __init__(self) -> None:
            self.efficiency = efficiency

        def __getattr__(self, name: str) -> object:
            return getattr(calm.telescope, name)

    scene = replace(calm, telescope=Seen(), correction=correction, _photons={})  # type: ignore[arg-type]
    edges = [calm_s(), calm_s() + SHORT, calm_s() + 2 * SHORT]
    pieces = list(pairwise(edges))
    # The trigger images counts over efficiency, so that is what the parts must add up to; a dead pixel has none.
    want = sum((scene.expected(a, b) + scene.arrived(a, b)) * correction for a, b in pieces).sum(axis=0)
    leak = flight().response.mask_transparency[:, None, None]
    behind = scene.telescope.diffuse_outline - scene.telescope.diffuse
    rate = flight().cxb_rate[:, None, None] * (scene.telescope.diffuse + leak * behind)
    quiet = (rate + scene.particles[:, None, None]).sum(axis=0) * (edges[-1] - edges[0]) * (efficiency > 0)
    parts = sum(p.plane for p in scene.parts(edges, ALL))
    np.testing.assert_allclose(parts + quiet, want, rtol=2e-6, atol=1e-9)


def test_every_part_says_what_it_is(calm: Scene) -> None:
    parts = calm.parts([calm_s() - 40.0, calm_s() + 4 * SHORT], ALL)
    found = {(p.kind, p.cause, p.sequence) for p in parts}
    assert {("signal", "grb", 7), ("artefact", "edge_source", 8), ("artefact", "sector", 7)} <= found
    assert {("artefact", "particle_shower", 7), ("artefact", "saa", 7), ("artefact", "hot_pixel", 7)} <= found
    assert {("artefact", "column", -1), ("artefact", "xrdpix", -1), ("artefact", "noisy_pixel", -1)} <= found
    assert [p.cause for p in parts if p.kind == "source"] == ["residual"] * len(calm.sources)
    signal = next(p for p in parts if p.kind == "signal")
    assert (signal.y, signal.z) == (110.3, 85.8)
    assert next(p for p in parts if p.cause == "particle_shower").plane.sum() == 1000.0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 32767), max_size=8, unique=True))
def test_what_has_arrived_counts_once(cuts: list[int]) -> None:
    calm = full_scene("calm")
    edges = [calm_s() - 60.0 + 0.01 * k for k in (0, *sorted(cuts), 32768)]
    total = sum(np.sum(calm.arrived(a, b)) for a, b in pairwise(edges))
    assert total == 1000.0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 100), st.integers(1, 100), st.integers(1, 100))
def test_a_burst_arrives_once(first: int, one: int, two: int) -> None:
    calm = full_scene("calm")
    a, b, c = (calm_s() + 1.28 * k for k in (first, first + one, first + one + two))
    truth = calm.truths[0]
    share = calm.arrived_share(truth, a, b) + calm.arrived_share(truth, b, c)
    assert share == pytest.approx(calm.arrived_share(truth, a, c), abs=1e-12)
    assert truth.new is not None
    # What comes after Truth.stop_s (60 s of a pulse of 4 s) is left out by design.
    want = truth.new.curve.between(*np.clip([a, c], truth.start_s, truth.stop_s))
    assert share == pytest.approx(float(want), abs=1e-12)


def test_nothing_comes_outside_an_events_time() -> None:
    with_burst = scene_of(burst())
    assert with_burst.arrived_share(with_burst.truths[0], calm_s(), calm_s() + 45.0) == 0.0
    assert with_burst.arrived_share(with_burst.truths[0], calm_s(), calm_s() + 200.0) == pytest.approx(1.0, abs=1e-12)
    assert with_burst.arrived_share(Truth(1, "column", 0.0, 1e9), calm_s(), calm_s() + 9.0) == 0.0
    a, b = calm_s(), calm_s() + 40.96
    assert (with_burst.expected(a, b) == with_burst.without_transients().expected(a, b)).all()
    after = with_burst.expected(calm_s() + 40.96, calm_s() + 81.92)
    before = with_burst.without_transients().expected(calm_s() + 40.96, calm_s() + 81.92)
    assert (after >= before).all()
    assert (after > before).any()


def test_a_burst_of_so_many_photons_gives_so_many_counts() -> None:
    scene = bare(scene_of(burst(1.5, 30.0, y=99.0, z=99.0)))
    a, b = calm_s(), calm_s() + 4 * SHORT
    extra = (scene.expected(a, b) - scene.without_transients().expected(a, b)).sum(axis=(1, 2))
    tel = scene.telescope
    through = tel.shadow(99.0, 99.0).sum()
    # On axis: 0.16 cm2 a pixel through the holes, and what passes the tantalum of the other pixels.
    want = 0.16 * (through + flight().response.mask_transparency * (6400 - through)) * flight().crab_rate * 1.5 * 30.0
    np.testing.assert_allclose(extra, want, rtol=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 198), st.floats(0, 198))
def test_transparent_and_opaque_masks_are_limits(y: float, z: float) -> None:
    tel = scene_of().telescope
    lit = Lit.of(tel, [None, (y, z)], np.array([0.0, 1.0, 0.3]))
    assert not lit.counts(np.array([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])).any()
    planes = lit.counts(np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]))
    np.testing.assert_allclose(lit.plane(1, np.ones(3), slice(1, 3)), planes[1:].sum(axis=0), atol=1e-12)
    area = tel.projected_area(y, z)
    np.testing.assert_allclose(planes[0], area * tel.shadow(y, z), atol=1e-15)
    np.testing.assert_allclose(planes[1], area * tel.outline(y, z), atol=1e-15)
    # 0.16 cm2 times the cosine; the path through the plate grows as 1 / cosine.
    cosine = area / 0.16
    np.testing.assert_allclose(planes[2], planes[0] + 0.3 ** (1 / cosine) * (planes[1] - planes[0]), atol=1e-12)


def test_scene_depends_on_its_generator_alone() -> None:
    one, again, other = scene_of(seed=5), scene_of(seed=5), scene_of(seed=6)
    a, b = calm_s(), calm_s() + SHORT
    assert (one.expected(a, b) == again.expected(a, b)).all()
    assert (one.expected(a, b) != other.expected(a, b)).any()
    assert one.criteria == again.criteria != other.criteria
