"""Looks at one place on the sky, and that nothing is forgotten or borrowed between places."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slewguard.export.sequence import lowest_statistic
from slewguard.sim.chain_loop import pass_alerts
from slewguard.subimages import TriggerSet, places
from slewguard.subimages.places import REACH_PX
from tests.test_chain_loop import Running, alerts

POSITIONS = st.one_of(st.floats(0, 199, width=32), st.just(float("nan")))
LOOKS = st.lists(st.tuples(st.integers(1, 3), POSITIONS, POSITIONS), min_size=1, max_size=20)


def at(looks):
    sequence, y, z = (np.array(values) for values in zip(*looks, strict=True))
    triggers = alerts([(int(number), 9.0, -90) for number in sequence])
    more = {"sky_y": y.astype(np.float32), "sky_z": z.astype(np.float32)}
    return TriggerSet(triggers.snr, triggers.mask, {**triggers.columns, **more})


@given(LOOKS)
def test_a_place_is_of_one_sequence_and_within_reach_of_its_first_look(looks):
    triggers = at(looks)
    found = places(triggers)
    y, z = triggers.columns["sky_y"], triggers.columns["sky_z"]
    assert sorted(set(found.tolist())) == list(range(found.max() + 1))
    for place in set(found.tolist()):
        own = np.flatnonzero(found == place)
        assert len(set(triggers.sequence[own].tolist())) == 1
        assert not (np.abs(y[own] - y[own[0]]) > REACH_PX).any()
        assert not (np.abs(z[own] - z[own[0]]) > REACH_PX).any()


@given(LOOKS)
def test_what_is_known_at_a_look_suffices(looks):
    triggers = at(looks)
    whole = places(triggers)
    for n in range(1, len(looks) + 1):
        assert (places(triggers.select(np.arange(n))) == whole[:n]).all()


def test_without_positions_a_sequence_is_one_place():
    triggers = alerts([(7, 9.0, 0), (3, 9.0, 0), (7, 9.0, 0)])
    assert places(triggers).tolist() == [0, 1, 0]


def test_a_good_look_elsewhere_protects_nothing_and_one_here_is_not_forgotten():
    looks = [(1, 50.0, 50.0), (1, 90.0, 50.0), (1, 50.5, 49.0), (1, 90.0, 51.0)]
    place = places(at(looks))
    assert place.tolist() == [0, 1, 0, 1]
    score, usable = np.array([40, -60, -60, -50]), np.ones(4, dtype=bool)
    counted = np.array([False, False, True, False])
    number = np.ones(4, dtype=int)
    assert lowest_statistic(score, number, usable, place=place).tolist() == [-60]
    assert lowest_statistic(score, number, usable, counted, place=place).tolist() == [40]


@given(LOOKS, st.data())
def test_statistic_of_a_look_is_that_of_its_place(looks, data):
    score = data.draw(st.lists(st.integers(-128, 127), min_size=len(looks), max_size=len(looks)))
    triggers = at(looks)
    triggers.snr[:, 5, 5] = score
    place = places(triggers)
    found = pass_alerts(triggers, Running(), 8.0)
    for i, answer in enumerate(found.answers):
        assert answer.statistic == max(score[j] for j in range(i + 1) if place[j] == place[i])
