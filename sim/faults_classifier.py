"""Classifiers that go wrong: some of their calls, or all, end in something that is no sound answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from slewguard.subimages.contract import TriggerSet
from slewguard.subimages.verdict import Classifier, Judgement, Verdict

Wrong = Callable[[TriggerSet], Any]


class Failing:
    """A classifier of which some calls go wrong.

    Parameters
    ----------
    classifier : Classifier
    rng : numpy Generator
    wrong : callable
        What comes instead, given the alerts; it may raise.
    share : float
        Share of the calls that go wrong.
    """

    def __init__(self, classifier: Classifier, rng: np.random.Generator, wrong: Wrong, share: float) -> None:
        self._classifier, self._rng, self._wrong, self._share = classifier, rng, wrong, share

    def judge(self, triggers: TriggerSet) -> Judgement:
        """Judge, or go wrong."""
        if self._rng.random() < self._share:
            said: Judgement = self._wrong(triggers)
            return said
        return self._classifier.judge(triggers)


class Stuck:
    """Vetoes everything, in good form."""

    def judge(self, triggers: TriggerSet) -> Judgement:
        """Veto."""
        return _veto(len(triggers))


class Random:
    """Well-formed answers at random."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def __call__(self, triggers: TriggerSet) -> Judgement:
        """Answer."""
        n = len(triggers)
        score = self._rng.integers(-128, 128, n).astype(np.int8)
        return Judgement(score, self._rng.integers(0, 3, n).astype(np.uint8), np.zeros(n, np.uint8))


def _veto(n: int) -> Judgement:
    return Judgement(np.full(n, -128, np.int8), np.full(n, Verdict.VETO, np.uint8), np.zeros(n, np.uint8))


def _raising(error: BaseException) -> Wrong:
    def wrong(triggers: TriggerSet) -> Any:
        raise error

    return wrong


def _with(**values: Any) -> Wrong:
    """A veto on everything of which some parts are replaced; a callable makes the part from the number of alerts."""

    def wrong(triggers: TriggerSet) -> Any:
        said = dict(vars(_veto(len(triggers))))
        for name, value in values.items():
            said[name] = value(len(triggers)) if callable(value) else value
        return SimpleNamespace(**said)

    return wrong


def _without_score(triggers: TriggerSet) -> Any:
    said = _veto(len(triggers))
    return SimpleNamespace(verdict=said.verdict, reason=said.reason)


GARBAGE: Mapping[str, Wrong] = {
    "late": _raising(TimeoutError()),
    "raises": _raising(RuntimeError()),
    "out of memory": _raising(MemoryError()),
    "exits": _raising(SystemExit(1)),
    "wrong shape": _with(verdict=lambda n: np.full(n + 1, Verdict.VETO, np.uint8)),
    "wrong type": _with(verdict=lambda n: np.full(n, 2.0)),
    "unknown verdict": _with(verdict=lambda n: np.full(n, 7, np.uint8)),
    "score out of range": _with(score=lambda n: np.full(n, -300, np.int64)),
    "score not a number": _with(score=lambda n: np.full(n, np.nan)),
    "no scores": _without_score,
    "reason and veto": _with(reason=lambda n: np.ones(n, np.uint8)),
    "nothing": lambda triggers: None,
}
"""What may come in place of an answer; wherever it can, it says veto."""
