"""What runs on board during a scene: silence, bursts, sequences, and what count rates ask for."""

from dataclasses import replace

import numpy as np
import pytest
from sim_scenes import CONFIG, SHORT, bare, burst, calm_s, scene_of, setting_s
from test_sim_scene import disturbances

from slewguard.sim.earth import direction, in_front
from slewguard.sim.exposures import Window, image_windows
from slewguard.sim.onboard import Alert, count_rates, observe
from slewguard.sim.scene import Scene, Truth
from slewguard.sim.settings_trigger import TICK_S
from slewguard.sim.timeline import generator
from slewguard.sim.trigger import Criteria
from slewguard.subimages.contract import TRUE

FIRST = round(calm_s() / TICK_S)
PLAIN = Criteria(exclusion_px=-1.0, adaptive_cap=1.0, second_peak_ratio=1.0)


def run(scene: Scene, windows: list[Window], seed: int = 1, *, until_sequence_ends: bool = True) -> list[Alert]:
    return observe(generator(2, seed), scene, windows, until_sequence_ends=until_sequence_ends)


def windows(start: float, seconds: float) -> list[Window]:
    return image_windows(CONFIG.trigger, start + 0.01, start + seconds - 0.01)


def test_quiet_fields_do_not_alert() -> None:
    imaged, found = 0, []
    for seed in range(9):
        scene = scene_of(seed=seed % 3)
        calm = [w for w in windows(calm_s(), 327.68) if w.seconds < 330.0][seed % 4 :: 4]
        imaged += len(calm)
        found += run(scene, calm, seed)
    # None in some 280: at most 1.3 % of quiet windows alert (Clopper-Pearson, 95 %).
    assert imaged >= 275
    assert not found


def test_a_burst_is_found_at_its_place_as_true() -> None:
    scene = replace(bare(scene_of(burst(1.0, 60.0, y=120.4, z=77.8))), criteria=PLAIN)
    found = run(scene, windows(calm_s(), 327.68))
    assert len(found) >= 3
    for alert in found:
        assert (alert.truth.label, alert.truth.cause, alert.truth.sequence) == (TRUE, "grb", 7)
        assert np.hypot(alert.peak.column - 120.4, alert.peak.row - 77.8) < 1.5
        assert alert.snr[alert.peak.row, alert.peak.column] == alert.peak.snr >= CONFIG.trigger.alert_threshold
        assert alert.shadowgram.shape == (80, 80)
    ends = [a.window.stop for a in found]
    assert ends == sorted(set(ends))


def test_of_windows_that_end_together_the_best_is_sent() -> None:
    scene = replace(bare(scene_of(burst(2.0, SHORT, start_s=calm_s() + SHORT))), criteria=PLAIN)
    together = [w for w in windows(calm_s(), 327.68) if w.stop == FIRST + 4096]
    assert len(together) == 8
    (best,) = run(scene, together)
    each = [run(scene, [w]) for w in together]
    # One burst of 20.48 s: the short windows see it best, whichever photons are drawn.
    assert best.window.seconds == pytest.approx(SHORT)
    assert best.peak.snr > np.mean([a.peak.snr for (a,) in each if a])


def test_sequences_end_by_time_and_by_number() -> None:
    scene = replace(bare(scene_of(burst(3.0, 300.0, start_s=calm_s()))), criteria=PLAIN)
    short = [w for w in windows(calm_s(), 300.0) if w.seconds < 21.0]
    everything = run(scene, short, until_sequence_ends=False)
    assert len(everything) >= 12
    limited = with_trigger(scene, sequence_alerts=3)
    assert [a.window.stop for a in run(limited, short)] == [a.window.stop for a in everything[:3]]
    timed = with_trigger(scene, sequence_s=2 * SHORT)
    last = everything[0].window.stop + 4096
    assert [a.window.stop for a in run(timed, short)] == [a.window.stop for a in everything if a.window.stop <= last]


def with_trigger(scene: Scene, **keys: object) -> Scene:
    config = CONFIG.model_copy(update={"trigger": CONFIG.trigger.model_copy(update=keys)})
    return replace(scene, mission=replace(scene.mission, config=config))


def test_a_source_behind_the_earth_neither_alerts_nor_is_subtracted() -> None:
    base = scene_of(at_s=setting_s())
    m = base.mission
    t = np.array([setting_s(), setting_s() + SHORT])
    earth = m.earth_in_body(m.pointing(setting_s()), t)
    z, y = (a.ravel().astype(float) for a in np.mgrid[30:170:20, 30:170:20])
    seen = in_front(direction(CONFIG.instrument, y, z), earth, m.earth_radius_deg).any(axis=0)
    hidden = np.flatnonzero(~seen)
    if not len(hidden):
        t += 327.68 - SHORT
        earth = m.earth_in_body(m.pointing(setting_s()), t)
        seen = in_front(direction(CONFIG.instrument, y, z), earth, m.earth_radius_deg).any(axis=0)
        hidden = np.flatnonzero(~seen)
    i = hidden[0]
    truth = burst(20.0, SHORT, y=float(y[i]), z=float(z[i]), start_s=float(t[0]))
    scene = replace(bare(scene_of(truth, at_s=setting_s())), criteria=PLAIN)
    assert run(scene, [w for w in windows(float(t[0]), SHORT) if w.seconds < 21.0]) == []
    assert scene.photons(*t) == pytest.approx(scene.without_transients().photons(*t))


def test_count_rates_ask_for_the_burst_and_its_image_shows_it() -> None:
    start = calm_s() + 60.0
    scene = replace(bare(scene_of(burst(30.0, 0.64, start_s=start))), criteria=PLAIN)
    rng = generator(3, 1)
    curve, asked = count_rates(rng, scene, FIRST, FIRST + 12000)
    assert asked
    assert all(w.kind == "CRT" for w in asked)
    assert any(w.start * TICK_S < start + 0.64 and w.stop * TICK_S > start for w in asked)
    found = observe(rng, scene, asked, (curve,))
    assert found
    assert all(a.truth.label == TRUE for a in found)
    assert curve.counts.shape == (12000, 4, 4)


def test_count_rates_of_quiet_ask_for_nothing() -> None:
    scene = scene_of()
    for seed in range(3):
        assert count_rates(generator(4, seed), scene, FIRST, FIRST + 20000)[1] == []


def test_a_shower_is_judged_as_one() -> None:
    plane = np.zeros((4, 80, 80))
    plane[:, 30:33, 20:60] = 12
    shower = replace(disturbances(calm_s(), calm_s() + 300.0)[-1], counts=plane)
    truth = Truth(3, "particle_shower", shower.start_s, shower.stop_s, disturbances=(shower,))
    scene = replace(bare(scene_of(truth)), criteria=PLAIN)
    rng = generator(5, 1)
    curve, asked = count_rates(rng, scene, FIRST - 4096, FIRST + 4096)
    found = observe(rng, scene, asked, (curve,))
    assert asked
    assert {(a.truth.label, a.truth.cause) for a in found} <= {(0, "particle_shower")}
