"""Fit the trees that tell causes apart, and the temperature that makes their log-odds probabilities.

The sequences are parted in two. The trees are fitted to one part; the other chooses how many rounds of them are kept
and the temperature, together, by the least log loss. Nothing is fitted to it beyond these two numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.export.forest import Forest, Tree
from slewguard.subimages.errors import BadInput
from slewguard.train.forest import to_forests

_ROUNDS, _RATE, _LEAVES, _LEAST = 60, 0.12, 8, 20
_COLUMNS = 0.5
_HELD_OUT = 0.3
_DIGITS = 5
"""Of thresholds and leaves in the file; the rounded trees are those that are calibrated and measured."""


@dataclass(frozen=True, eq=False)
class FittedCauses:
    """What :func:`fit_causes` found.

    Parameters
    ----------
    forests : tuple of Forest
        One a group.
    temperature : float
    fitted, held_out : int
        Alerts to which the trees were fitted, and that set rounds and temperature.
    rounds : int
    log_loss : float
        Of the held-out alerts, by weight.
    """

    forests: tuple[Forest, ...]
    temperature: float
    fitted: int
    held_out: int
    rounds: int
    log_loss: float


def fit_causes(
    measured: NDArray[np.float64],
    group: NDArray[np.int64],
    sequence: NDArray[np.int64],
    weight: Sequence[float],
    seed: int = 0,
) -> FittedCauses:
    """Fit a model of causes.

    Parameters
    ----------
    measured : float64 array [N, F]
    group : int array [N]
        0 to G - 1.
    sequence : int64 array [N]
    weight : sequence of float [G]
        How common an alert of each group is in nature beside one of the set: where bursts were enriched five times
        theirs is 1/5.
    seed : int

    Raises
    ------
    BadInput
        If a group has no sequence in one of the two parts.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    n = len(weight)
    fit, judge = _parted(group, sequence, n, seed)
    booster = HistGradientBoostingClassifier(
        learning_rate=_RATE,
        max_iter=_ROUNDS,
        max_leaf_nodes=_LEAVES,
        min_samples_leaf=_LEAST,
        l2_regularization=1.0,
        max_features=_COLUMNS,
        early_stopping=False,
        random_state=seed % 2**32,
    )
    trees = [_rounded(forest) for forest in to_forests(booster.fit(measured[fit], group[fit]))]
    # What is more common than its share of the set is so by a constant in the log-odds.
    forests = [replace(f, start=_short(f.start + np.log(w))) for f, w in zip(trees, weight, strict=True)]
    staged = np.stack([_staged(forest, measured[judge]) for forest in forests], axis=2)
    share = np.asarray(weight)[group[judge]]
    found = [_temperature(stage, group[judge], share) for stage in staged]
    best = int(np.argmin([loss for _, loss in found]))
    kept = tuple(replace(forest, trees=forest.trees[: best + 1]) for forest in forests)
    temperature, loss = found[best]
    return FittedCauses(kept, temperature, len(fit), len(judge), best + 1, loss)


def _parted(
    group: NDArray[np.int64], sequence: NDArray[np.int64], n: int, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Two parts of the sequences, each group's first alert deciding where its sequence belongs."""
    names, first, member = np.unique(sequence, return_index=True, return_inverse=True)
    rng = np.random.default_rng(seed)
    second = np.zeros(len(names), dtype=bool)
    for i in range(n):
        own = rng.permutation(np.flatnonzero(group[first] == i))
        second[own[: round(_HELD_OUT * len(own))]] = True
    parts = np.flatnonzero(~second[member]), np.flatnonzero(second[member])
    if any(len(np.unique(group[part])) < n for part in parts):
        raise BadInput("a group of causes has too few sequences to fit and to hold out")
    return parts


def _staged(forest: Forest, measured: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-odds after each round, float64 [rounds, N]."""
    return forest.start + np.cumsum([tree.leaves(measured) for tree in forest.trees], axis=0)


def _temperature(
    log_odds: NDArray[np.float64], group: NDArray[np.int64], weight: NDArray[np.float64]
) -> tuple[float, float]:
    """Temperature with the least weighted log loss, and that loss."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    def loss(log_temperature: float) -> float:
        likelihood = log_softmax(log_odds / np.exp(log_temperature), axis=1)[np.arange(len(group)), group]
        return float(-(weight @ likelihood) / weight.sum())

    found: Any = minimize_scalar(loss, bounds=(-2.0, 2.0), method="bounded")
    return _short(np.exp(found.x)), float(found.fun)


def _rounded(forest: Forest) -> Forest:
    """The same with few digits."""
    short = np.vectorize(_short, otypes=[np.float64])
    trees = tuple(Tree(t.feature, short(t.threshold), t.left, t.right, short(t.value)) for t in forest.trees)
    return Forest(_short(forest.start), trees)


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
