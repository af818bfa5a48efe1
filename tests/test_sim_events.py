"""What reaches the detector: silence of quiet fields, the Earth before sources, and showers drawn once."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from slewguard.sim.config import SimConfig
from slewguard.sim.defects import Disturbance
from slewguard.sim.earth import DEGREES_PER_S, Limb, time_steps
from slewguard.sim.events import Event, draw_event, expose, quiet_rate, visible_fraction
from slewguard.sim.instrument import telescope
from slewguard.sim.sky import KnownSource, NewSource, crab_flux
from slewguard.sim.timeline import search

CONFIG = SimConfig()
LENGTH = 327.68
STEP = 20.48 / 6


def generator(seed: int, k: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, k]))


def quiet(rng: np.random.Generator) -> Event:
    event = draw_event(rng, CONFIG, "column")
    assert [d.cause for d in event.disturbances] == ["noisy_pixel", "xrdpix", "column", "column"]
    return replace(event, disturbances=event.disturbances[:3])


def test_quiet_fields_do_not_alert() -> None:
    found = []
    for k in range(300):
        rng = generator(31, k)
        event = quiet(rng)
        long = expose(rng, event, CONFIG)[-1]
        assert long.stop_s - long.start_s == LENGTH
        found += search(event, [long], k, CONFIG)
    # None in 300: at most 1.2 % of quiet long windows alert (Clopper-Pearson, 95 %).
    assert not found


def limb(depth_deg: float, speed: float = 0.0) -> Limb:
    tel = telescope(CONFIG.instrument, 1)
    return Limb("earth_limb", telescope=tel, cxb=1.0, depth_deg=depth_deg, speed=speed)


def lit_event(disturbances: tuple[Disturbance, ...]) -> Event:
    """One known Crab and a new source of the same flux for the whole event, both on the axis."""
    base = draw_event(generator(1, 1), CONFIG, "column")
    tel = telescope(CONFIG.instrument, 1)
    crab = crab_flux(*CONFIG.trigger.band_kev)
    new = NewSource("unknown_source", 99.0, 99.0, crab * LENGTH, 0.0, LENGTH, pulsed=False)
    shadow = tel.shadow(99.0, 99.0)
    return replace(
        base,
        mask_seed=1,
        telescope=tel,
        known=(KnownSource(1, 99.0, 99.0, 1.0, 99.0, 99.0, 1.0),),
        new=new,
        disturbances=disturbances,
        true_shadows=(shadow * tel.projected_area(99.0, 99.0) * crab)[None],
        catalogue_shadows=shadow[None],
    )


def source_counts(disturbances: tuple[Disturbance, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    event = lit_event(disturbances)
    *short, long = expose(generator(2, 2), event, CONFIG)
    known = event.true_shadows[0] * long.known_s[0]
    others = sum((plane for _, plane in long.artefacts), quiet_rate(CONFIG, event.telescope) * LENGTH)
    seen = float(long.counts.sum() - others.sum())
    assert all((s.counts <= long.counts).all() for s in short)
    return long.signal, known, seen


def test_a_source_behind_the_earth_gives_no_counts_and_one_in_front_all() -> None:
    free_signal, free_known, free_seen = source_counts(())
    behind_signal, behind_known, behind_seen = source_counts((limb(10.0),))
    front_signal, front_known, _ = source_counts((limb(-10.0),))
    assert free_seen == pytest.approx(free_signal.sum() + free_known.sum(), abs=5 * np.sqrt(1e6))
    assert not behind_signal.any()
    assert not behind_known.any()
    # Five standard deviations of the 660,000 counts of the diffuse sky.
    assert abs(behind_seen) < 5 * np.sqrt(7e5)
    np.testing.assert_allclose(front_signal, free_signal, rtol=1e-12)
    np.testing.assert_allclose(front_known, free_known, rtol=1e-12)


@pytest.mark.parametrize("end_deg", [2.0, 7.0, 15.0])
def test_a_setting_source_shines_until_it_sets(end_deg: float) -> None:
    free_signal, free_known, _ = source_counts(())
    signal, known, _ = source_counts((limb(end_deg, speed=1.0),))
    # The axis is behind the edge for the last end_deg of the passage.
    share = 1.0 - end_deg / DEGREES_PER_S / LENGTH
    for got, free in ((signal, free_signal), (known, free_known)):
        # Half a time step at the moment of setting.
        assert got.sum() / free.sum() == pytest.approx(share, abs=0.51 * STEP / LENGTH)


def test_the_long_window_has_the_time_steps_of_the_short_ones() -> None:
    event = lit_event((limb(7.0, speed=1.0),))
    parts = [visible_fraction(event, i * 20.48, (i + 1) * 20.48, CONFIG) for i in range(16)]
    assert sum(parts) == pytest.approx(visible_fraction(event, 0.0, LENGTH, CONFIG), abs=1e-12)
    assert 1.0 in {round(p * 16, 9) for p in parts}
    assert 0.0 in parts
    assert len(time_steps(0.0, LENGTH, 20.48)) == 16 * 6 + 1


def test_shower_counts_are_drawn_once() -> None:
    plane = np.zeros((80, 80))
    plane[40, 40] = 1000.0
    shower = Disturbance("particle_shower", counts=plane, at_s=LENGTH - 1.0)
    event = replace(lit_event((shower,)), new=None, known=(), true_shadows=np.zeros((0, 80, 80)))
    drawn = [expose(generator(3, k), event, CONFIG) for k in range(200)]
    for window, seconds in ((0, 20.48), (1, LENGTH)):
        counts = np.array([d[window].counts[40, 40] for d in drawn])
        mean = quiet_rate(CONFIG, event.telescope)[40, 40] * seconds
        # Standard error of a Poisson mean; relative error sqrt(2 / 199) of a variance; five of each.
        assert abs(counts.mean() - 1000.0 - mean) < 5 * np.sqrt(mean / 200)
        assert counts.var(ddof=1) == pytest.approx(mean, rel=0.55)
        assert all((d[window].artefacts[0][1] == plane).all() for d in drawn)
