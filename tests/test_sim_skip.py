"""What is skipped could not have alerted: the skipped exposures imaged without noise."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from sim_scenes import CONFIG, burst, calm_s, flight, glow, scene_of
from test_sim_scene import disturbances

from slewguard.sim.exposures import Window, image_windows
from slewguard.sim.population import draw_truth
from slewguard.sim.scene import Scene, Truth, build_scene
from slewguard.sim.settings_trigger import TICK_S
from slewguard.sim.skip import worth_imaging
from slewguard.sim.timeline import awake, generator
from slewguard.subimages.contract import TRUE_CAUSES

THRESHOLD = CONFIG.trigger.alert_threshold
EVENTS = 2
"""Events of each cause."""
MOST = 6
"""Skipped windows imaged of each event: the longest and some others."""


def asimov(scene: Scene, window: Window) -> float:
    """Highest SNR in a window whose counts are what is expected, outside the cores of subtracted sources."""
    a, b = window.start * TICK_S, window.stop * TICK_S
    band = scene.mission.response.bands[window.band]
    counts = (scene.expected(a, b) + scene.arrived(a, b))[band].sum(axis=0) * scene.correction
    seconds = scene.seen_s(a, b)
    lit = scene.sources.listed[:, band].sum(axis=1) * seconds * scene.catalogue_area
    limits = lit * scene.mission.config.trigger.max_flux_ratio
    fitted = scene.view.fit(counts[None], limits[None], (seconds > 0)[None])[0] * scene.sources.subtraction
    return float(np.nanmax(scene.view.sky_maps(counts[None], fitted).snr))


@lru_cache(maxsize=64)
def drawn(cause: str, k: int) -> tuple[Scene, list[Window], Scene] | None:
    """An event, its windows, and the same scene without it."""
    rng = generator(17, k)
    truth = draw_truth(rng, flight(), cause, k, 0)
    if truth is None:
        return None
    pointing = flight().pointing(truth.start_s)
    scene = build_scene(generator(18, k), flight(), pointing, [truth], truth.start_s)
    without = build_scene(generator(18, k), flight(), pointing, [], truth.start_s)
    windows = awake(
        flight(), pointing, image_windows(CONFIG.trigger, truth.start_s, min(truth.stop_s, truth.start_s + 2700.0))
    )
    return scene, windows, without


@pytest.mark.parametrize("cause", list(CONFIG.rates.per_day()))
def test_nothing_above_the_threshold_is_skipped(cause: str) -> None:
    done = 0
    for k in range(40):
        event = drawn(cause, k)
        if event is None:
            continue
        scene, windows, without = event
        kept = worth_imaging(scene, windows)
        assert set(kept) <= set(windows)
        skipped = sorted(set(windows) - set(kept), key=lambda w: -w.seconds)
        rng = generator(19, k)
        tried = skipped[: MOST // 2]
        if len(skipped) > MOST // 2:
            tried += [skipped[int(i)] for i in rng.integers(MOST // 2, len(skipped), MOST // 2)]
        for window in tried:
            snr = asimov(scene, window)
            if snr < THRESHOLD or asimov(without, window) > THRESHOLD - 1.0:
                # Silent, or loud without the event: the fixed scatter and the Earth are no event.
                continue
            # A burst alone may be passed over where a better image ends at the same time.
            same_end = [w for w in kept if w.stop == window.stop]
            assert cause in TRUE_CAUSES, (k, window, snr)
            assert same_end, (k, window, snr)
            assert max(asimov(scene, w) for w in same_end) > snr, (k, window, snr)
        done += 1
        if done == EVENTS:
            break
    assert done == EVENTS


def test_empty_scenes_are_skipped_and_bright_ones_kept() -> None:
    windows = image_windows(CONFIG.trigger, calm_s(), calm_s() + 300.0)
    assert worth_imaging(scene_of(), windows) == []
    scene = scene_of(burst(3.0, 200.0))
    kept = worth_imaging(scene, windows)
    assert kept
    # Of every 20.48 s in which it shines whole, an image.
    ends = {w.stop for w in kept}
    first = int(scene.truths[0].start_s // 20.48) + 1
    assert {2048 * k for k in range(first + 1, first + 8)} <= ends


def test_a_disturbed_burst_keeps_every_window_that_the_burst_alone_would() -> None:
    windows = image_windows(CONFIG.trigger, calm_s(), calm_s() + 300.0)
    alone = burst(2.0, 100.0)
    kept = set(worth_imaging(scene_of(alone), windows))
    disturbed: list[Truth] = [replace(alone, disturbances=disturbances(calm_s(), calm_s() + 300.0))]
    disturbed.append(replace(alone, glow=glow(calm_s() + 60.0, calm_s() + 100.0)))
    for truth in disturbed:
        assert kept <= set(worth_imaging(scene_of(truth), windows))
