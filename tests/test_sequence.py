import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slewguard.export.execute import NumpyClassifier, run
from slewguard.export.flight import random_model
from slewguard.export.planes import make_planes
from slewguard.export.sequence import SequenceRule, SequenceState, lowest_statistic, running
from slewguard.export.verdict import VerdictRule
from slewguard.subimages import COLUMNS, REASONS, TriggerSet, Verdict

SCORES = st.integers(-128, 127)
LOOKS = st.lists(
    st.tuples(SCORES, st.sampled_from([0, 0, 0, 5, 6]), st.integers(-2, 2), st.booleans()), min_size=1, max_size=30
)


def columns(looks):
    return (np.array(values) for values in zip(*looks, strict=True))


def one_by_one(rule, looks):
    """Each sequence with a state of its own, as on board."""
    states: dict[int, SequenceState] = {}
    for score, reason, sequence, _ in looks:
        states[sequence], verdict = rule.decide_sequence(states.get(sequence, SequenceState()), score, reason)
        yield states[sequence], verdict


@given(LOOKS, SCORES, SCORES, st.integers(1, 4))
def test_all_at_once_is_look_by_look(looks, one, other, first_look):
    rule = VerdictRule(min(one, other), max(one, other), sequence=SequenceRule(first_look))
    score, reason, sequence, _ = columns(looks)
    states, verdicts = zip(*one_by_one(rule, looks), strict=True)
    assert rule.decide_looks(score, reason, sequence).tolist() == list(verdicts)
    found = running(score, sequence, reason == 0)
    assert list(zip(*(values.tolist() for values in found), strict=True)) == list(states)


@given(LOOKS, st.integers(-128, 127), st.integers(1, 4))
def test_a_sequence_is_vetoed_exactly_if_its_lowest_statistic_lies_below_the_threshold(looks, t_veto, first_look):
    score, reason, sequence, counted = columns(looks)
    rule = VerdictRule(t_veto, 127, sequence=SequenceRule(first_look))
    lost = {
        number
        for (_, verdict), (_, _, number, counts) in zip(one_by_one(rule, looks), looks, strict=True)
        if verdict == Verdict.VETO and counts
    }
    names = sorted({number for _, _, number, counts in looks if counts})
    lowest = lowest_statistic(score, sequence, reason == 0, counted, first_look)
    assert {name for name, value in zip(names, lowest, strict=True) if value < t_veto} == lost
    assert len(lowest) == len(names)


@given(LOOKS)
def test_lowest_statistic_against_a_slow_loop(looks):
    score, reason, sequence, _ = columns(looks)
    expected = []
    for name in sorted(set(sequence.tolist())):
        own = [(x, r) for x, r, number, _ in looks if number == name]
        so_far = [max((x for x, r in own[: i + 1] if r == 0), default=-128) for i in range(len(own))]
        expected.append(min((s for s, (_, r) in zip(so_far, own, strict=True) if r == 0), default=127))
    assert lowest_statistic(score, sequence, reason == 0).tolist() == expected


@given(LOOKS, SCORES)
def test_a_sequence_once_not_vetoed_is_never_vetoed_later(looks, t_veto):
    rule = VerdictRule(t_veto, 127)
    spared = set()
    for (_, verdict), (_, reason, number, _) in zip(one_by_one(rule, looks), looks, strict=True):
        assert verdict != Verdict.VETO or number not in spared
        if reason == 0 and verdict != Verdict.VETO:
            spared.add(number)


def test_more_looks_than_the_state_counts():
    rule = VerdictRule(0, 127, sequence=SequenceRule(255))
    state, verdicts = SequenceState(), []
    for _ in range(300):
        state, verdict = rule.decide_sequence(state, -5, 0)
        verdicts.append(int(verdict))
    assert state == (255, -5)
    assert verdicts == [Verdict.ABSTAIN] * 254 + [Verdict.VETO] * 46
    assert rule.decide_looks(np.full(300, -5), np.zeros(300, dtype=int), np.zeros(300, dtype=int)).tolist() == verdicts


def test_a_tie_is_kept_and_cleared_memory_vetoes_nothing_more():
    rule = VerdictRule(-20, 20)
    assert rule.decide_sequence(SequenceState(), -20, 0)[1] == Verdict.ABSTAIN
    assert rule.decide_sequence(SequenceState(), 20, 0)[1] == Verdict.ABSTAIN
    assert rule.decide_sequence(SequenceState(), -21, 0)[1] == Verdict.VETO
    assert rule.decide_sequence(SequenceState(0, 0), -21, 0)[1] == Verdict.ABSTAIN


def test_no_veto_of_a_lone_alert_before_the_first_look():
    planes = np.zeros((2, 3, 56, 56), dtype=np.int8)
    score = np.array([-128, -128], dtype=np.int8)
    rule = VerdictRule(0, 0, sequence=SequenceRule(2))
    assert rule.verdicts(planes, score)[0].tolist() == [Verdict.ABSTAIN] * 2
    assert rule.verdicts(planes, score, np.array([7, 7]))[0].tolist() == [Verdict.ABSTAIN, Verdict.VETO]


@pytest.mark.parametrize("first_look", [0, 256])
def test_rule_refuses(first_look):
    with pytest.raises(ValueError, match="first_look must lie in"):
        SequenceRule(first_look)


def test_classifier_takes_the_alerts_of_a_sequence_in_order():
    rng = np.random.default_rng(3)
    n = 90
    snr = rng.normal(0, 3, size=(n, 56, 56)).astype(np.float32)
    snr[:, 28, 28] = 9
    snr[4] = np.nan
    mask = np.ones(snr.shape, dtype=np.uint8)
    mask[:, 28, 28] = 3
    sequence = rng.integers(0, 30, n).astype(COLUMNS["sequence"])
    triggers = TriggerSet(snr, mask, {"sequence": sequence})
    model = random_model(0)
    judged = NumpyClassifier(model).judge(triggers)
    states: dict[int, SequenceState] = {}
    alone = []
    for i in range(n):
        score, reason = 0, int(triggers.rejected[i])
        if not reason:
            planes = make_planes(snr[i : i + 1], mask[i : i + 1], triggers.catalogue_id[i : i + 1], model.planes)
            score = int(run(model, planes)[0])
            reason = int(model.verdict.reasons(model.verdict.count(planes))[0])
        own = states.get(int(sequence[i]), SequenceState())
        states[int(sequence[i])], verdict = model.verdict.decide_sequence(own, score, reason)
        alone.append(model.verdict.decide_sequence(SequenceState(), score, reason)[1])
        assert (judged.score[i], judged.verdict[i], judged.reason[i]) == (score, verdict, reason)
    assert REASONS[judged.reason[4]] in ("empty", "no_trigger_pixel", "bad_value")
    # The sequences change verdicts, and only away from the veto.
    changed = judged.verdict != np.array(alone)
    assert changed.any()
    assert not (judged.verdict[changed] == Verdict.VETO).any()
