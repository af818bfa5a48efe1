"""Two checks on a classifier whose answers are well-formed and may be wrong all the same.

A guard cannot see from an answer that it is nonsense. What has gone wrong for good shows in questions whose answers
are known; what goes wrong now and then shows where the same is asked twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slewguard.subimages.contract import TriggerSet
from slewguard.subimages.verdict import Classifier, Judgement, Verdict


@dataclass(frozen=True)
class KnownAnswers:
    """Alerts with the answers that a sound classifier gives; :meth:`holds` is a self-test before a veto."""

    alerts: TriggerSet
    answers: Judgement

    @classmethod
    def of(cls, sound: Classifier, alerts: TriggerSet) -> KnownAnswers:
        """Ask a classifier that is known to be sound, on the ground."""
        return cls(alerts, sound.judge(alerts))

    def holds(self, classifier: Classifier) -> bool:
        """Whether a classifier gives the same answers."""
        return _same(classifier.judge(self.alerts), self.answers)


class Twice:
    """A classifier that asks another one again before it lets a veto through, and raises where the answers differ."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier

    def judge(self, triggers: TriggerSet) -> Judgement:
        """Judge; see :class:`slewguard.subimages.Classifier`."""
        said = self._classifier.judge(triggers)
        if bool((said.verdict == Verdict.VETO).any()) and not _same(self._classifier.judge(triggers), said):
            raise RuntimeError("the classifier gave two answers to one question")
        return said


def _same(one: Judgement, other: Judgement) -> bool:
    pairs = ((getattr(one, name), getattr(other, name)) for name in ("score", "verdict", "reason"))
    return all(np.array_equal(a, b) for a, b in pairs)
