"""The chain under faults of transport, clock, classifier and memory: what is vetoed only because of them?

Each challenge replays the same alerts through the same loop (:mod:`slewguard.sim.chain_loop`) with one kind of fault
and is compared with the replay without. Rates and sizes of faults are assumed, and far above what a mission sees: so
many that each alert of thousands meets one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.chain_checks import KnownAnswers, Twice
from slewguard.sim.chain_clock import QUIET_MS
from slewguard.sim.chain_ledger import make_ledger, outcomes
from slewguard.sim.chain_loop import CHAIN_REASONS, Consequence, Guard, Passage, in_order, pass_alerts, reason_counts
from slewguard.sim.chain_state import BITS
from slewguard.sim.faults_classifier import GARBAGE, Failing, Random, Stuck
from slewguard.sim.keys import log_uniform
from slewguard.subimages.contract import BURST_CAUSES, TRUE, TriggerSet
from slewguard.subimages.verdict import Classifier, Verdict

SHARE = 0.2
"""Share of looks that a fault hits."""
_LATEST = 3
"""A late packet comes in one of so many later slots."""
_JUMP_S = (1.1, 1e5)

Rng = np.random.Generator
Deliveries = list[list[int]]


@dataclass(frozen=True)
class Found:
    """What one challenge did to N alerts.

    Parameters
    ----------
    family, kind : str
    alerts, burst_alerts : int
    newly_vetoed, bursts_newly_vetoed : int
        Alerts, and of them true alerts of bursts, vetoed under the fault and not without it.
    bursts_newly_lost : int
        Sequences whose burst slews without the fault and not under it, because of vetoes.
    unaccounted : int
        Alerts without a line in the ledger that gives verdict, known reason and known consequence.
    avoided_without, avoided_with : int
        Sequences that no longer slew to a false alert: without the fault, and what is left of it.
    reasons : dict
        How many alerts have each reason.
    """

    family: str
    kind: str
    alerts: int
    burst_alerts: int
    newly_vetoed: int
    bursts_newly_vetoed: int
    bursts_newly_lost: int
    unaccounted: int
    avoided_without: int
    avoided_with: int
    reasons: dict[str, int]


Challenge = Callable[[Rng, TriggerSet, Classifier, float], Passage]


def challenge(
    family: str,
    kind: str,
    triggers: TriggerSet,
    classifier: Classifier,
    slew_threshold: float,
    clean: Passage,
    seed: int,
) -> Found:
    """Replay under one kind of fault and compare.

    Parameters
    ----------
    family, kind : str
        A key of :data:`CHALLENGES` and one of its kinds.
    triggers : TriggerSet
        Labelled alerts with ``peak_snr``, ``sequence`` and ``time_s``.
    classifier : Classifier
        One whose answer to a look depends on that look and those before it in the sequence.
    slew_threshold : float
    clean : Passage
        The replay without a fault.
    seed : int
        Of the faults.
    """
    rng = np.random.Generator(np.random.Philox(key=seed))
    return compare(family, kind, triggers, clean, CHALLENGES[family][kind](rng, triggers, classifier, slew_threshold))


def compare(family: str, kind: str, triggers: TriggerSet, clean: Passage, hit: Passage) -> Found:
    """Count what a fault changed between two replays of the same alerts."""
    burst = (triggers.label == TRUE) & np.isin(triggers.cause, BURST_CAUSES)
    newly = (hit.verdict == Verdict.VETO) & (clean.verdict != Verdict.VETO)
    before, after = (np.array(outcomes(triggers, passage)) for passage in (clean, hit))

    def events(of: NDArray[np.bool_]) -> set[int]:
        return set(triggers.sequence[of].tolist())

    return Found(
        family,
        kind,
        len(triggers),
        int(burst.sum()),
        int(newly.sum()),
        int((newly & burst).sum()),
        len(events(after == "burst_lost") - events(before == "burst_lost")),
        unaccounted(triggers, hit),
        len(events(before == "avoided")),
        len(events(after == "avoided")),
        reason_counts(hit),
    )


def unaccounted(triggers: TriggerSet, passage: Passage) -> int:
    """Number of alerts that the ledger does not account for."""
    ledger = make_ledger(triggers, passage, in_order(triggers), "")
    words = [
        {verdict.name.lower() for verdict in Verdict},
        set(CHAIN_REASONS),
        {consequence.name.lower() for consequence in Consequence},
    ]
    told = zip(*(ledger.column(name) for name in ("verdict", "reason", "consequence")), strict=True)
    lines = sum(all(word in known for word, known in zip(line, words, strict=True)) for line in told)
    numbers = sorted(ledger.column("sequence")) == sorted(map(str, triggers.sequence.tolist()))
    return len(triggers) - (lines if numbers else 0)


def renumbered(triggers: TriggerSet, offset_s: NDArray[np.floating]) -> TriggerSet:
    """What the trigger makes of numbers and times when its clock is off.

    It ends a sequence ``trigger.sequence_s`` after its first alert, by the clock: one that jumps ahead parts a
    sequence, one that jumps back joins the next event to the last.

    Parameters
    ----------
    triggers : TriggerSet
        With ``time_s``.
    offset_s : float array [N]
        What the clock says less the true time, at each alert.
    """
    time = triggers.columns["time_s"]
    clock, length = time + offset_s, QUIET_MS / 1000.0
    number = triggers.sequence.copy()
    free = int(number.max(initial=0)) + 1
    begun: dict[int, tuple[int, float, float]] = {}
    last: tuple[int, float, float] | None = None
    for i in in_order(triggers).tolist():
        event, now = int(triggers.sequence[i]), float(time[i])
        here = begun.get(event)
        if here is None:
            joined = last is not None and clock[i] <= last[1] + length and now > last[2] + length
            here = last if joined and last is not None else (event, float(clock[i]), now)
        elif clock[i] > here[1] + length and now <= here[2] + length:
            here, free = (free, float(clock[i]), now), free + 1
        last = begun[event] = here
        number[i] = here[0]
    columns = {**triggers.columns, "sequence": number, "time_s": clock}
    return TriggerSet(triggers.snr, triggers.mask, columns, triggers.simulated, triggers.provenance)


def _delivered(change: Callable[[Rng, TriggerSet, Deliveries], None]) -> Challenge:
    def run(rng: Rng, triggers: TriggerSet, classifier: Classifier, slew_threshold: float) -> Passage:
        deliveries = [[i] for i in in_order(triggers).tolist()]
        change(rng, triggers, deliveries)
        return pass_alerts(triggers, classifier, slew_threshold, deliveries=deliveries, ahead=False)

    return run


def _hit(rng: Rng, deliveries: Deliveries) -> Iterator[int]:
    yield from np.flatnonzero(rng.random(len(deliveries)) < SHARE).tolist()


def _lost(rng: Rng, triggers: TriggerSet, deliveries: Deliveries) -> None:
    for slot in _hit(rng, deliveries):
        deliveries[slot].clear()


def _first_lost(rng: Rng, triggers: TriggerSet, deliveries: Deliveries) -> None:
    met: set[int] = set()
    for slot, i in enumerate(in_order(triggers).tolist()):
        event = int(triggers.sequence[i])
        if event not in met:
            deliveries[slot].clear()
        met.add(event)


def _doubled(rng: Rng, triggers: TriggerSet, deliveries: Deliveries) -> None:
    for slot in _hit(rng, deliveries):
        later = min(slot + int(rng.integers(0, _LATEST + 1)), len(deliveries) - 1)
        if deliveries[slot]:
            deliveries[later].append(deliveries[slot][0])


def _reordered(rng: Rng, triggers: TriggerSet, deliveries: Deliveries) -> None:
    for slot in _hit(rng, deliveries):
        later = slot + int(rng.integers(1, _LATEST + 1))
        if later < len(deliveries) and deliveries[slot]:
            # Before or after the packets that are in time.
            deliveries[later].insert(int(rng.integers(0, len(deliveries[later]) + 1)), deliveries[slot].pop(0))


def _all_three(rng: Rng, triggers: TriggerSet, deliveries: Deliveries) -> None:
    for change in (_doubled, _reordered, _lost):
        change(rng, triggers, deliveries)


def _clock(signs: Sequence[float]) -> Challenge:
    def run(rng: Rng, triggers: TriggerSet, classifier: Classifier, slew_threshold: float) -> Passage:
        time = triggers.columns["time_s"]
        offset = np.zeros(len(triggers))
        for event in np.unique(triggers.sequence).tolist():
            if rng.random() >= SHARE:
                continue
            looks = time[triggers.sequence == event]
            # Within the sequence or soon after it.
            at = rng.uniform(looks.min(), looks.max() + QUIET_MS / 1000.0)
            offset[time > at] += rng.choice(signs) * log_uniform(rng, _JUMP_S)
        return pass_alerts(triggers, classifier, slew_threshold, received=renumbered(triggers, offset))

    return run


def _asked(make: Callable[[Rng, Classifier], Classifier]) -> Challenge:
    def run(rng: Rng, triggers: TriggerSet, classifier: Classifier, slew_threshold: float) -> Passage:
        return pass_alerts(triggers, make(rng, classifier), slew_threshold, ahead=False)

    return run


def _stuck(rng: Rng, triggers: TriggerSet, classifier: Classifier, slew_threshold: float) -> Passage:
    known = KnownAnswers.of(classifier, triggers.select(np.flatnonzero(triggers.rejected == 0)[:4]))
    broken = Stuck()
    return pass_alerts(triggers, broken, slew_threshold, self_test=lambda: known.holds(broken), ahead=False)


class _Upset(Guard):
    """A guard in whose memory bits flip."""

    def __init__(self, classifier: Classifier, rng: Rng) -> None:
        super().__init__(classifier)
        self._rng = rng

    def answer(self, *given: Any, **more: Any) -> Any:
        if self.memory and self._rng.random() < SHARE:
            hit = list(self.memory)[-min(int(self._rng.integers(1, 3)), len(self.memory))]
            for bit in self._rng.choice(BITS, size=int(self._rng.integers(1, 7)), replace=False).tolist():
                self.memory[hit] ^= 1 << bit
        return super().answer(*given, **more)


def _guard_state(rng: Rng, triggers: TriggerSet, classifier: Classifier, slew_threshold: float) -> Passage:
    return pass_alerts(triggers, classifier, slew_threshold, guard=_Upset(classifier, rng))


def _failing(how: str) -> Challenge:
    return _asked(lambda rng, classifier: Failing(classifier, rng, GARBAGE[how], SHARE))


CHALLENGES: dict[str, dict[str, Challenge]] = {
    "transport": {
        "lost": _delivered(_lost),
        "first look lost": _delivered(_first_lost),
        "doubled": _delivered(_doubled),
        "reordered": _delivered(_reordered),
        "all three": _delivered(_all_three),
    },
    "clock": {"forward": _clock((1.0,)), "back": _clock((-1.0,)), "both": _clock((1.0, -1.0))},
    "classifier": {
        **{how: _failing(how) for how in GARBAGE},
        "stuck at veto, known answers asked": _stuck,
        "now and then well-formed nonsense, asked twice": _asked(
            lambda rng, classifier: Twice(Failing(classifier, rng, Random(rng), SHARE))
        ),
    },
    "memory": {"state of the guard": _guard_state},
}
"""Challenges by family and kind; those of the model's own memory need a model and are made where there is one."""
