"""The guard against clocks that jump and bits that flip: what it says then is never a veto that it would not say."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slewguard.sim.chain_clock import QUIET_MS, TOLERANCE_MS, ClockWatch
from slewguard.sim.chain_loop import ORDER, Guard, pass_alerts
from slewguard.sim.chain_state import BITS, SequenceTrack, opened
from slewguard.sim.faults import renumbered
from slewguard.subimages import Verdict
from tests.test_chain_loop import Running, alerts

tracks = st.builds(SequenceTrack, st.integers(1, 255), st.booleans(), st.integers(0, 255), st.integers(-128, 127))


@given(tracks)
def test_sealed_track_is_read_back(track):
    assert opened(track.sealed()) == track


def test_any_six_flips_of_a_sealed_track_are_found():
    """Linear code: six flips are found just where no two sets of three bits or fewer have the same syndrome."""
    clean = SequenceTrack().sealed()

    def syndrome(word):
        from zlib import crc32

        data = word.to_bytes(8, "big")
        return crc32(data[:4]) ^ int.from_bytes(data[4:], "little")

    assert syndrome(clean) == 0
    single = np.array([syndrome(clean ^ (1 << bit)) ^ syndrome(clean) for bit in range(BITS)], dtype=np.uint32)
    sums = [np.zeros(1, np.uint32), single]
    for k in (2, 3):
        chosen = np.array(list(itertools.combinations(range(BITS), k)))
        sums.append(np.bitwise_xor.reduce(single[chosen], axis=1))
    every = np.concatenate(sums)
    assert len(np.unique(every)) == len(every)


@given(tracks, st.sets(st.integers(0, BITS - 1), min_size=1, max_size=6))
def test_flipped_track_is_not_used(track, flips):
    word = track.sealed()
    for bit in flips:
        word ^= 1 << bit
    assert opened(word) is None


@pytest.mark.parametrize("at", [ORDER, 0])
def test_damaged_state_takes_back_the_right_to_veto(at):
    triggers = alerts([(1, 9.0, 90), (1, 9.0, -90)])
    guard = Guard(Running())
    said = Running().judge(triggers.select(np.array([1])))
    assert said.verdict[0] == Verdict.VETO
    guard.answer(1, 1, triggers.select(np.array([1])))
    assert guard.answer(1, 2, triggers.select(np.array([1]))).verdict == Verdict.VETO
    guard.memory[1, at] ^= 1 << 40
    back = guard.answer(1, 3, triggers.select(np.array([1])))
    assert (back.verdict, back.reason) == (Verdict.ABSTAIN, "unsettled")
    # And it stays so for the rest of the sequence.
    assert guard.answer(1, 4, triggers.select(np.array([1]))).reason == "unsettled"


def test_clock_watch():
    watch = ClockWatch()
    assert not watch.disturbed(5_000_000, 0)
    assert not watch.disturbed(5_100_000 + TOLERANCE_MS, 100_000)
    assert watch.disturbed(6_000_000, 200_000)
    assert watch.disturbed(6_000_000 + QUIET_MS, 200_000 + QUIET_MS)
    assert not watch.disturbed(6_000_001 + QUIET_MS, 200_001 + QUIET_MS)


looks = st.lists(
    st.tuples(st.integers(1, 3), st.floats(6.5, 12), st.integers(-128, 127), st.floats(0.01, 300)),
    min_size=1,
    max_size=12,
)


@settings(deadline=None, max_examples=150)
@given(looks, st.floats(0, 2000), st.one_of(st.floats(-1e5, -1.001), st.floats(1.001, 1e5)))
def test_a_clock_jump_makes_no_veto(given_looks, at_s, jump_s):
    time_s = np.cumsum([look[3] for look in given_looks])
    triggers = alerts([look[:3] for look in sorted(given_looks, key=lambda look: look[0])], list(time_s))
    # As the trigger would have it: a sequence is over 655.36 s after its first alert.
    triggers = renumbered(triggers, np.zeros(len(triggers)))
    wrong = renumbered(triggers, np.where(time_s > at_s, jump_s, 0.0))
    clean = pass_alerts(triggers, Running(), 8.0).verdict
    hit = pass_alerts(triggers, Running(), 8.0, received=wrong).verdict
    assert not ((hit == Verdict.VETO) & (clean != Verdict.VETO)).any()


def test_a_jump_that_tears_a_burst_would_make_a_veto_without_the_watch():
    triggers = alerts([(1, 7.0, 90), (1, 9.0, -90)], [100.0, 200.0])
    wrong = renumbered(triggers, np.array([0.0, 1000.0]))
    assert len(set(wrong.sequence.tolist())) == 2
    assert list(Running().judge(wrong).verdict) == [Verdict.CONFIRM, Verdict.VETO]
    found = pass_alerts(triggers, Running(), 8.0, received=wrong)
    assert [answer.reason for answer in found.answers] == ["ok", "unsettled"]
