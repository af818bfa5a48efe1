"""Figures over several splits of one trigger set, each classifier trained anew on every split.

The test alerts of all splits are pooled. Scores of two trainings need not be on one scale, so pairs for the area
under the curve are formed within a split. Rejection at retention is read at *one* cut on all splits, as one threshold
would be set for whatever training gives: scores that wander from training to training count against a classifier.

One sequence may be tested in several splits; the bootstrap draws sequences, and with one all its appearances. Two
classifiers tested on the same alerts are compared draw by draw (a paired bootstrap). The intervals hold for the test
alerts drawn; what another training set would change is seen between the splits only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.train.metrics import (
    CONFIDENCE,
    RETENTIONS,
    Share,
    auc_of_counts,
    draw_sequences,
    rejection_of_counts,
    share,
)

FIGURES = ("accuracy", "auc", *(f"rejection_at_{at}" for at in RETENTIONS))


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

    def select(self, chosen: NDArray[np.bool_]) -> Scored:
        """Some of the alerts."""
        return Scored(self.score[chosen], self.label[chosen], self.sequence[chosen], self.cause[chosen])


class Pool:
    """Test alerts of all splits, ready to be weighed.

    Parameters
    ----------
    splits : sequence of Scored
    """

    def __init__(self, splits: Sequence[Scored]) -> None:
        self.score, self.label, self.sequence, self.cause = (
            np.concatenate([getattr(s, name) for s in splits]) for name in ("score", "label", "sequence", "cause")
        )
        self.right = (self.score >= 0) == self.label
        self._names, self._member = np.unique(self.sequence, return_inverse=True)
        self._ends = np.cumsum([len(split.label) for split in splits])[:-1]
        self._all = _Counts(self.score, self.label)
        self._each = [_Counts(split.score, split.label) for split in splits]

    @property
    def sequences(self) -> int:
        """Number of different sequences."""
        return len(self._names)

    def by_split(self, values: NDArray[Any]) -> list[NDArray[Any]]:
        """Part values of all alerts by split."""
        return np.split(values, self._ends)

    def figures(self, times: NDArray[np.float64] | None = None) -> dict[str, float]:
        """The figures of :data:`FIGURES`, NaN where one is not defined.

        Parameters
        ----------
        times : float array [sequences], optional
            How often each sequence was drawn; without them once.
        """
        weight = np.ones(len(self.label)) if times is None else times[self._member]
        counts = [c.weighed(w) for c, w in zip(self._each, self.by_split(weight), strict=True)]
        pairs = np.array([true.sum() * false.sum() for true, false in counts])
        areas = [auc_of_counts(true, false) for true, false in counts]
        won = sum(n * area for n, area in zip(pairs, areas, strict=True) if area is not None)
        true, false = self._all.weighed(weight)
        rejections = (rejection_of_counts(true, false, float(at)) for at in RETENTIONS)
        values = (
            float(weight @ self.right / weight.sum()) if weight.sum() else np.nan,
            float(won / pairs.sum()) if pairs.sum() else np.nan,
            *(np.nan if found is None else found for found in rejections),
        )
        return dict(zip(FIGURES, values, strict=True))

    def figures_or_none(self) -> dict[str, float | None]:
        """The figures with None for NaN, as results hold them."""
        return {name: None if np.isnan(value) else value for name, value in self.figures().items()}

    def draws(self, seed: int) -> dict[str, NDArray[np.float64]]:
        """Figures of a thousand draws of sequences; of two pools with the same alerts the draws are the same."""
        found = [self.figures(times) for times in draw_sequences(self._member, self.label, seed)]
        return {name: np.array([one[name] for one in found]) for name in FIGURES}

    def share_of(self, hit: NDArray[np.bool_], group: NDArray[np.bool_]) -> Share:
        """Share of a group of the alerts; one tested twice is no second witness, and those of a sequence are alike."""
        return share(int(hit[group].sum()), int(group.sum()), len(np.unique(self.sequence[group])))

    def cut(self, retention: str) -> float | None:
        """Score below which at most the allowed share of true alerts lies; None where less than one may be lost."""
        true = np.sort(self.score[self.label])
        allowed = int(np.floor((1 - float(retention)) * len(true) + 1e-9))
        return float(true[allowed]) if allowed else None


def pooled(splits: Sequence[Scored], seed: int = 0) -> dict[str, Any]:
    """Accuracy, area under the curve and rejection at retention over all splits.

    Parameters
    ----------
    splits : sequence of Scored
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        ``n_true``, ``n_false``, ``sequences``; ``accuracy``, ``auc`` and ``rejection_at_retention`` (by retention) as
        ``{"value", "lo", "hi", "n"}``, value None where it is not defined, ``n`` the alerts tested;
        ``accuracy_of_splits`` the accuracy of each; ``per_cause`` the share called rightly.
    """
    pool = Pool(splits)
    return {
        **summary(pool, pool.draws(seed)),
        "per_cause": {str(name): pool.share_of(pool.right, pool.cause == name) for name in np.unique(pool.cause)},
    }


def summary(pool: Pool, draws: Mapping[str, NDArray[np.float64]]) -> dict[str, Any]:
    """Figures of :func:`pooled` without the causes, of draws already made."""
    value = pool.figures()
    n_false = int((~pool.label).sum())
    trials = len(np.unique(pool.sequence[~pool.label]))
    rejection = {at: interval(value[f"rejection_at_{at}"], draws[f"rejection_at_{at}"], n_false) for at in RETENTIONS}
    for figure in rejection.values():
        if figure["value"] is not None and figure["lo"] == figure["hi"]:
            # Where nothing varies between draws the bootstrap knows no uncertainty; the exact interval does.
            exact = share(round(figure["value"] * n_false), n_false, trials)
            figure.update(lo=exact["lo"], hi=exact["hi"])
    return {
        "n_true": int(pool.label.sum()),
        "n_false": n_false,
        "sequences": pool.sequences,
        "accuracy": interval(value["accuracy"], draws["accuracy"], len(pool.label)),
        "auc": interval(value["auc"], draws["auc"], len(pool.label)),
        "rejection_at_retention": rejection,
        "accuracy_of_splits": [float(part.mean()) for part in pool.by_split(pool.right)],
    }


def differences(
    ours: Pool,
    our_draws: Mapping[str, NDArray[np.float64]],
    other: Pool,
    other_draws: Mapping[str, NDArray[np.float64]],
) -> dict[str, Share]:
    """Paired differences of two classifiers tested on the same alerts of the same splits: ours less other.

    Parameters
    ----------
    ours, other : Pool
    our_draws, other_draws : mapping
        Of :meth:`Pool.draws`, of one seed.

    Returns
    -------
    dict
        By name of :data:`FIGURES`: ``{"value", "lo", "hi", "n"}``, and ``better`` ("ours" or "other") where the
        interval excludes 0, else None.

    Raises
    ------
    ValueError
        If the alerts are not the same.
    """
    if not (np.array_equal(ours.sequence, other.sequence) and np.array_equal(ours.label, other.label)):
        raise ValueError("the two were not tested on the same alerts")
    a, b = ours.figures(), other.figures()
    found = {}
    for name in FIGURES:
        figure = interval(a[name] - b[name], our_draws[name] - other_draws[name], len(ours.label))
        found[name] = {**figure, "better": better(figure)}
    return found


def better(figure: Share) -> str | None:
    """Who is better by an interval of "ours less other": claimed where it excludes 0, and only there."""
    if figure["lo"] is None:
        return None
    return "ours" if figure["lo"] > 0 else "other" if figure["hi"] < 0 else None


class _Counts:
    """Histograms of the true and the false alerts over the distinct scores."""

    def __init__(self, score: NDArray[Any], label: NDArray[np.bool_]) -> None:
        self._label = label
        self._rank = np.unique(score, return_inverse=True)[1]
        self._bins = int(self._rank.max(initial=-1)) + 1

    def weighed(self, weight: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
        true, false = (
            np.bincount(self._rank[kind], weights=weight[kind], minlength=self._bins)
            for kind in (self._label, ~self._label)
        )
        return true, false


def interval(value: float, draws: NDArray[np.float64], n: int) -> Share:
    """A figure with its interval from draws; all None where it is not defined."""
    known = draws[~np.isnan(draws)]
    if np.isnan(value) or not len(known):
        return {"value": None, "lo": None, "hi": None, "n": n}
    tail = (1 - CONFIDENCE) / 2
    lo, hi = np.quantile(known, [tail, 1 - tail])
    return {"value": float(value), "lo": float(lo), "hi": float(hi), "n": n}
