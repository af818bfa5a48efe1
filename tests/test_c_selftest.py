"""The self-test of the generated C: it passes, and finds whatever is changed."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from c_models import PLANES, odd_model
from hypothesis import given
from hypothesis import strategies as st

from slewguard.embedded.generate import generate_c
from slewguard.embedded.golden import built_in_planes, make_looks, make_reasons, selftest_planes
from slewguard.embedded.host import (
    run_selftest,
)
from slewguard.export.execute import run_layers
from slewguard.export.familiar import Familiar, Features
from slewguard.export.flight import random_model
from slewguard.export.package import open_model
from slewguard.export.sequence import SequenceRule
from slewguard.export.verdict import VerdictRule
from slewguard.subimages import Verdict
from slewguard.subimages.contract import REASONS

OUTSIDE, BAD, UNFAMILIAR = (REASONS.index(name) for name in ("outside_limits", "bad_value", "unfamiliar"))


@pytest.fixture(scope="module")
def model():
    return random_model(0)


def test_selftest_passes_under_sanitizers(model):
    flags = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    for built in (model, odd_model(3)):
        result = run_selftest(generate_c(built, PLANES), flags)
        assert result.passed, result.message
        assert result.message == f"slewguard {built.sha256[:12]}: self-test passed"


def changed_number(source, after, nth):
    """The C text with the nth number behind a name increased by one."""
    start = source.index(after) + len(after)
    number = list(re.finditer(rb"-?\d+", source[start:]))[nth]
    value = str(int(number[0]) + 1).encode()
    return source[: start + number.start()] + value + source[start + number.end() :]


@pytest.mark.parametrize(
    ("table", "nth"),
    [
        (b"/* weights_conv0 */", 17),
        (b"/* bias_pool7 */", 31),
        (b"/* shift_score */", 0),
        (b"/* t_veto */", 0),
        (b"/* model */", 3),
        (b"/* first_look */", 0),
    ],
)
def test_selftest_finds_a_changed_table(model, table, nth):
    files = generate_c(model)
    files["slewguard_weights.c"] = changed_number(files["slewguard_weights.c"], table, nth)
    result = run_selftest(files, ("-O0",))
    assert not result.passed
    assert result.message.endswith("failed at check 1")


@pytest.mark.parametrize(
    ("was", "becomes", "check"),
    [
        (b"rectify(acc) >> shift", b"rectify(acc + 1) >> shift", 2),
        (b"(wanted < 56) ? -1 : 0", b"(wanted < 56) ? -1 : -1", 2),
        (b"bias_pw4[out];", b"bias_pw4[out] + 8;", 6),
        (b"rectify(value + 128)", b"rectify(value + 129)", 10),
    ],
)
def test_selftest_finds_changed_code(model, was, becomes, check):
    # The built-in sub-image scores exactly t_confirm, so that the tie counts.
    score = int(run_layers(model, built_in_planes(model))[-1][0, 0, 0, 0])
    files = generate_c(model.with_verdict(VerdictRule(t_veto=-128, t_confirm=score), {}))
    assert was in files["slewguard_network.c"]
    files["slewguard_network.c"] = files["slewguard_network.c"].replace(was, becomes)
    result = run_selftest(files, ("-O0",))
    assert not result.passed
    assert result.message.endswith(f"failed at check {check}")


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        # Veto and confirm exchanged; comparisons widened, narrowed and left out, one after the other.
        ([(b"veto * SLEWGUARD_VETO + confirm * SLEWGUARD_CONFIRM", b"veto * 1 + confirm * 2")], 11),
        ([(b"below(maximum, weights->t_veto)", b"below(maximum, weights->t_veto + 1)")], 13),
        ([(b"below(weights->t_confirm, maximum)", b"below(weights->t_confirm, maximum + 1)")], 13),
        ([(b"below(looks, weights->first_look)", b"below(looks, weights->first_look + 1)")], 13),
        ([(b"below(sequence->looks, 255)", b"1")], 13),
        ([(b"usable * below(sequence->maximum, score)", b"below(sequence->maximum, score)")], 13),
        ([(b"usable = 1 - below(0, reason)", b"usable = 1 - 0 * reason")], 13),
        ([(b"below(features->valid, weights->min_valid)", b"below(features->valid, weights->min_valid + 1)")], 12),
        ([(b"below(features->valid, weights->min_valid)", b"below(features->valid, weights->min_valid - 1)")], 12),
        ([(b"below(features->trigger, weights->min_trigger)", b"below(features->trigger, -200)")], 12),
        ([(b"below(weights->max_saturated, features->saturated)", b"below(4000, features->saturated)")], 12),
        ([(b"bad = below(0, features->damaged)", b"bad = below(1, features->damaged)")], 12),
        ([(b"(1 - bad) * (outside", b"(outside")], 12),
        ([(b"(1 - outside) * unfamiliar", b"unfamiliar")], 12),
        ([(b"below(weights->max_peak, features->peak)", b"0")], 12),
        ([(b"below(weights->max_mean * features->valid, mean)", b"0")], 12),
        ([(b"below(weights->max_bright, features->bright)", b"0")], 12),
        ([(b"below(weights->max_marked, features->marked)", b"0")], 12),
    ],
)
def test_selftest_finds_a_changed_verdict_of_the_default_model(changes, check):
    assert (Verdict.CONFIRM, Verdict.VETO) == (1, 2)
    model = open_model("default")
    familiar = Familiar(level=20, peak=(3, 126), mean=(1, 200), bright=(2, 3000), marked=(0, 3000))
    files = generate_c(model.with_verdict(replace(model.verdict, familiar=familiar), {}))
    for was, becomes in changes:
        assert files["slewguard.c"].count(was) == 1
        files["slewguard.c"] = files["slewguard.c"].replace(was, becomes)
    result = run_selftest(files, ("-O0",))
    assert not result.passed
    assert result.message.endswith(f"failed at check {check}")


def test_selftest_of_the_default_model_holds_every_verdict():
    model = open_model("default")
    planes = selftest_planes(model)
    verdict, _ = model.verdict.verdicts(planes, run_layers(model, planes)[-1][:, 0, 0, 0])
    assert verdict.tolist() == [Verdict.ABSTAIN, Verdict.VETO, Verdict.CONFIRM]
    assert run_selftest(generate_c(model)).passed


@given(st.integers(-128, 128), st.integers(-129, 127), st.integers(1, 255))
def test_known_looks_lie_on_every_edge_of_the_rule(t_veto, t_confirm, first_look):
    rule = VerdictRule(min(t_veto, t_confirm + 1), t_confirm, sequence=SequenceRule(first_look))
    rows = {tuple(row[:4]): tuple(row[4:]) for row in make_looks(rule).tolist()}
    for score in (rule.t_veto - 1, rule.t_veto, rule.t_confirm, rule.t_confirm + 1):
        if -128 <= score <= 127:
            free = Verdict.VETO if score < rule.t_veto else Verdict.CONFIRM if score > t_confirm else Verdict.ABSTAIN
            assert rows[first_look - 1, -128, score, 0] == (free, first_look, score)
            if first_look > 1:
                early = Verdict.ABSTAIN if free == Verdict.VETO else free
                assert rows[first_look - 2, -128, score, 0] == (early, first_look - 1, score)
            assert rows[first_look - 1, -128, score, 6] == (Verdict.ABSTAIN, first_look - 1, -128)


def test_known_reasons_have_each_limit_kept_and_missed_by_one():
    familiar = Familiar(level=20, peak=(3, 90), mean=(5, 50), bright=(2, 300), marked=(1, 100))
    rule = VerdictRule(-20, 20, min_valid=500, min_trigger=20, max_saturated=30, familiar=familiar)
    reason = {tuple(row[:-1]): row[-1] for row in make_reasons(rule).tolist()}
    kept = Features(500, 20, 30, 0, 90, 1562, 300, 100)
    assert reason[kept] == 0
    least = kept._replace(peak=3, total=157, bright=2, marked=1)
    assert reason[least] == 0
    for change in ({"valid": 499}, {"trigger": 19}, {"saturated": 31}):
        assert reason[kept._replace(**change)] == OUTSIDE
        assert reason[kept._replace(damaged=1, **change)] == BAD
    for change in ({"peak": 91}, {"total": 1563}, {"bright": 301}, {"marked": 101}):
        assert reason[kept._replace(**change)] == UNFAMILIAR
    for change in ({"peak": 2}, {"total": 156}, {"bright": 1}, {"marked": 0}):
        assert reason[least._replace(**change)] == UNFAMILIAR
