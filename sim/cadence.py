"""A day at full cadence: every exposure is imaged, whether anything happens in it or not.

Slow, and there to check what :mod:`slewguard.sim.timeline` skips: the quiet exposures between events, those of an
event that cannot alert, and events that overlap. Each cycle of the longest exposure is a scene of its own.
"""

from __future__ import annotations

from collections.abc import Callable

from slewguard.sim.config import SimConfig
from slewguard.sim.countrate import ticks
from slewguard.sim.exposures import Window, image_windows
from slewguard.sim.mission import mission
from slewguard.sim.onboard import count_rates, observe
from slewguard.sim.population import DAY_S, draw_truth
from slewguard.sim.scene import build_scene
from slewguard.sim.settings_trigger import TICK_S
from slewguard.sim.timeline import MAX_EVENTS_PER_DAY, as_sub_image, awake, events, generator
from slewguard.subimages.contract import SubImage


def full_cadence(
    config: SimConfig, seed: int, day: int, progress: Callable[[int, int], None] | None = None
) -> list[SubImage]:
    """Simulate one day without leaving out any exposure and return its alerts in order of time.

    Parameters
    ----------
    config : SimConfig
    seed : int
    day : int
        Day of the time line, from 0.
    progress : callable, optional
        Called with the number of cycles done and their total.

    Returns
    -------
    list of SubImage
        As of :func:`slewguard.sim.timeline.alerts`. Alerts that belong to no event have sequence numbers from the
        middle of the day's range on.
    """
    flight, trigger = mission(config, seed), config.trigger
    truths = []
    for event_id in events(config, day + 1.0, seed):
        if event_id.day == day:
            rng = generator(seed, event_id.sequence)
            truths.append(draw_truth(rng, flight, event_id.cause, event_id.sequence, day))
    cycle = ticks(trigger.window_s(trigger.image_scales - 1))
    cycles = range(int(day * DAY_S / TICK_S) // cycle, int((day + 1) * DAY_S / TICK_S) // cycle)
    found: list[SubImage] = []
    first: dict[int, float] = {}
    sent: dict[int, int] = {}
    for done, k in enumerate(cycles):
        start, stop = k * cycle, (k + 1) * cycle
        middle = 0.5 * (start + stop) * TICK_S
        pointing = flight.pointing(middle)
        here = [t for t in truths if t is not None and t.stop_s > start * TICK_S and t.start_s < stop * TICK_S]
        rng = generator(seed, day * MAX_EVENTS_PER_DAY + MAX_EVENTS_PER_DAY // 2 + done)
        scene = build_scene(rng, flight, pointing, here, middle)
        windows = awake(flight, pointing, image_windows(trigger, (start + 1) * TICK_S, (stop - 1) * TICK_S))
        curves = []
        if trigger.crt_scales and awake(flight, pointing, [Window(stop, start, 0, "CRT")]):
            curve, asked = count_rates(rng, scene, start, stop)
            curves.append(curve)
            windows += asked
        for alert in observe(rng, scene, windows, tuple(curves), until_sequence_ends=False):
            sequence = alert.truth.sequence
            if sequence < 0:
                sequence = day * MAX_EVENTS_PER_DAY + MAX_EVENTS_PER_DAY // 2 + done
            time = alert.window.stop * TICK_S
            opened = first.setdefault(sequence, time)
            if time > opened + trigger.sequence_s or sent.get(sequence, 0) >= trigger.sequence_alerts:
                continue
            sent[sequence] = sent.get(sequence, 0) + 1
            found.append(as_sub_image(scene, alert, sequence))
        if progress is not None:
            progress(done + 1, len(cycles))
    return found
