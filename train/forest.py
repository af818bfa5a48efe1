"""Gradient-boosted trees on the named features, fitted by scikit-learn; :mod:`slewguard.export.forest` runs them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.export.forest import LEAF, Forest, Tree
from slewguard.train.folds import folds, log_loss

_RATE, _ROUNDS = 0.05, 400
_SHAPES = ((4, 5), (8, 5), (16, 5))  # leaves of a tree, least alerts in a leaf
_COLUMNS = 0.3  # share of features tried at a split


def fit_forest(
    measured: NDArray[np.float64], label: NDArray[np.bool_], sequence: NDArray[np.int64], seed: int
) -> Forest:
    """Fit trees whose size and number are chosen by cross-validation by sequence.

    Parameters
    ----------
    measured : float64 array [N, F]
    label : bool array [N]
    sequence : int64 array [N]
    seed : int
        Of the folds and of the features tried at each split.

    Raises
    ------
    BadInput
        If there are too few sequences for folds.
    """
    parts = list(folds(label, sequence, seed))
    losses = []
    for shape in _SHAPES:
        score = np.empty((_ROUNDS, len(label)))
        for fit, judge in parts:
            fitted = _booster(shape, _ROUNDS, seed).fit(measured[fit], label[fit])
            for i, stage in enumerate(fitted.staged_decision_function(measured[judge])):
                score[i, judge] = stage.ravel()
        losses.append([log_loss(row, label) for row in score])
    best, rounds = np.unravel_index(int(np.argmin(losses)), (len(_SHAPES), _ROUNDS))
    return to_forest(_booster(_SHAPES[best], int(rounds) + 1, seed).fit(measured, label))


def to_forest(fitted: Any) -> Forest:
    """Read the trees off a fitted ``HistGradientBoostingClassifier`` of two classes."""
    (forest,) = to_forests(fitted)
    return forest


def to_forests(fitted: Any, rounds: int | None = None) -> tuple[Forest, ...]:
    """Read the trees off a fitted ``HistGradientBoostingClassifier``, one forest a class (one for two classes).

    scikit-learn publishes no way to read these trees; the names are those that its own prediction uses.

    Parameters
    ----------
    fitted : HistGradientBoostingClassifier
    rounds : int, optional
        Only the trees of the first rounds.
    """
    starts = np.ravel(fitted._baseline_prediction)
    chosen = list(zip(*fitted._predictors[:rounds], strict=True))
    return tuple(
        Forest(float(start), tuple(_tree(predictor.nodes) for predictor in predictors))
        for start, predictors in zip(starts, chosen, strict=True)
    )


def _tree(nodes: Any) -> Tree:
    leaf = nodes["is_leaf"].astype(bool)
    return Tree(
        np.where(leaf, LEAF, nodes["feature_idx"]).astype(np.int32),
        np.where(leaf, 0.0, nodes["num_threshold"]).astype(np.float64),
        np.where(leaf, 0, nodes["left"]).astype(np.int32),
        np.where(leaf, 0, nodes["right"]).astype(np.int32),
        np.where(leaf, nodes["value"], 0.0).astype(np.float64),
    )


def _booster(shape: tuple[int, int], rounds: int, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    leaves, least = shape
    return HistGradientBoostingClassifier(
        learning_rate=_RATE,
        max_iter=rounds,
        max_leaf_nodes=leaves,
        min_samples_leaf=least,
        l2_regularization=1.0,
        max_features=_COLUMNS,
        early_stopping=False,
        random_state=seed % 2**32,
    )
