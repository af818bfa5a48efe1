"""Challenges of the chain: what each fault does to the alerts, that counting finds a veto, and the run as a whole."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slewguard.cli import faults_run
from slewguard.cli.faults_run import OnBoard, chosen, damaged_files, physical_shares, run_kinds
from slewguard.embedded.upsets import HeldWeights
from slewguard.export.execute import NumpyClassifier
from slewguard.export.flight import random_model
from slewguard.export.verdict import VerdictRule
from slewguard.sim.chain_checks import KnownAnswers, Twice
from slewguard.sim.chain_loop import Answer, ask, pass_alerts
from slewguard.sim.faults import CHALLENGES, challenge, compare, renumbered, unaccounted
from slewguard.sim.faults_classifier import GARBAGE, Failing, Random, Stuck
from slewguard.subimages import TriggerSet, Verdict
from tests.test_chain_loop import Running, alerts

SEQUENCE_S = 655.36
KINDS = [(family, kind) for family, each in CHALLENGES.items() for kind in each]


def labelled(rows, time_s=None):
    """Alerts of which the odd sequences are bursts."""
    triggers = alerts(rows, list(time_s if time_s is not None else 100.0 * np.arange(1, len(rows) + 1)))
    odd = triggers.sequence % 2 == 1
    columns = {**triggers.columns, "label": odd.astype(np.int8), "cause": np.where(odd, b"grb", b"column")}
    return TriggerSet(triggers.snr, triggers.mask, columns | {"cause": columns["cause"].astype("S16")})


@pytest.fixture(scope="module")
def many():
    rng = np.random.default_rng(4)
    rows = [(n, 9.0, int(score)) for n in range(60) for score in rng.integers(-80, 40, rng.integers(1, 7))]
    return labelled(rows)


@pytest.mark.parametrize(("family", "kind"), KINDS, ids=lambda word: word.replace(" ", "-"))
def test_no_challenge_makes_a_veto_or_leaves_an_alert_out(many, family, kind):
    clean = pass_alerts(many, Running(), 8.0)
    found = challenge(family, kind, many, Running(), 8.0, clean, 3)
    assert found.newly_vetoed == found.bursts_newly_lost == found.unaccounted == 0
    assert found.alerts == len(many) == sum(found.reasons.values())
    assert found.avoided_with <= found.avoided_without
    # The fault did something, unless undoing it is the point.
    if kind != "doubled":
        assert set(found.reasons) - {"ok"}


def test_counting_finds_a_veto_and_a_missing_line(many):
    clean = pass_alerts(many, Running(), 8.0)
    vetoed = pass_alerts(many, Stuck(), 8.0)
    found = compare("", "", many, clean, vetoed)
    burst = (many.label == 1) & (clean.verdict != Verdict.VETO)
    assert found.bursts_newly_vetoed == burst.sum() > 0
    assert found.newly_vetoed == (clean.verdict != Verdict.VETO).sum()
    assert found.bursts_newly_lost > 0
    odd = replace(vetoed, answers=[Answer(reason="who knows"), *vetoed.answers[1:]])
    assert unaccounted(many, odd) == 1


def test_forward_jump_parts_a_sequence_and_jump_back_joins_two():
    triggers = labelled([(4, 9, 0), (4, 9, 0), (5, 9, 0)], [100.0, 200.0, 2000.0])
    still = renumbered(triggers, np.zeros(3))
    np.testing.assert_array_equal(still.sequence, [4, 4, 5])
    ahead = renumbered(triggers, np.array([0.0, SEQUENCE_S, SEQUENCE_S]))
    np.testing.assert_array_equal(ahead.sequence, [4, 6, 5])
    back = renumbered(triggers, np.array([0.0, 0.0, -1500.0]))
    np.testing.assert_array_equal(back.sequence, [4, 4, 4])
    np.testing.assert_array_equal(back.columns["time_s"], [100.0, 200.0, 500.0])


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(sorted(GARBAGE)), st.integers(0, 1000))
def test_garbage_is_never_an_answer(how, seed):
    triggers = labelled([(1, 9.0, -90), (1, 9.0, -90), (2, 9.0, -90)])
    wrong = Failing(Running(), np.random.default_rng(seed), GARBAGE[how], 1.0)
    found = pass_alerts(triggers, wrong, 8.0, ahead=False)
    assert not (found.verdict == Verdict.VETO).any()


def test_known_answers_and_asking_twice():
    triggers = labelled([(1, 9.0, -90), (2, 9.0, 90)])
    known = KnownAnswers.of(Running(), triggers)
    assert known.holds(Running())
    assert not known.holds(Stuck())
    rng = np.random.default_rng(0)
    assert list(Twice(Running()).judge(triggers).verdict) == list(Running().judge(triggers).verdict)
    unsteady = Twice(Failing(Running(), rng, Random(rng), 1.0))
    told = [answer.reason for _ in range(20) for answer in ask(unsteady, triggers)]
    assert "raised" in told


MODEL = random_model(0).with_verdict(VerdictRule(t_veto=100, t_confirm=120), {})


@pytest.fixture(scope="module")
def held():
    return HeldWeights(MODEL)


def on_board(held, upset, *, checked=True):
    return OnBoard(MODEL, held, upset, checked)


def test_code_on_board_says_what_the_specification_says(many, held):
    few = many.select(np.arange(25))
    flown, said = pass_alerts(few, on_board(held, lambda board: None), 8.0, ahead=False), NumpyClassifier(MODEL)
    meant = pass_alerts(few, said, 8.0)
    assert flown.answers == meant.answers
    assert (meant.verdict == Verdict.VETO).any()


def test_flipped_weights_and_flipped_state_give_no_answer(many, held):
    few = many.select(np.arange(6))

    def weights(board):
        board.held.flip([int(few.sequence[0]) + 777])

    def state(board):
        board.memory[int(few.sequence[0]), 0] ^= 1 << 35

    for upset in (weights, state):
        found = pass_alerts(few, on_board(held, upset), 8.0, ahead=False)
        hit = few.sequence == few.sequence[0] if upset is state else np.ones(len(few), dtype=bool)
        assert {a.reason for a, one in zip(found.answers, hit, strict=True) if one} <= {"raised", "unsettled"}
        assert not (found.verdict[hit] == Verdict.VETO).any()
    # The weights are sound again after each look.
    assert held.intact()


def test_flipped_maximum_would_make_a_veto_without_the_seal(many, held):
    """A high score is forgotten where the seal is not looked at."""
    few = many.select(np.flatnonzero(many.sequence == many.sequence[np.argmax(np.bincount(many.sequence))])[:2])
    n = int(few.sequence[0])

    def forget(board):
        # The second look finds the maximum at its highest; a flip of its top bit takes 128 off.
        track = faults_run.SequenceTrack(looks=1, maximum=127)
        board.memory[n, 0] = track.sealed() ^ (1 << 39)

    sealed, bare = (on_board(held, forget, checked=checked) for checked in (True, False))
    with pytest.raises(RuntimeError, match="state"):
        sealed.judge(few)
    assert bare.judge(few).verdict[-1] == Verdict.VETO


def test_damaged_model_files_are_refused():
    found = damaged_files(MODEL, 1, 60)
    assert found["files"] == found["refused"] + found["same"] == 60
    assert found["accepted"] == 0


def test_every_burst_and_some_false_sequences_are_chosen(many):
    some = chosen(many, 5, 1)
    assert set(some.sequence[some.label == 1]) == set(many.sequence[many.label == 1])
    assert len(set(some.sequence[some.label == 0])) == 5


def test_shares_count_what_only_the_fault_lets_be_vetoed():
    kinds = dict.fromkeys(faults_run.PHYSICAL)

    def event(kept, asks, kept_under):
        return {"kept": kept, "under": kinds | {"attitude": {"asks": asks, "kept": kept_under}}}

    rows = [event(True, True, False), event(True, True, True), event(True, False, False), event(False, True, False)]
    found = {row["kind"]: row for row in physical_shares(rows)}
    assert (found["attitude"]["applied"], found["attitude"]["silent"], found["attitude"]["vetoed"]) == (3, 1, 1)
    assert found["attitude"]["vetoed_share"]["n"] == 2
    assert found["saa_entry"]["vetoed_share"]["value"] is None


def test_run_goes_on_where_it_stopped(many, tmp_path, monkeypatch):
    few = many.select(np.arange(30))
    noisy = few.snr + np.random.default_rng(1).normal(size=few.snr.shape).astype(np.float32)
    few = TriggerSet(noisy, few.mask, few.columns)
    monkeypatch.setattr(faults_run, "kinds", lambda: [("transport", "lost"), ("clock", "back"), ("memory", "weights")])
    whole = list(run_kinds(MODEL, few, 8.0, 2))
    rest = list(run_kinds(MODEL, few, 8.0, 2, whole[:2]))
    assert json.dumps(whole[2:]) == json.dumps(rest)
