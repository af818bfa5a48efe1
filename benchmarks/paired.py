"""Classifiers trained several times, compared on the same alerts: means over the trainings, and paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.train.pooled import FIGURES, Pool, interval


def compare(classifiers: Mapping[str, Sequence[Pool]], reference: str, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Measure classifiers and what each has more or less than one of them.

    Parameters
    ----------
    classifiers : mapping of str to pools
        One pool a training, all of the same alerts in the same splits.
    reference : str
        The one that the others are compared with.
    seed : int
        Of the bootstrap, whose draws all share.

    Returns
    -------
    dict
        For each classifier the figures of :data:`~slewguard.train.pooled.FIGURES`, each ``{"value", "lo", "hi", "n",
        "of_trainings"}``, ``value`` the mean over the trainings or None where it is not defined; and
        ``minus_reference`` with the same keys. Intervals hold for the alerts drawn and these trainings.

    Raises
    ------
    ValueError
        If the pools do not hold the same alerts.
    """
    first = classifiers[reference][0]
    for pool in (pool for pools in classifiers.values() for pool in pools):
        if not (np.array_equal(pool.sequence, first.sequence) and np.array_equal(pool.label, first.label)):
            raise ValueError("classifiers to compare were not tested on the same alerts")
    draws = {name: _mean([pool.draws(seed) for pool in pools]) for name, pools in classifiers.items()}
    values = {name: [pool.figures() for pool in pools] for name, pools in classifiers.items()}
    result: dict[str, dict[str, Any]] = {}
    for name, found in values.items():
        own: dict[str, Any] = {}
        difference: dict[str, Any] = {}
        for figure in FIGURES:
            each = [one[figure] for one in found]
            less = np.mean([one[figure] for one in values[reference]])
            own[figure] = {
                **interval(float(np.mean(each)), draws[name][figure], len(first.label)),
                "of_trainings": [value if np.isfinite(value) else None for value in each],
            }
            spread = draws[name][figure] - draws[reference][figure]
            difference[figure] = interval(float(np.mean(each) - less), spread, len(first.label))
        result[name] = {**own, "minus_reference": difference}
    return result


def _mean(of: Sequence[Mapping[str, NDArray[np.float64]]]) -> dict[str, NDArray[np.float64]]:
    return {figure: np.mean([one[figure] for one in of], axis=0) for figure in FIGURES}
