"""The onboard loop: every alert has one answer, whatever is wrong, and what is wrong never makes a veto."""

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slewguard.sim.chain_ledger import COLUMNS, Ledger, make_ledger
from slewguard.sim.chain_limit import TimeLimited
from slewguard.sim.chain_loop import CHAIN_REASONS, Consequence, SlewDesk, in_order, pass_alerts
from slewguard.subimages import Judgement, TriggerSet, Verdict
from slewguard.subimages.contract import REASONS

V, C, A = Verdict.VETO, Verdict.CONFIRM, Verdict.ABSTAIN
T_VETO, T_CONFIRM = -20, 30


def alerts(rows: list[tuple[int, float, int]], time_s: list[float] | None = None) -> TriggerSet:
    """Alerts from (sequence, peak SNR, score); the score is hidden in a corner of the image."""
    n = len(rows)
    mask = np.ones((n, 56, 56), np.uint8)
    mask[:, 28, 28] = 3
    snr = np.zeros((n, 56, 56), np.float32)
    snr[:, 5, 5] = [row[2] for row in rows]
    columns = {
        "sequence": np.array([row[0] for row in rows], np.int64),
        "label": np.zeros(n, np.int8),
        "cause": np.full(n, b"column", "S16"),
        "peak_snr": np.array([row[1] for row in rows], np.float32),
    }
    if time_s is not None:
        columns["time_s"] = np.array(time_s)
    return TriggerSet(snr, mask, columns)


class Running:
    """The sequence rule by its definition, on hidden scores: veto where the highest so far is low."""

    def judge(self, triggers: TriggerSet) -> Judgement:
        score = triggers.snr[:, 5, 5].astype(np.int8)
        best: dict[int, int] = {}
        verdict = []
        for number, value in zip(triggers.sequence.tolist(), score.tolist(), strict=True):
            best[number] = max(best.get(number, -128), value)
            verdict.append(V if best[number] < T_VETO else C if best[number] > T_CONFIRM else A)
        return Judgement(score, np.array(verdict, np.uint8), np.zeros(len(score), np.uint8))


rows = st.lists(st.tuples(st.integers(1, 4), st.floats(6.5, 12), st.integers(-128, 127)), min_size=1, max_size=12)


@settings(deadline=None, max_examples=50)
@given(rows)
def test_asked_one_by_one_or_all_at_once_is_the_same(given_rows):
    triggers = alerts(given_rows)
    one, all_ = (pass_alerts(triggers, Running(), 8.0, ahead=ahead) for ahead in (False, True))
    assert one.answers == all_.answers
    assert (one.consequence == all_.consequence).all()
    for i, answer in enumerate(one.answers):
        mine = [row[2] for row in given_rows[: i + 1] if row[0] == given_rows[i][0]]
        assert answer.statistic == max(mine)


@settings(deadline=None, max_examples=50)
@given(rows, st.data())
def test_what_happens_on_the_way_never_makes_a_veto_and_leaves_no_alert_out(given_rows, data):
    triggers = alerts(given_rows)
    n = len(triggers)
    plain = pass_alerts(triggers, Running(), 8.0)
    deliveries = data.draw(st.lists(st.lists(st.integers(0, n - 1), max_size=3), min_size=n, max_size=n))
    other = pass_alerts(triggers, Running(), 8.0, deliveries=deliveries)
    assert len(other.answers) == len(other.consequence) == n
    assert {answer.reason for answer in other.answers} <= set(CHAIN_REASONS)
    assert not ((other.verdict == V) & (plain.verdict != V)).any()
    for i, found in enumerate(other.answers):
        assert (found.reason == "not_delivered") == (i not in deliveries[i])
    # Each sequence turns once at most, and no later than without faults.
    for number in set(triggers.sequence.tolist()):
        mine = triggers.sequence == number
        assert other.slew_with[mine].sum() <= plain.slew_without[mine].sum() <= 1
        if plain.slew_with[mine].any():
            assert np.argmax(other.slew_with[mine]) <= np.argmax(plain.slew_with[mine])


def test_a_lost_look_takes_back_the_right_to_veto():
    triggers = alerts([(1, 9, 50), (1, 9, -90), (1, 9, -90)])
    assert pass_alerts(triggers, Running(), 8.0).verdict.tolist() == [C, C, C]
    without = pass_alerts(triggers, Running(), 8.0, deliveries=[[], [1], [2]])
    assert [answer.reason for answer in without.answers] == ["not_delivered", "unsettled", "unsettled"]
    doubled = pass_alerts(alerts([(1, 9, -90), (1, 9, -80)]), Running(), 8.0, deliveries=[[0, 0], [1, 0, 1]])
    assert doubled.verdict.tolist() == [V, V]
    swapped = pass_alerts(triggers, Running(), 8.0, deliveries=[[], [1, 0], [2]])
    assert swapped.verdict.tolist() == [A, A, A]


class Wrong:
    """A classifier that goes wrong on the calls that are numbered."""

    def __init__(self, how: object, on: set[int]) -> None:
        self.how, self.on, self.calls = how, on, 0

    def judge(self, triggers: TriggerSet) -> Judgement:
        self.calls += 1
        if self.calls - 1 not in self.on:
            return Running().judge(triggers)
        if isinstance(self.how, BaseException):
            raise self.how
        return self.how(len(triggers)) if callable(self.how) else self.how


def judgement(score, verdict, reason):
    return lambda n: Judgement(
        *(np.full(n, value, dtype) for value, dtype in ((score, "i2"), (verdict, "u1"), (reason, "u1")))
    )


WRONG = {
    "raised": [ValueError("x"), MemoryError(), SystemExit(3), RecursionError(), ZeroDivisionError()],
    "late": [TimeoutError()],
    "garbage": [
        None,
        7,
        "veto",
        Judgement(np.zeros(0, np.int8), np.zeros(0, np.uint8), np.zeros(0, np.uint8)),
        lambda n: Judgement(np.zeros(n), np.full(n, 2), np.zeros(n)),
        lambda n: Judgement(np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan)),
        lambda n: Judgement(np.zeros((n, 1), int), np.full((n, 1), 2), np.zeros((n, 1), int)),
        judgement(200, 2, 0),
        judgement(0, 3, 0),
        judgement(0, 2, 1),
        judgement(0, 0, len(REASONS)),
    ],
}


@pytest.mark.parametrize(("reason", "how"), [(reason, how) for reason, all_ in WRONG.items() for how in all_])
def test_a_classifier_that_goes_wrong_abstains_and_the_loop_goes_on(reason, how):
    triggers = alerts([(1, 9, -90), (2, 9, -90), (1, 9, -80), (2, 9, -70)])
    found = pass_alerts(triggers, Wrong(how, {1}), 8.0, ahead=False)
    assert [a.reason for a in found.answers] == ["ok", reason, "ok", "unsettled"]
    assert found.verdict.tolist() == [V, A, V, A]
    assert found.consequence.tolist() == [Consequence.DENIED, Consequence.SLEW, Consequence.DENIED, Consequence.TURNED]
    # Asked for all at once it fails, and is asked again one by one.
    again = pass_alerts(triggers, Wrong(how, {0, 2}), 8.0)
    assert [a.reason for a in again.answers] == ["ok", reason, "ok", "unsettled"]


def test_without_a_classifier_all_stands():
    found = pass_alerts(alerts([(1, 9, -90), (1, 7, -90)]), None, 8.0)
    assert [a.reason for a in found.answers] == ["not_asked"] * 2
    assert (found.slew_with == found.slew_without).all()


@pytest.mark.parametrize("sick", [lambda: False, lambda: None, lambda: 1 / 0])
def test_a_failed_self_test_lets_no_veto_through(sick):
    triggers = alerts([(1, 9, -90), (2, 9, 50)])
    found = pass_alerts(triggers, Running(), 8.0, self_test=sick)
    assert [(a.verdict, a.reason) for a in found.answers] == [(A, "self_test"), (C, "ok")]
    assert pass_alerts(triggers, Running(), 8.0, self_test=lambda: True).verdict.tolist() == [V, C]


def test_time_limit_gives_up_and_recovers():
    free = threading.Event()

    class Slow:
        def judge(self, triggers: TriggerSet) -> Judgement:
            if len(triggers) == 2:
                free.wait(10)
            return Running().judge(triggers)

    limited = TimeLimited(Slow(), 0.05)
    one, two = alerts([(1, 9, -90)]), alerts([(1, 9, -90), (1, 9, -90)])
    assert limited.judge(one).verdict.tolist() == [V]
    for _ in range(2):
        with pytest.raises(TimeoutError):
            limited.judge(two)
    with pytest.raises(TimeoutError, match="busy"):
        limited.judge(one)
    free.set()
    ends = time.monotonic() + 10
    while time.monotonic() < ends:
        try:
            assert limited.judge(one).verdict.tolist() == [V]
            break
        except TimeoutError:
            time.sleep(0.01)
    else:
        raise AssertionError("does not recover")
    with pytest.raises(ZeroDivisionError):
        TimeLimited(Wrong(ZeroDivisionError(), {0}), 1.0).judge(one)


def test_desk_turns_once_and_takes_requests_away_on_a_veto_alone():
    desk = SlewDesk()
    veto, kept = (type("Said", (), {"verdict": v})() for v in (V, A))
    assert desk.decide(1, False, veto) == Consequence.NO_REQUEST
    assert desk.decide(1, True, veto) == Consequence.DENIED
    assert desk.decide(2, True, None) == Consequence.SLEW
    assert desk.decide(1, True, kept) == Consequence.LATE_SLEW
    assert desk.decide(1, True, veto) == Consequence.TURNED


def test_order_is_that_of_time_and_of_the_looks_whatever_the_clock_says():
    triggers = alerts([(1, 9, 0), (1, 9, 0), (2, 9, 0), (1, 9, 0)], [10.0, np.nan, 5.0, -3.0])
    assert in_order(triggers).tolist() == [2, 0, 1, 3]


@settings(deadline=None, max_examples=30)
@given(rows)
def test_ledger_accounts_for_every_alert(given_rows):
    triggers = alerts(given_rows)
    passage = pass_alerts(triggers, Running(), 8.0)
    ledger = make_ledger(triggers, passage, in_order(triggers), "mine")
    assert len(ledger.lines) == len(triggers)
    assert len({(line[2], line[3]) for line in ledger.lines}) == len(triggers)
    other = make_ledger(triggers, passage, in_order(triggers), "other")
    assert other.digest() == ledger.digest()
    assert other.text() != ledger.text()
    assert ledger.text().splitlines()[0].split(",") == list(COLUMNS)
    changed = Ledger([*ledger.lines[:-1], ("9", *ledger.lines[-1][1:])])
    assert changed.digest() != ledger.digest()
    for outcome, with_, without in zip(*map(ledger.column, ("outcome", "slew_with", "slew_without")), strict=True):
        if outcome == "no_slew":
            assert with_ == without == "0"
