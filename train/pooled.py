"""Figures over several splits of one trigger set, each classifier trained anew on every split.

The test alerts of all splits are pooled. Scores of two trainings need not be on one scale, so pairs for the area
under the curve are formed within a split. One sequence may be tested in several splits; the bootstrap draws
sequences, and with one all its appearances. The intervals hold for the test alerts drawn; what another training set
would change is seen between the splits only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.train.metrics import CONFIDENCE, Share, share

_DRAWS = 1000


@dataclass(frozen=True, eq=False)
class Scored:
    """The test alerts of one split.

    Parameters
    ----------
    score : float array [N]
        Higher for true, at least 0 where the classifier says true.
    label : bool array [N]
    sequence : int64 array [N]
    cause : str array [N]
    """

    score: NDArray[Any]
    label: NDArray[np.bool_]
    sequence: NDArray[np.int64]
    cause: NDArray[np.str_]


def pooled(splits: list[Scored], seed: int = 0) -> dict[str, Any]:
    """Accuracy and area under the curve over all splits.

    Parameters
    ----------
    splits : list of Scored
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        ``n_true``, ``n_false``, ``sequences``; ``accuracy`` and ``auc`` as ``{"value", "lo", "hi", "n"}``, ``n`` the
        alerts tested; ``accuracy_of_splits`` the accuracy of each; ``per_cause`` the share called rightly.
    """
    right = np.concatenate([(split.score >= 0) == split.label for split in splits])
    label, sequence, cause = (
        np.concatenate([getattr(s, name) for s in splits]) for name in ("label", "sequence", "cause")
    )
    names, member = np.unique(sequence, return_inverse=True)
    is_true = np.bincount(member, weights=label) > 0
    parts = np.cumsum([len(split.label) for split in splits])[:-1]
    pairs = [(_Pairs(split), where) for split, where in zip(splits, np.split(member, parts), strict=True)]

    def auc(times: NDArray[np.float64]) -> float:
        won, formed = np.sum([pair.won(times[where]) for pair, where in pairs], axis=0)
        return float(won / formed) if formed else np.nan

    rng = np.random.default_rng(seed)
    draws: dict[str, list[float]] = {"accuracy": [], "auc": []}
    for _ in range(_DRAWS):
        times = np.zeros(len(names))
        for group in (np.flatnonzero(is_true), np.flatnonzero(~is_true)):
            if len(group):
                times[group] = np.bincount(rng.integers(len(group), size=len(group)), minlength=len(group))
        weight = times[member]
        draws["accuracy"].append(float(weight @ right / weight.sum()))
        draws["auc"].append(auc(times))
    return {
        "n_true": int(label.sum()),
        "n_false": int((~label).sum()),
        "sequences": len(names),
        "accuracy": _with_interval(float(right.mean()), draws["accuracy"], len(label)),
        "auc": _with_interval(auc(np.ones(len(names))), draws["auc"], len(label)),
        "accuracy_of_splits": [float(part.mean()) for part in np.split(right, parts)],
        "per_cause": {str(name): _one_cause(right, sequence, cause == name) for name in np.unique(cause)},
    }


class _Pairs:
    """True and false alerts of one split, ready to be weighed."""

    def __init__(self, split: Scored) -> None:
        self._true = split.label
        self._rank = np.unique(split.score, return_inverse=True)[1]
        self._bins = int(self._rank.max(initial=-1)) + 1

    def won(self, weight: NDArray[np.float64]) -> tuple[float, float]:
        """Weight of the pairs in which the true alert scores higher, ties as half, and of all pairs."""
        true, false = (
            np.bincount(self._rank[kind], weights=weight[kind], minlength=self._bins)
            for kind in (self._true, ~self._true)
        )
        below = np.cumsum(false) - false
        return float(true @ (below + false / 2)), float(true.sum() * false.sum())


def _one_cause(right: NDArray[np.bool_], sequence: NDArray[np.int64], group: NDArray[np.bool_]) -> Share:
    # An alert tested twice is no second witness, and those of one sequence are alike.
    return share(int(right[group].sum()), int(group.sum()), len(np.unique(sequence[group])))


def _with_interval(value: float, draws: list[float], n: int) -> Share:
    tail = (1 - CONFIDENCE) / 2
    lo, hi = np.nanquantile(draws, [tail, 1 - tail])
    return {"value": value, "lo": float(lo), "hi": float(hi), "n": n}
