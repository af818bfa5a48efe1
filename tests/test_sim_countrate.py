"""Count-rate excesses against scipy, against a plain loop, and at the rate that Poisson statistics computes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import kl_div
from scipy.stats import poisson

from slewguard.sim.countrate import ZONES, find_excesses, quadrants, tick_of, ticks
from slewguard.sim.settings_trigger import Trigger

TRIGGER = Trigger(crt_threshold=6.5, crt_cycle_s=2.56, crt_background_s=30.72, crt_gap_s=5.12, crt_scales=12)
QUADRANTS = {"low z low y": (10, 10), "low z high y": (10, 70), "high z low y": (70, 10), "high z high y": (70, 70)}


def by_hand(curve: np.ndarray, trigger: Trigger, first_tick: int) -> dict[int, float]:
    """The best excess of every cycle, one window at a time."""
    length, gap, cycle = (ticks(s) for s in (trigger.crt_background_s, trigger.crt_gap_s, trigger.crt_cycle_s))
    best: dict[int, float] = {}
    for window in (2**k for k in range(trigger.crt_scales)):
        for start in range(length + gap, len(curve) - window + 1, max(window // 2, 1)):
            for zone in ZONES.astype(bool):
                for band in range(curve.shape[1]):
                    inside = curve[:, band][:, zone]
                    count = inside[start : start + window].sum()
                    mean = max(inside[start - gap - length : start - gap].sum(), 0.5) * window / length
                    if count <= mean:
                        continue
                    sigma = float(np.sqrt(2 * kl_div(count, mean)))
                    number = (first_tick + start + window - 1) // cycle
                    if sigma >= trigger.crt_threshold and sigma > best.get(number, 0.0):
                        best[number] = sigma
    return best


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.02, 0.3, 3.0]), st.integers(0, 10**7))
def test_excesses_are_those_of_a_plain_loop(seed: int, rate: float, first: int) -> None:
    rng = np.random.default_rng(seed)
    small = Trigger(crt_scales=4, crt_background_s=0.32, crt_gap_s=0.05, crt_cycle_s=0.16, crt_threshold=2.5)
    curve = rng.poisson(rate, (90, 2, 4))
    curve[60:64, 1, 2] += rng.poisson(3 * rate + 1, 4)
    found = find_excesses(curve, small, first)
    want = by_hand(curve, small, first)
    assert [(first + e.stop - 1) // 16 for e in found] == sorted(want)
    assert [e.sigma for e in found] == pytest.approx([want[k] for k in sorted(want)], rel=1e-9)


@pytest.mark.parametrize(("scale", "band", "zone"), [(0, 2, 8), (3, 0, 0), (6, 1, 3), (9, 3, 6), (11, 0, 1)])
def test_an_injected_excess_is_found_where_it_is(scale: int, band: int, zone: int) -> None:
    rng, first = np.random.default_rng(1), 123_456
    length = 1 << scale
    rate = 5.0
    curve = rng.poisson(rate, (9000, 4, 4))
    # On the grid of half windows, from the first window that has a background.
    start = 3584 + max(length // 2, 1) * 3
    lit = np.flatnonzero(ZONES[zone])
    # Twelve sigma in the zone that is lit; the total rounds up.
    extra = int(12 * np.sqrt(rate * length * len(lit)) + 30)
    for q in lit:
        curve[start : start + length, band, q] += extra // len(lit) // length
        curve[start : start + extra // len(lit) % length, band, q] += 1
    found = find_excesses(curve, TRIGGER, first)
    best = max(found, key=lambda e: e.sigma)
    assert (best.band, best.zone) == (band, zone)
    # Half a window to either side, and a neighbouring scale, can win by a fluctuation.
    assert length / 2 <= best.stop - best.start <= 2 * length
    assert best.start < start + length
    assert best.stop > start
    cycle = ticks(TRIGGER.crt_cycle_s)
    cycles = [(first + e.stop - 1) // cycle for e in found]
    assert cycles == sorted(set(cycles))
    assert {e.band for e in found} == {band}


def test_significance_is_that_of_a_poisson_count() -> None:
    quiet = Trigger(crt_scales=1, crt_threshold=3.0, crt_cycle_s=0.01, crt_background_s=30.72, crt_gap_s=5.12)
    curve = np.full((3700, 1, 4), 4, dtype=np.int64)
    curve[3650, 0, 0] = 40
    (found,) = (e for e in find_excesses(curve, quiet) if e.zone == 5)
    assert found.sigma == pytest.approx(np.sqrt(2 * kl_div(40, 4)), rel=1e-9)
    assert (found.start, found.stop) == (3650, 3651)
    # For many counts it is the usual (c - b) / sqrt(b).
    curve = np.full((3700, 1, 4), 10**6, dtype=np.int64)
    curve[3650, 0, 0] += 5000
    (found,) = find_excesses(curve, quiet)
    assert found.sigma == pytest.approx(5.0, rel=2e-3)


@pytest.mark.parametrize("mean", [0.4, 4.0])
def test_false_excesses_of_pure_noise_come_as_often_as_computed(mean: float) -> None:
    # One quadrant counts, so that all its zones have the same excess; each tick is a cycle of its own.
    trigger = Trigger(crt_scales=1, crt_threshold=3.0, crt_cycle_s=0.01, crt_background_s=30.72, crt_gap_s=5.12)
    rng, n = np.random.default_rng(2), 400_000
    curve = np.zeros((n, 1, 4), np.int64)
    curve[:, 0, 0] = rng.poisson(mean, n)
    # A background of 30.72 s is known to 1 / sqrt(3072 mean): average over it.
    total = np.arange(*poisson.interval(1 - 1e-9, 3072 * mean))
    counts = np.arange(200)
    background = np.maximum(total, 0.5) / 3072
    over = (counts[:, None] > background) & (np.sqrt(2 * kl_div(counts[:, None], background)) >= 3.0)
    chance = float((poisson.pmf(counts, mean) @ over) @ poisson.pmf(total, 3072 * mean))
    tried = n - ticks(trigger.crt_background_s) - ticks(trigger.crt_gap_s)
    found = len(find_excesses(curve, trigger))
    # The windows share their backgrounds, whose scatter changes the chance by far less than this.
    assert abs(found - chance * tried) < 5 * np.sqrt(chance * tried)
    assert found > 50


def test_silence_is_silent() -> None:
    rng = np.random.default_rng(3)
    assert find_excesses(np.zeros((5000, 4, 4), np.int64), TRIGGER) == []
    assert find_excesses(np.zeros((10, 4, 4), np.int64), TRIGGER) == []
    # 6.5 sigma: 4e-11 a window; the tails of small counts are the fattest.
    assert find_excesses(rng.poisson(5.0, (20_000, 4, 4)), TRIGGER) == []


@pytest.mark.parametrize(("k", "name"), list(enumerate(QUADRANTS)))
def test_quadrants_are_numbered_as_the_zones_say(k: int, name: str) -> None:
    plane = np.zeros((2, 80, 80))
    plane[1][QUADRANTS[name]] = 3.0
    sums = quadrants(plane)
    assert sums.shape == (2, 4)
    assert sums[1, k] == sums.sum() == 3.0


def test_zones_are_the_plane_its_halves_and_its_quadrants() -> None:
    assert sorted(ZONES.sum(axis=1).tolist()) == [1, 1, 1, 1, 2, 2, 2, 2, 4]
    assert len({tuple(z) for z in ZONES.tolist()}) == 9
    halves = ZONES[ZONES.sum(axis=1) == 2]
    # No half is a diagonal.
    assert not any((h == [1, 0, 0, 1]).all() or (h == [0, 1, 1, 0]).all() for h in halves)


@given(st.integers(0, 10**11))
def test_a_tick_begins_where_it_begins(tick: int) -> None:
    assert tick_of(tick * 0.01) == tick
    assert tick_of(tick * 0.01 + 0.005) == tick
    assert ticks(tick * 0.01) == tick
