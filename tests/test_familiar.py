import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slewguard.export.familiar import Familiar, count, span
from slewguard.export.flight import random_model
from slewguard.export.model import model_from_json
from slewguard.export.sequence import SequenceRule
from slewguard.export.verdict import VerdictRule
from slewguard.subimages import REASONS, BadInput, Verdict

UNFAMILIAR = REASONS.index("unfamiliar")


def noise(n, sigma, seed=0):
    rng = np.random.default_rng(seed)
    planes = np.zeros((n, 3, 56, 56), dtype=np.int8)
    planes[:, 0] = np.clip(np.rint(rng.normal(0, sigma, size=(n, 56, 56))), -127, 127)
    planes[:, 0, 28, 28] = 40
    planes[:, 1, :, :4] = 16
    planes[:, 0, :, :4] = 0
    planes[:, 2, 5:10, 5:10] = 16
    return planes


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 127))
def test_features_against_loops(seed, level):
    rng = np.random.default_rng(seed)
    planes = rng.choice(np.array([-128, -127, -30, -3, 0, 0, 0, 7, 127], dtype=np.int8), size=(2, 3, 56, 56))
    found = count(planes, level)
    for i, (snr, no_data, known) in enumerate(planes.tolist()):
        pixels = [(r, c, q) for r, row in enumerate(snr) for c, q in enumerate(row)]
        assert found.valid[i] == sum(value == 0 for row in no_data for value in row)
        assert found.trigger[i] == snr[28][28]
        assert found.saturated[i] == sum(q in (-127, 127) for *_, q in pixels)
        assert found.damaged[i] == sum(q == -128 for plane in (snr, no_data, known) for row in plane for q in row)
        assert found.peak[i] == max(abs(q) for r, c, q in pixels if abs(r - 28) > 3 or abs(c - 28) > 3)
        assert found.total[i] == sum(abs(q) for *_, q in pixels)
        assert found.bright[i] == sum(abs(q) >= level for *_, q in pixels)
        assert found.marked[i] == sum(value != 0 for row in known for value in row)


@pytest.mark.parametrize("name", ["peak", "mean", "bright", "marked"])
def test_each_limit_is_kept_and_missed_by_one(name):
    planes = noise(1, 4)
    found = count(planes, 12)
    value = int((16 * found.total // found.valid if name == "mean" else getattr(found, name))[0])
    assert value > 0
    for limits, unfamiliar in (((0, value - 1), True), ((0, value + 1), False), ((value + 2, 128), True)):
        rule = VerdictRule(0, 0, familiar=Familiar(level=12, **{name: limits}))
        verdict, reason = rule.verdicts(planes, np.array([-5], dtype=np.int8))
        assert (reason[0], verdict[0]) == ((UNFAMILIAR, Verdict.ABSTAIN) if unfamiliar else (0, Verdict.VETO))
    if name != "mean":  # its limits are compared with products, so that they need not be whole
        assert not Familiar(level=12, **{name: (value, value)}).unfamiliar(found)[0]


@settings(deadline=None, max_examples=30)
@given(st.floats(0.5, 30), st.floats(0, 0.5), st.integers(0, 99))
def test_span_holds_what_it_was_drawn_from(sigma, margin, seed):
    planes = noise(5, sigma, seed)
    assert not span(planes, 20, margin).unfamiliar(count(planes, 20)).any()


def test_other_noise_is_unfamiliar():
    familiar = span(noise(200, 4), 20, 0.1)
    for sigma in (3, 6):
        assert familiar.unfamiliar(count(noise(50, sigma, seed=1), 20)).all()
    assert familiar.unfamiliar(count(noise(500, 4, seed=2), 20)).mean() < 0.05


def test_reasons_of_more_weight_come_first():
    planes = noise(1, 4)
    score = np.array([-5], dtype=np.int8)
    odd = Familiar(peak=(0, 0))
    assert VerdictRule(familiar=odd).verdicts(planes, score)[1][0] == UNFAMILIAR
    beyond = VerdictRule(familiar=odd, min_trigger=41)
    assert REASONS[beyond.verdicts(planes, score)[1][0]] == "outside_limits"
    planes[0, 2, 9, 9] = -128
    assert REASONS[beyond.verdicts(planes, score)[1][0]] == "bad_value"


def test_rule_stands_in_the_file_and_old_files_stay_what_they_are():
    model = random_model(0)
    old = json.loads(model.to_json())
    assert not {"familiar", "sequence"} & set(old["verdict"])
    assert model_from_json(json.dumps(old)) == model
    familiar = Familiar(level=9, peak=(1, 99), mean=(2, 500), bright=(0, 30), marked=(0, 400))
    rule = VerdictRule(-3, 4, familiar=familiar, sequence=SequenceRule(2))
    new = model.with_verdict(rule, {})
    assert model_from_json(new.to_json()).verdict == rule
    assert new.sha256 != model.with_verdict(VerdictRule(-3, 4), {}).sha256
    assert rule.integers() == {
        **{"t_veto": -3, "t_confirm": 4, "min_valid": 0, "min_trigger": -127, "max_saturated": 3136},
        **{"first_look": 2, "level": 9, "min_peak": 1, "max_peak": 99, "min_mean": 2, "max_mean": 500},
        **{"min_bright": 0, "max_bright": 30, "min_marked": 0, "max_marked": 400},
    }


def test_without_the_rule_nothing_is_unfamiliar_at_the_extremes():
    # What the C code fills in for a model without the rule must limit nothing.
    planes = np.stack([np.full((3, 56, 56), value, dtype=np.int8) for value in (-128, -127, 0, 127)])
    found = count(planes, Familiar().level)
    assert not Familiar().unfamiliar(found._replace(valid=np.full(4, 3136))).any()


@pytest.mark.parametrize(
    "change",
    [{"level": 0}, {"level": 128}, {"peak": [5, 4]}, {"peak": [0, 129]}, {"mean": [-1, 4]}, {"marked": [0, 3137]}],
)
def test_odd_limits_are_refused(change):
    content = json.loads(random_model(0).with_verdict(VerdictRule(familiar=Familiar()), {}).to_json())
    content["verdict"]["familiar"] |= change
    with pytest.raises(BadInput, match="must"):
        model_from_json(json.dumps(content))
