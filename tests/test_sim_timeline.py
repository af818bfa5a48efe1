"""The time line: Poisson events, the same bytes from the same seed, and alerts that fill every column."""

from collections import Counter
from functools import lru_cache

import numpy as np
import pytest
from sim_scenes import CONFIG, flight

from slewguard.sim.exposures import Window, image_windows
from slewguard.sim.settings_trigger import TICK_S
from slewguard.sim.timeline import (
    MAX_EVENTS_PER_DAY,
    EventId,
    Simulated,
    alerts,
    awake,
    events,
    generator,
    simulate_event,
    sub_images,
)
from slewguard.subimages.contract import COLUMNS, FALSE_CAUSES, TRIGGER_KINDS, TRUE_CAUSES, SubImage, TriggerSet

SEED = 5
SOME = ("grb", "outburst", "column")


@lru_cache(maxsize=32)
def loud(cause: str) -> tuple[Simulated, list[SubImage]]:
    """The first event of a cause that alerts."""
    for k in range(40):
        simulated = simulate_event(CONFIG, SEED, EventId(0, k, cause))
        if simulated is not None and simulated.alerts:
            return simulated, sub_images(simulated)
    raise AssertionError(f"no {cause} alerts")


@pytest.mark.parametrize("cause", SOME)
def test_same_event_same_bytes(cause: str) -> None:
    simulated, first = loud(cause)
    again = alerts(CONFIG, SEED, simulated.event_id)
    assert len(again) == len(first)
    for a, b in zip(first, again, strict=True):
        assert a.snr.tobytes() == b.snr.tobytes()
        assert a.mask.tobytes() == b.mask.tobytes()
        assert a.meta == b.meta
    other = alerts(CONFIG, SEED + 1, simulated.event_id)
    assert [a.snr.tobytes() for a in other] != [a.snr.tobytes() for a in first]


@pytest.mark.parametrize("cause", SOME)
def test_alerts_fill_every_column_and_agree_with_the_map(cause: str) -> None:
    simulated, found = loud(cause)
    triggers = TriggerSet.of(found, simulated=True)
    assert set(triggers.columns) == set(COLUMNS)
    assert not triggers.rejected.any()
    c = triggers.columns
    for name, dtype in COLUMNS.items():
        assert c[name].dtype == dtype
        assert name in {"cause", "trigger"} or np.isfinite(c[name]).all()
    assert (triggers.snr[:, 28, 28] == c["peak_snr"]).all()
    assert (c["peak_snr"] >= CONFIG.trigger.alert_threshold).all()
    assert (c["slew"] == (c["peak_snr"] >= CONFIG.trigger.slew_threshold)).all()
    assert (np.diff(c["time_s"]) > 0).all()
    assert len(found) <= CONFIG.trigger.sequence_alerts
    assert c["time_s"][-1] - c["time_s"][0] <= CONFIG.trigger.sequence_s + 1e-6
    assert (c["sequence"] == simulated.event_id.sequence).all()
    assert set(c["trigger"]) <= set(TRIGGER_KINDS)
    np.testing.assert_allclose(c["r90_arcmin"] * c["peak_snr"], 77.0, rtol=1e-3)
    bands = {(float(lo), float(hi)) for lo, hi in CONFIG.trigger.bands_kev}
    assert set(zip(c["band_lo_kev"].tolist(), c["band_hi_kev"].tolist(), strict=True)) <= bands
    for label, why in zip(triggers.label, triggers.cause, strict=True):
        assert why in {1: TRUE_CAUSES, 0: FALSE_CAUSES, -1: ("unclear",)}[int(label)]
    for alert, image in zip(simulated.alerts, found, strict=True):
        # The field of view has 54 degrees from its axis to the corner.
        axis, at = (_unit(*p) for p in _places(simulated, image))
        assert np.degrees(np.arccos(axis @ at)) < 54.5
        assert np.hypot(image.meta["sky_y"] - alert.peak.column, image.meta["sky_z"] - alert.peak.row) < 0.75
        assert image.meta["time_s"] == alert.window.stop * TICK_S
        assert image.meta["window_s"] == pytest.approx(alert.window.seconds)


def _places(simulated: Simulated, image: SubImage) -> list[tuple[float, float]]:
    pointing = simulated.scene.pointing
    return [(pointing.ra_deg, pointing.dec_deg), (image.meta["ra_deg"], image.meta["dec_deg"])]


def _unit(ra_deg: float, dec_deg: float) -> np.ndarray:
    ra, dec = np.radians([ra_deg, dec_deg])
    return np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])


def test_sources_are_found_where_they_are() -> None:
    for cause in ("unknown_source", "outburst"):
        simulated, found = loud(cause)
        new = simulated.truth.new
        assert new is not None
        mine = [a for a in found if a.meta["label"] == 1]
        assert mine
        for a in mine:
            # Three times the 90 % error radius (33.6 arcmin a pixel), and half a pixel of fit and shadow.
            assert np.hypot(a.meta["sky_y"] - new.y, a.meta["sky_z"] - new.z) < 3 * a.meta["r90_arcmin"] / 33.6 + 1.0
    assert all(a.catalogue_id > 0 for a in mine)


def test_longer_time_lines_begin_with_the_shorter() -> None:
    short = list(events(CONFIG, 5, 3))
    longer = list(events(CONFIG, 9, 3))
    assert longer[: len(short)] == short
    assert [e.day for e in longer] == sorted(e.day for e in longer)
    assert len({e.sequence for e in longer}) == len(longer)
    assert list(events(CONFIG, 5, 4)) != short


def test_events_come_at_their_rates() -> None:
    n = Counter(e.cause for e in events(CONFIG, 3000, 1))
    for cause, rate in CONFIG.rates.per_day().items():
        # Five standard deviations of a Poisson number.
        assert abs(n[cause] - 3000 * rate) < 5 * np.sqrt(3000 * rate), cause
    assert sum(n.values()) / 3000 < MAX_EVENTS_PER_DAY / 1000


def test_part_of_a_day_has_its_share_of_events() -> None:
    whole = sum(1 for s in range(400) for _ in events(CONFIG, 1, s))
    quarter = sum(1 for s in range(400) for _ in events(CONFIG, 0.25, s))
    assert abs(quarter - whole / 4) < 5 * np.sqrt(whole / 4)


def test_generators_are_keyed_by_seed_and_event() -> None:
    draws = {float(generator(s, k).random()) for s in (0, 1, 2**64 - 1) for k in (0, 1, 2**40)}
    assert len(draws) == 9
    assert float(generator(1, 2).random()) == float(generator(1, 2).random())


def test_the_trigger_sleeps_in_the_saa_and_while_the_telescope_turns() -> None:
    m = flight()
    for entry, leaving in m.saa_passages(0.0, 86400.0)[:4]:
        pointing = m.pointing(entry)
        around = image_windows(CONFIG.trigger, entry - 400.0, leaving + 400.0)
        kept = awake(m, pointing, around)
        assert 0 < len(kept) < len(around)
        for w in around:
            inside = w.start * TICK_S < leaving and w.stop * TICK_S > entry
            moves = w.start * TICK_S < pointing.start_s or w.stop * TICK_S > pointing.stop_s
            other = any(
                w.start * TICK_S < b and w.stop * TICK_S > a for a, b in m.saa_passages(entry - 3000, leaving + 3000)
            )
            assert (w in kept) == (not (inside or moves or other))
    pointing = m.pointing(0.0)
    edge = round(pointing.stop_s / TICK_S)
    across = Window(edge + 5, edge - 5, 0, "CRT")
    assert awake(m, pointing, [across]) == []
    assert awake(m, pointing, []) == []


def test_alerts_lie_within_one_pointing_and_outside_the_saa() -> None:
    for cause in SOME:
        simulated, _ = loud(cause)
        for alert in simulated.alerts:
            start, stop = alert.window.start * TICK_S, alert.window.stop * TICK_S
            assert flight_of(simulated).pointing(start).slot == flight_of(simulated).pointing(stop - 0.01).slot
            assert not flight_of(simulated).in_saa(np.linspace(start, stop, 20)).any()


def flight_of(simulated: Simulated):
    return simulated.scene.mission
