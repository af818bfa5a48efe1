"""Counts: each photon drawn once, whatever windows look at it, with the means that the scene expects."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, poisson
from sim_scenes import CONFIG, SHORT, bare, burst, calm_s, flight, pulse, scene_of
from test_sim_scene import disturbances

from slewguard.sim.countrate import quadrants
from slewguard.sim.exposures import (
    Exposer,
    LightCurve4,
    Window,
    draw_light_curve,
    edges_of,
    image_windows,
    spread,
)
from slewguard.sim.onboard import count_rates
from slewguard.sim.scene import Scene, Truth
from slewguard.sim.settings_trigger import TICK_S

ALL = slice(0, None)
FIRST = round(calm_s() / TICK_S)
ALPHA = 1e-4
"""Share of right samples that a statistical test here would refuse; the seeds are fixed."""


@pytest.fixture(scope="module")
def scene() -> Scene:
    return scene_of(burst(3.0, 60.0, start_s=calm_s() + 50.0, curve=pulse(calm_s() + 50.0)))


def window(start: int, stop: int, band: int = 0) -> Window:
    return Window(FIRST + stop, FIRST + start, band, "IMT")


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(1, 4095), min_size=1, max_size=5, unique=True))
def test_a_window_is_the_sum_of_its_pieces_whatever_else_is_looked_at(scene: Scene, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), 4096]
    pieces = [window(a, b) for a, b in pairwise(edges)]
    whole = window(0, 4096)
    exposer = Exposer(np.random.default_rng(1), scene, edges_of([*pieces, whole, window(100, 3000)]))
    for atoms in (*flight().response.bands, ALL):
        got = exposer.counts(whole, atoms)
        assert got.dtype == np.int64
        assert (got == sum(exposer.counts(p, atoms) for p in pieces)).all()
    # The order in which windows are asked for draws nothing anew.
    again = Exposer(np.random.default_rng(1), scene, exposer.edges)
    assert (again.counts(pieces[-1], ALL) == exposer.counts(pieces[-1], ALL)).all()
    assert exposer.edges_s(whole)[0] == pytest.approx(calm_s())
    assert exposer.edges_s(whole)[-1] == pytest.approx(calm_s() + 40.96)


def test_bands_share_their_photons(scene: Scene) -> None:
    exposer = Exposer(np.random.default_rng(2), scene, [FIRST, FIRST + 2048])
    atoms = [exposer.counts(window(0, 2048), slice(k, k + 1)) for k in range(4)]
    for band in flight().response.bands:
        assert (exposer.counts(window(0, 2048), band) == sum(atoms[band])).all()


def test_counts_are_poisson_about_what_is_expected(scene: Scene) -> None:
    edges = [FIRST, FIRST + 5000, FIRST + 16384]
    exposer = Exposer(np.random.default_rng(3), scene, edges)
    counts = exposer.counts(window(0, 16384), ALL).astype(float)
    a, b, c = (e * TICK_S for e in edges)
    mean = (scene.expected(a, b) + scene.expected(b, c)).sum(axis=0)
    assert mean.min() > 20
    statistic = ((counts - mean) ** 2 / mean).sum()
    assert chi2.ppf(ALPHA, 6400) < statistic < chi2.isf(ALPHA, 6400)
    assert poisson.ppf(ALPHA, mean.sum()) < counts.sum() < poisson.isf(ALPHA, mean.sum())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 10**5), min_size=8, max_size=8), st.booleans())
def test_spread_keeps_the_totals(seed: int, totals: list[int], dark: bool) -> None:
    rng = np.random.default_rng(seed)
    expected = rng.gamma(0.3, size=(2, 8, 8))
    if dark:
        expected[0, :4] = 0.0
    wanted = np.array(totals).reshape(2, 4)
    assert (quadrants(spread(rng, expected, wanted).astype(float)) == wanted).all()


def test_spread_follows_what_is_expected() -> None:
    rng = np.random.default_rng(4)
    expected = rng.gamma(2.0, size=(1, 20, 20))
    totals = np.full((1, 4), 100_000)
    drawn = spread(rng, expected, totals).astype(float)
    shares = expected / np.kron(quadrants(expected).reshape(2, 2), np.ones((10, 10)))
    mean = 100_000 * shares
    # Four multinomials of 100 cells: 4 x 99 degrees of freedom.
    assert chi2.ppf(ALPHA, 396) < ((drawn - mean) ** 2 / mean).sum() < chi2.isf(ALPHA, 396)


def test_images_and_count_rates_see_the_same_photons(scene: Scene) -> None:
    rng = np.random.default_rng(5)
    curve, asked = count_rates(rng, scene, FIRST + 1000, FIRST + 12000)
    assert asked
    inner = [window(2048, 4096), window(4096, 8192), window(4500, 4628)]
    exposer = Exposer(rng, scene, edges_of([*inner, *asked]), (curve,))
    for w in (*inner, *asked):
        per_atom = [quadrants(exposer.counts(w, slice(k, k + 1)).astype(float)) for k in range(4)]
        assert (np.array(per_atom) == curve.totals(w.start, w.stop)).all()
    # A piece that the light curve does not cover whole is drawn as if there were none.
    assert curve.totals(FIRST, FIRST + 2048) is None
    outside = Exposer(rng, scene, [FIRST, FIRST + 2048], (curve,)).counts(window(0, 2048), ALL)
    assert outside.sum() > 0


def test_light_curve_has_the_means_of_the_scene() -> None:
    start = calm_s() + 50.0
    truth = burst(40.0, 60.0, start_s=start, curve=pulse(start, 6.0))
    detector = disturbances(calm_s() - 50.0, calm_s() + 500.0)
    scene = scene_of(Truth(**{**vars(truth), "disturbances": detector}))

    class Mean:
        def poisson(self, mean: np.ndarray) -> np.ndarray:
            return mean

    curve: LightCurve4 = draw_light_curve(Mean(), scene, FIRST, FIRST + 8192, 2048)  # type: ignore[arg-type]
    got = curve.counts.reshape(-1, 512, 4, 4).sum(axis=1)
    edges = (FIRST + 512 * np.arange(17)) * TICK_S
    want = [quadrants(scene.expected(a, b)) for a, b in pairwise(edges)]
    # The SAA rate rises by 20.48 s / growth_s within a piece that is taken as even; all else is exact.
    np.testing.assert_allclose(got, want, rtol=0.03)
    short = got.reshape(4, 4, 4, 4).sum(axis=1)
    np.testing.assert_allclose(short, np.array(want).reshape(4, 4, 4, 4).sum(axis=1), rtol=2e-3)


def test_a_shower_is_in_count_rates_and_images_alike() -> None:
    shower = disturbances(calm_s(), calm_s() + 300.0)[-1]
    scene = bare(scene_of(Truth(3, "particle_shower", shower.start_s, shower.stop_s, disturbances=(shower,))))
    rng = np.random.default_rng(6)
    curve, asked = count_rates(rng, scene, FIRST - 4096, FIRST + 4096)
    # 1000 counts in one tick over 30: nothing else comes near.
    assert asked
    tick = round(shower.start_s / TICK_S)
    assert all(w.start <= tick < w.stop for w in asked)
    best = asked[0]
    counts = Exposer(rng, scene, edges_of(asked), (curve,)).counts(best, flight().response.bands[best.band])
    assert counts[40, 40] >= 1000


@settings(max_examples=40, deadline=None)
@given(st.floats(0.0, 5e5), st.floats(0.02, 3000.0))
def test_image_windows_are_all_that_overlap(start: float, length: float) -> None:
    found = image_windows(CONFIG.trigger, start, start + length)
    assert found == sorted(set(found))
    first, last = start / TICK_S, (start + length) / TICK_S
    for scale in range(CONFIG.trigger.image_scales):
        ticks = 2048 * 2**scale
        mine = [w for w in found if w.stop - w.start == ticks]
        assert all(w.start % ticks == 0 and w.kind == "IMT" for w in mine)
        numbers = sorted({w.start // ticks for w in mine})
        assert len(mine) == len(numbers) * len(CONFIG.trigger.bands_kev)
        want = [k for k in range(int(first // ticks) - 1, int(last // ticks) + 2) if k * ticks < last - 1]
        want = [k for k in want if (k + 1) * ticks > first + 1]
        # A window that the stretch touches by less than a tick may be there or not.
        assert set(want) <= set(numbers)
        assert all((k + 1) * ticks > first - 1 and k * ticks < last + 1 for k in numbers)


def test_windows_know_their_length() -> None:
    assert window(0, 2048).seconds == pytest.approx(SHORT)
    assert window(0, 2048) < window(0, 4096)
