"""Physical faults: the same photons twice, so that nothing but the fault can make a difference."""

from dataclasses import replace

import numpy as np
import pytest

from slewguard.sim import faults_physical
from slewguard.sim.config import SimConfig
from slewguard.sim.faults_physical import KINDS, counterfactual
from slewguard.sim.population import arcmin_to_px
from slewguard.sim.sources import Fault
from slewguard.sim.timeline import EventId, begin_event, generator
from slewguard.subimages.contract import BURST_CAUSES, TRUE

CONFIG, SEED = SimConfig(), 11
EVENT = EventId(204, 0, "grb")


def nothing(rng, begun):
    return faults_physical._misled(begun, Fault("attitude", -1))


def no_particles(rng, begun):
    case = KINDS["saa_entry"](rng, begun)
    (truth,) = case.scene.truths
    particles = truth.disturbances[-1]
    assert particles.cause == "saa"
    assert particles.rate.mean() > 0
    return replace(case, asleep_from=np.inf, extra=None, asked=tuple(begun.asked))


@pytest.fixture(scope="module")
def seen():
    with pytest.MonkeyPatch.context() as patch:
        kinds = {"nothing": nothing, "no_particles": no_particles, "saa_entry": KINDS["saa_entry"]}
        patch.setattr(faults_physical, "KINDS", kinds)
        return counterfactual(CONFIG, SEED, EVENT)


@pytest.fixture(scope="module")
def begun():
    return begin_event(CONFIG, SEED, EVENT)


def test_burst_asks_for_a_slew_without_a_fault(seen):
    assert seen.without.asks.any()
    asking = [image.meta for image, asks in zip(seen.without.images, seen.without.asks, strict=True) if asks]
    assert any(meta["label"] == TRUE and meta["cause"].decode() in BURST_CAUSES for meta in asking)


@pytest.mark.parametrize("kind", ["nothing", "no_particles"])
def test_fault_of_no_size_changes_no_byte(seen, kind):
    same = seen.under[kind]
    assert len(same.images) == len(seen.without.images)
    for one, other in zip(same.images, seen.without.images, strict=True):
        assert one.snr.tobytes() == other.snr.tobytes()
        assert one.mask.tobytes() == other.mask.tobytes()


def test_particles_come_on_top_of_the_same_photons(begun):
    case = KINDS["saa_entry"](generator(SEED, 1), begun)
    edges = [int(case.asleep_from) - 2048, int(case.asleep_from)]
    extra = case.extra(edges)
    particles = case.scene.truths[0].disturbances[-1]
    window = faults_physical.Window(edges[1], edges[0], 0, "IMT")
    counts = extra.counts(window, slice(None)).sum()
    expected = (particles.spectrum.sum() * particles.rate.sum()) * particles.effective_s(*(0.01 * np.array(edges)))
    # Nothing but particles, within five standard deviations of a Poisson count.
    assert abs(counts - expected) < 5.0 * np.sqrt(expected)


def test_trigger_sleeps_in_the_saa(seen, begun):
    asleep_from = KINDS["saa_entry"](generator(SEED, 1), begun).asleep_from
    with pytest.MonkeyPatch.context() as patch:
        early = {"saa_entry": lambda rng, begun: replace(KINDS["saa_entry"](rng, begun), asleep_from=0.0)}
        patch.setattr(faults_physical, "KINDS", early)
        assert counterfactual(CONFIG, SEED, EVENT).under["saa_entry"].images == []
    assert asleep_from >= begun.truth.start_s / 0.01 - 1
    assert all(image.meta["time_s"] >= begun.truth.start_s for image in seen.under["saa_entry"].images)


def test_entry_on_burst_is_listed_where_the_burst_is(begun):
    case = KINDS["entry_on_burst"](generator(SEED, 2), begun)
    if case is None:
        assert faults_physical._strong(generator(SEED, 2), begun) is None
        return
    s, new = case.scene.sources, begun.truth.new
    assert np.hypot(s.catalogue_y - new.y, s.catalogue_z - new.z).min() < 1e-9
    # The sky is as it was.
    for name in ("y", "z", "rate"):
        np.testing.assert_array_equal(getattr(s, name), getattr(begun.scene.sources, name))


def test_attitude_moves_all_entries_alike(begun):
    case = KINDS["attitude"](generator(SEED, 3), begun)
    dy, dz = (
        getattr(case.scene.sources, name) - getattr(begun.scene.sources, name)
        for name in ("catalogue_y", "catalogue_z")
    )
    assert np.ptp(dy) < 1e-9
    assert np.ptp(dz) < 1e-9
    low, high = (arcmin_to_px(a, CONFIG.instrument) for a in CONFIG.defects.attitude_arcmin)
    assert low <= np.hypot(dy[0], dz[0]) <= high
