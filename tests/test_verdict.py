import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slewguard.export.execute import NumpyClassifier, run
from slewguard.export.familiar import Features
from slewguard.export.flight import random_model
from slewguard.export.planes import make_planes
from slewguard.export.verdict import VerdictRule
from slewguard.subimages import REASONS, TriggerSet, Verdict
from slewguard.subimages.contract import CENTRE, SIDE

SCORES = np.arange(-128, 128, dtype=np.int8)
EVERYTHING = np.zeros((256, 3, SIDE, SIDE), dtype=np.int8)


def planes(valid=SIDE * SIDE, saturated=0, trigger=0):
    one = np.zeros((1, 3, SIDE, SIDE), dtype=np.int8)
    one[0, 1].reshape(-1)[valid:] = 16
    one[0, 0].reshape(-1)[:saturated] = np.where(np.arange(saturated) % 2, 127, -127)
    one[0, 0, CENTRE, CENTRE] = trigger
    return one


@settings(deadline=None)
@given(st.integers(-128, 128), st.integers(-129, 127))
def test_every_score_against_plain_comparison(t_veto, t_confirm):
    if t_veto > t_confirm + 1:
        with pytest.raises(ValueError, match="t_veto"):
            VerdictRule(t_veto, t_confirm)
        return
    verdict, reason = VerdictRule(t_veto, t_confirm).verdicts(EVERYTHING, SCORES)
    for score, found in zip(SCORES.tolist(), verdict.tolist(), strict=True):
        expected = Verdict.VETO if score < t_veto else Verdict.CONFIRM if score > t_confirm else Verdict.ABSTAIN
        assert found == expected
    assert not reason.any()


def test_a_score_at_a_threshold_is_kept():
    verdict, _ = VerdictRule(-20, 20).verdicts(EVERYTHING[:4], np.array([-21, -20, 20, 21], dtype=np.int8))
    assert verdict.tolist() == [Verdict.VETO, Verdict.ABSTAIN, Verdict.ABSTAIN, Verdict.CONFIRM]


def test_default_rule_never_vetoes():
    verdict, _ = VerdictRule().verdicts(EVERYTHING, SCORES)
    assert (verdict == Verdict.ABSTAIN).all()


@pytest.mark.parametrize(
    ("rule", "inside", "outside"),
    [
        ({"min_valid": 500}, {"valid": 500}, {"valid": 499}),
        ({"min_trigger": 8}, {"trigger": 8}, {"trigger": 7}),
        ({"min_trigger": -8}, {"trigger": -8}, {"trigger": -9}),
        ({"max_saturated": 10}, {"saturated": 10}, {"saturated": 11}),
    ],
)
def test_outside_the_limits_everything_abstains(rule, inside, outside):
    rule = VerdictRule(t_veto=0, t_confirm=0, **rule)
    for score in (-128, 127):
        verdict, reason = rule.verdicts(planes(**inside), np.array([score], dtype=np.int8))
        assert verdict[0] == (Verdict.VETO if score < 0 else Verdict.CONFIRM)
        assert reason[0] == 0
        verdict, reason = rule.verdicts(planes(**outside), np.array([score], dtype=np.int8))
        assert verdict[0] == Verdict.ABSTAIN
        assert REASONS[reason[0]] == "outside_limits"


@given(st.tuples(*[st.integers(0, 9)] * 4), st.integers(-128, 127))
def test_decision_is_a_ladder_of_comparisons(counts, score):
    rule = VerdictRule(t_veto=-20, t_confirm=20, min_valid=5, min_trigger=5, max_saturated=5)
    valid, trigger, saturated, damaged = counts
    if damaged:
        expected = Verdict.ABSTAIN, "bad_value"
    elif valid < 5 or trigger < 5 or saturated > 5:
        expected = Verdict.ABSTAIN, "outside_limits"
    else:
        expected = Verdict.VETO if score < -20 else Verdict.CONFIRM if score > 20 else Verdict.ABSTAIN, "ok"
    zero = np.array([0])
    found = Features(*(np.array([value]) for value in counts), zero, zero, zero, zero)
    verdict, reason = rule.decide(np.array([score]), found)
    assert (verdict[0], REASONS[reason[0]]) == expected


@pytest.mark.parametrize(
    "fault", [{"min_valid": -1}, {"max_saturated": 3137}, {"min_trigger": 128}, {"t_veto": 129}, {"t_confirm": -130}]
)
def test_rule_refuses(fault):
    with pytest.raises(ValueError, match="must lie in"):
        VerdictRule(**fault)


def test_classifier_answers_for_every_alert():
    rng = np.random.default_rng(0)
    n = 70
    snr = rng.normal(0, 3, size=(n, SIDE, SIDE)).astype(np.float32)
    mask = np.ones((n, SIDE, SIDE), dtype=np.uint8)
    mask[:, CENTRE, CENTRE] = 3
    snr[:, CENTRE, CENTRE] = 9
    mask[3, CENTRE, CENTRE] = 1
    snr[5] = np.nan
    snr[66, 2, 2] = np.inf
    triggers = TriggerSet(snr, mask)
    model = random_model(0)
    judged = NumpyClassifier(model).judge(triggers)
    broken = {3: "no_trigger_pixel", 5: "empty", 66: "bad_value"}
    for i, reason in broken.items():
        assert REASONS[judged.reason[i]] == reason
        assert judged.verdict[i] == Verdict.ABSTAIN
    good = [i for i in range(n) if i not in broken]
    expected_planes = make_planes(snr[good], mask[good], triggers.catalogue_id[good], model.planes)
    score = run(model, expected_planes)
    verdict, reason = model.verdict.verdicts(expected_planes, score)
    assert np.array_equal(judged.score[good], score)
    assert np.array_equal(judged.verdict[good], verdict)
    assert np.array_equal(judged.reason[good], reason)
    assert len(set(verdict.tolist())) > 1


def test_a_damaged_plane_is_abstained_on_whatever_its_score():
    planes = np.zeros((2, 3, 56, 56), dtype=np.int8)
    planes[1, 2, 7, 7] = -128
    rule = VerdictRule(t_veto=128, t_confirm=127)
    verdict, reason = rule.verdicts(planes, np.array([-128, -128], dtype=np.int8))
    assert verdict.tolist() == [Verdict.VETO, Verdict.ABSTAIN]
    assert reason.tolist() == [0, REASONS.index("bad_value")]
