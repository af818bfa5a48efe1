"""Cross-validation by sequence, for what the classical baselines choose on their training alerts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from slewguard.subimages.errors import BadInput

_FOLDS = 5


def folds(
    label: NDArray[np.bool_], sequence: NDArray[np.int64], seed: int
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Split training alerts again and again into a part to fit and one to judge, no sequence on both sides.

    Parameters
    ----------
    label : bool array [N]
    sequence : int64 array [N]
    seed : int

    Yields
    ------
    fit, judge : int arrays
        Indices; over all folds every alert is judged once.

    Raises
    ------
    BadInput
        If fewer than two sequences hold alerts of one kind.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    least = min(len(np.unique(sequence[label == kind])) for kind in (True, False))
    if least < 2:
        raise BadInput(f"{least} sequences with alerts of one kind: cross-validation needs two")
    splitter = StratifiedGroupKFold(min(_FOLDS, least), shuffle=True, random_state=seed % 2**32)
    yield from splitter.split(label, label, sequence)


def log_loss(log_odds: NDArray[np.float64], label: NDArray[np.bool_]) -> float:
    """Mean of -log(probability of what was the case)."""
    return float(np.logaddexp(0.0, np.where(label, -log_odds, log_odds)).mean())
