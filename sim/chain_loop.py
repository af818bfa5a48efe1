"""The onboard loop: alerts one by one, a verdict on each before its slew request is answered.

Two parts that know little of each other, as on board:

* :class:`Guard` is the classifier's side. It counts the looks of each sequence, asks the classifier, and lets nothing
  through but a well-formed answer. It never raises and never stops: whatever is wrong gives ``abstain``.
* :class:`SlewDesk` is the trigger's side. It holds today's decision, and takes a request away only on a veto that
  came in time. It knows every alert, also those that never reach the guard.

A veto rests on the highest score of all looks so far at one place on the sky. Where a look is missing (lost on its way,
or the classifier failed on it) that maximum may be too low, so nothing more is vetoed in that sequence: reason
``unsettled``. Order is that of the looks' own count; the clock is watched (:mod:`slewguard.sim.chain_clock`), since a
jump of it tears sequences, and what is kept between two looks is sealed (:mod:`slewguard.sim.chain_state`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.chain_clock import ClockWatch
from slewguard.sim.chain_state import MOST_LOOKS, SequenceTrack, opened
from slewguard.subimages.contract import REASONS, TriggerSet
from slewguard.subimages.places import places
from slewguard.subimages.verdict import Classifier, Judgement, Verdict

FAULTS = ("raised", "late", "garbage", "not_delivered", "out_of_order", "unsettled", "self_test", "not_asked")
"""Why the chain abstains beside the reasons of the classifier: it raised, did not answer in time or gave nonsense; the
look never came, or a later one came before; an earlier look of the sequence is missing, what was kept of it is
damaged, or the clock has jumped; the self-test before a veto
failed; nobody asks about this look."""
CHAIN_REASONS = (*REASONS, *FAULTS)
ORDER = -1
"""No place: where the guard keeps the order of a sequence's looks."""
_KEPT = 16
"""Sequences that are over of which a late copy is still known as one."""


class Consequence(IntEnum):
    """What the satellite does on one alert."""

    NO_REQUEST = 0
    """The alert asks for no slew."""
    SLEW = 1
    """Its request is granted: the satellite turns, as it does without the classifier."""
    LATE_SLEW = 2
    """Its request is granted after an earlier one of the sequence was denied: the satellite turns later."""
    DENIED = 3
    """Its request is taken away by a veto."""
    TURNED = 4
    """The satellite has turned for an earlier alert of the sequence."""
    RECALLED = 5
    """The satellite has turned, and a veto on the ground calls it back (:mod:`slewguard.sim.chain_ground`)."""


@dataclass(frozen=True)
class Answer:
    """What comes back on one look.

    Parameters
    ----------
    verdict : Verdict
    reason : str
        One of :data:`CHAIN_REASONS`.
    score : int or None
        None where the classifier gave none.
    statistic : int or None
        Highest score so far of the usable looks at this place in the sequence; None before the first.
    """

    verdict: Verdict = Verdict.ABSTAIN
    reason: str = "ok"
    score: int | None = None
    statistic: int | None = None


class Guard:
    """Ask a classifier about one look after the other.

    Parameters
    ----------
    classifier : Classifier or None
        Asked for all looks of the sequence so far; the last answer counts. None abstains throughout.
    self_test : callable, optional
        Asked before a veto is let through; anything but True makes it ``abstain``. On board this is the check sum of
        the weights.
    """

    def __init__(self, classifier: Classifier | None, *, self_test: Callable[[], bool] | None = None) -> None:
        self._classifier = classifier
        self._self_test = self_test
        self._clock = ClockWatch()
        self._looks: dict[int, list[TriggerSet]] = {}
        self.memory: dict[tuple[int, int], int] = {}
        """Sealed :class:`SequenceTrack` of every (sequence, place) that is not over; the order of a sequence's looks,
        that of some which are over too, stands at (sequence, ORDER)."""
        self._over: deque[int] = deque()

    def answer(
        self,
        sequence: int,
        count: int,
        look: TriggerSet,
        said: Answer | None = None,
        times_ms: tuple[int, int] | None = None,
        place: int = 0,
    ) -> Answer:
        """Answer to one look; never raises.

        Parameters
        ----------
        sequence : int
            Number of the event.
        count : int
            Number of the look in its sequence, from 1, as the trigger counts (``Alert_MsgCount``).
        look : TriggerSet
            One alert.
        said : Answer, optional
            What the classifier says where it was asked before, for many looks at once.
        times_ms : (int, int), optional
            The spacecraft's time in the packet and the guard's own counter at its arrival; not watched without.
        place : int
            Of :func:`slewguard.subimages.places`.
        """
        order, scores = (self._kept(sequence, at) for at in (ORDER, place))
        if order is None or scores is None:
            order = SequenceTrack(expected=order.expected if order else min(count, MOST_LOOKS), settled=False)
            scores = scores or SequenceTrack()
        if count < order.expected:
            return Answer(reason="out_of_order", statistic=scores.statistic)
        disturbed = times_ms is not None and self._clock.disturbed(*times_ms)
        if disturbed:
            self._unsettle()
        settled = order.settled and count == order.expected and count < MOST_LOOKS and not disturbed
        if said is None:
            looks = self._looks.setdefault(sequence, [])
            looks.append(look)
            said = ask(self._classifier, _stacked(looks))[-1]
        settled = settled and said.reason not in FAULTS
        if said.reason == "ok" and said.score is not None:
            scores = scores.after(said.score)
        order = order._replace(expected=min(count + 1, MOST_LOOKS), settled=settled)
        self.memory |= {(sequence, ORDER): order.sealed(), (sequence, place): scores.sealed()}
        verdict, reason = said.verdict, said.reason
        if verdict == Verdict.VETO and not settled:
            verdict, reason = Verdict.ABSTAIN, "unsettled"
        elif verdict == Verdict.VETO and not self._sound():
            verdict, reason = Verdict.ABSTAIN, "self_test"
        return Answer(verdict, reason, said.score, scores.statistic)

    def _kept(self, sequence: int, at: int) -> SequenceTrack | None:
        word = self.memory.get((sequence, at))
        return SequenceTrack() if word is None else opened(word)

    def _unsettle(self) -> None:
        for key, word in self.memory.items():
            track = opened(word) or SequenceTrack()
            self.memory[key] = track._replace(settled=False).sealed()

    def forget(self, sequence: int) -> None:
        """Drop what is kept of a sequence that is over; its count stays for a while, so that copies are told apart."""
        self._looks.pop(sequence, None)
        for key in [key for key in self.memory if key[0] == sequence and key[1] != ORDER]:
            del self.memory[key]
        self._over.append(sequence)
        if len(self._over) > _KEPT:
            self.memory.pop((self._over.popleft(), ORDER), None)

    def _sound(self) -> bool:
        if self._self_test is None:
            return True
        try:
            return self._self_test() is True
        except (Exception, SystemExit):
            return False


def ask(classifier: Classifier | None, looks: TriggerSet) -> list[Answer]:
    """Ask a classifier about N looks and check what it says; one answer for each, whatever happens."""
    n = len(looks)
    if classifier is None:
        return [Answer(reason="not_asked")] * n
    try:
        said = classifier.judge(looks)
    except TimeoutError:
        return [Answer(reason="late")] * n
    except (Exception, SystemExit):
        return [Answer(reason="raised")] * n
    try:
        return _checked(said, n)
    except (Exception, SystemExit):  # an answer may be any object
        return [Answer(reason="garbage")] * n


def _checked(said: Judgement, n: int) -> list[Answer]:
    columns = []
    for name, low, high in (("score", -128, 127), ("verdict", 0, 2), ("reason", 0, len(REASONS) - 1)):
        values = np.asarray(getattr(said, name))
        if values.shape != (n,) or values.dtype.kind not in "iu" or ((values < low) | (values > high)).any():
            raise ValueError(name)
        columns.append(values.tolist())
    answers = []
    for score, verdict, reason in zip(*columns, strict=True):
        if reason and verdict != Verdict.ABSTAIN:
            answers.append(Answer(reason="garbage"))
        else:
            answers.append(Answer(Verdict(verdict), REASONS[reason], score))
    return answers


def _stacked(looks: Sequence[TriggerSet]) -> TriggerSet:
    if len(looks) == 1:
        return looks[0]
    names = [name for name in looks[0].columns if all(name in look.columns for look in looks)]
    columns = {name: np.concatenate([look.columns[name] for look in looks]) for name in names}
    snr, mask = (np.concatenate([getattr(look, name) for look in looks]) for name in ("snr", "mask"))
    return TriggerSet(snr, mask, columns, looks[0].simulated)


class SlewDesk:
    """Answer slew requests; each sequence turns the satellite at most once."""

    def __init__(self) -> None:
        self._turned: set[int] = set()
        self._denied: set[int] = set()

    def decide(self, sequence: int, asks: bool, answer: Answer | None) -> Consequence:
        """Decide on one alert.

        Parameters
        ----------
        sequence : int
        asks : bool
            Whether the alert asks for a slew.
        answer : Answer or None
            What came back in time; None where nothing did, and today's decision stands.
        """
        if not asks:
            return Consequence.NO_REQUEST
        if sequence in self._turned:
            return Consequence.TURNED
        if answer is not None and answer.verdict == Verdict.VETO:
            self._denied.add(sequence)
            return Consequence.DENIED
        self._turned.add(sequence)
        return Consequence.LATE_SLEW if sequence in self._denied else Consequence.SLEW


@dataclass(frozen=True, eq=False)
class Passage:
    """What the loop made of N alerts, in the order of the trigger set.

    Parameters
    ----------
    count : int64 array [N]
        Number of the look in its sequence, from 1.
    asks, slew_without : bool array [N]
        Whether the alert asks for a slew, and whether the satellite turns for it without a classifier.
    answers : list of Answer
    consequence : uint8 array [N]
        :class:`Consequence` values.
    """

    count: NDArray[np.int64]
    asks: NDArray[np.bool_]
    slew_without: NDArray[np.bool_]
    answers: list[Answer]
    consequence: NDArray[np.uint8]

    @cached_property
    def verdict(self) -> NDArray[np.uint8]:
        """Verdicts, uint8 [N]."""
        return np.array([answer.verdict for answer in self.answers], dtype=np.uint8)

    @property
    def slew_with(self) -> NDArray[np.bool_]:
        """Whether the satellite turns for the alert with the classifier on board, bool [N]."""
        return np.isin(self.consequence, (Consequence.SLEW, Consequence.LATE_SLEW))

    @property
    def still_asks(self) -> NDArray[np.bool_]:
        """Whether the alert asks for a slew and no veto takes that away, bool [N]."""
        return self.asks & (self.verdict != Verdict.VETO)


def counts(sequence: NDArray[np.integer]) -> NDArray[np.int64]:
    """Number of each look in its sequence, from 1: int64 [N]; looks of a sequence stand in order of time."""
    seen: dict[int, int] = {}
    found = np.empty(len(sequence), dtype=np.int64)
    for i, number in enumerate(sequence.tolist()):
        found[i] = seen[number] = seen.get(number, 0) + 1
    return found


def in_order(triggers: TriggerSet) -> NDArray[np.int64]:
    """Alerts in order of time, those of one sequence in the order in which they stand: int64 [N]."""
    time = triggers.columns.get("time_s")
    if time is None:
        return np.arange(len(triggers))
    # Within a sequence the set's own order holds, whatever the clock says.
    latest: dict[int, float] = {}
    key = np.empty(len(triggers))
    for i, (number, seconds) in enumerate(zip(triggers.sequence.tolist(), time.tolist(), strict=True)):
        key[i] = latest[number] = max(latest.get(number, -np.inf), seconds if np.isfinite(seconds) else -np.inf)
    return np.argsort(key, kind="stable")


def pass_alerts(
    triggers: TriggerSet,
    classifier: Classifier | None,
    slew_threshold: float,
    *,
    deliveries: Sequence[Sequence[int]] | None = None,
    received: TriggerSet | None = None,
    self_test: Callable[[], bool] | None = None,
    guard: Guard | None = None,
    ahead: bool = True,
) -> Passage:
    """Pass the alerts of a trigger set through guard and desk, one by one in order of time.

    Parameters
    ----------
    triggers : TriggerSet
        N alerts as the trigger knows them, with ``peak_snr``.
    classifier : Classifier or None
    slew_threshold : float
        SNR from which an alert asks for a slew.
    deliveries : sequence of sequences of int, optional
        For the k-th alert in order of time (:func:`in_order`): which alerts (indices) reach the guard before its
        request is answered. Without it each arrives once and in time.
    received : TriggerSet, optional
        What the guard receives in place of each alert; its ``sequence`` and ``time_s`` are what a faulty clock made
        of the numbers and times.
    self_test : callable, optional
        As of :class:`Guard`.
    guard : Guard, optional
        In place of one made here of ``classifier`` and ``self_test``.
    ahead : bool
        Ask the classifier once for all looks, which is faster and the same for one whose answer to a look depends on
        that look and those before it in the sequence. If it fails on that, it is asked look by look.

    Returns
    -------
    Passage
        One answer and one consequence for each alert.
    """
    given = triggers if received is None else received
    number, order = given.sequence, in_order(triggers)
    count = np.empty(len(given), dtype=np.int64)
    count[order] = counts(number[order])
    place = places(given).tolist()
    asks = np.asarray(triggers.columns["peak_snr"] >= slew_threshold)
    told: list[Answer] | None = None
    if ahead and deliveries is None and len(given):
        told = ask(classifier, given)
        if any(answer.reason in ("raised", "late", "garbage") for answer in told):
            told = None
    guard = guard or Guard(classifier, self_test=self_test)
    desk, today = SlewDesk(), SlewDesk()
    answers: list[Answer] = [Answer(reason="not_delivered")] * len(triggers)
    consequence = np.zeros(len(triggers), dtype=np.uint8)
    slew_without = np.zeros(len(triggers), dtype=bool)
    last = dict(zip(number[order].tolist(), count[order].tolist(), strict=True))
    clock, counter = _milliseconds(given), _milliseconds(triggers)
    for slot, i in enumerate(order.tolist()):
        for j in [i] if deliveries is None else deliveries[slot]:
            said = None if told is None else told[j]
            # Answered before, or after a veto could still act: the first answer within the slot counts.
            times = None if clock is None or counter is None else (clock[j], counter[i])
            back = guard.answer(int(number[j]), int(count[j]), given.select(np.array([j])), said, times, place[j])
            if j == i and answers[i].reason == "not_delivered":
                answers[i] = back
        event = int(triggers.sequence[i])
        slew_without[i] = today.decide(event, bool(asks[i]), None) == Consequence.SLEW
        consequence[i] = desk.decide(event, bool(asks[i]), answers[i])
        if count[i] == last[int(number[i])]:
            guard.forget(int(number[i]))
    return Passage(count, asks, slew_without, answers, consequence)


def _milliseconds(triggers: TriggerSet) -> list[int] | None:
    """Times in whole milliseconds; a time that is none counts as 0, which is a jump."""
    time = triggers.columns.get("time_s")
    if time is None:
        return None
    return [round(1000.0 * t) if np.isfinite(t) else 0 for t in time.tolist()]


def reason_counts(passage: Passage) -> dict[str, Any]:
    """How many alerts have each reason; together all alerts."""
    found = dict.fromkeys(CHAIN_REASONS, 0)
    for answer in passage.answers:
        found[answer.reason] += 1
    return {reason: n for reason, n in found.items() if n}
