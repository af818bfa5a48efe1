"""Scores as probabilities: how reliable they are.

A flight network or a baseline is trained to give log-odds, with both classes weighing the same. That is one mapping
("as trained"). With labelled calibration alerts another can be fitted, of two parameters (Platt, Advances in Large
Margin Classifiers, 61, 1999): log-odds = slope * score + offset, which takes up how rare true alerts are there. It is
never fitted on the alerts that are then judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.subimages.errors import BadInput
from slewguard.train.metrics import CONFIDENCE, clustered, draw_sequences

_BINS = 10


@dataclass(frozen=True)
class Mapping:
    """From a score to the probability that an alert is true.

    Parameters
    ----------
    slope, offset : float
        Log-odds = slope * score + offset.
    source : str
        Where the two come from.
    """

    slope: float
    offset: float
    source: str

    def probability(self, score: NDArray[Any]) -> NDArray[np.float64]:
        """Probability of each score, float64 [N]."""
        log_odds = self.slope * np.asarray(score, dtype=np.float64) + self.offset
        # Beyond 40 the probability is 0 or 1 in double precision, and the exponential stays finite.
        return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -40, 40))))


def fit_mapping(score: NDArray[Any], label: NDArray[Any], source: str) -> Mapping:
    """Fit slope and offset on calibration alerts.

    Parameters
    ----------
    score : array [N]
    label : array [N]
        1 true, 0 false.
    source : str
        Said of the mapping.

    Raises
    ------
    BadInput
        If a class is missing.
    """
    from scipy.optimize import minimize

    true = np.asarray(label) == 1
    n_true, n_false = int(true.sum()), int((~true).sum())
    if not n_true or not n_false:
        raise BadInput(f"{n_true} true and {n_false} false alerts: probabilities need both kinds")
    x = np.asarray(score, dtype=np.float64)
    middle, spread = float(x.mean()), float(x.std()) or 1.0
    x = (x - middle) / spread
    # Platt's targets: with classes apart, certainty stays finite.
    target = np.where(true, (n_true + 1) / (n_true + 2), 1 / (n_false + 2))

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        log_odds = parameters[0] * x + parameters[1]
        residual = 1 / (1 + np.exp(-np.clip(log_odds, -40, 40))) - target
        value = float((np.logaddexp(0, log_odds) - target * log_odds).mean())
        return value, np.array([(residual * x).mean(), residual.mean()])

    slope, offset = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS").x
    return Mapping(float(slope / spread), float(offset - slope * middle / spread), source)


def reliability(
    probability: NDArray[np.float64], label: NDArray[Any], sequence: NDArray[np.int64], mapping: Mapping, seed: int = 0
) -> dict[str, Any]:
    """Calibration curve and Brier score.

    Parameters
    ----------
    probability : float64 array [N]
    label : array [N]
        1 true, 0 false.
    sequence : int64 array [N]
    mapping : Mapping
        What made the probabilities; it is told.
    seed : int
        Of the bootstrap over sequences.

    Returns
    -------
    dict
        ``mapping`` (``slope``, ``offset``, ``source``); ``brier`` ``{"value", "lo", "hi", "n"}``, the mean squared
        difference between probability and label; ``bins``: of each tenth of the probabilities that holds alerts
        ``lo``, ``hi``, ``mean_probability`` and ``true``, the share of true alerts with its interval.
    """
    true = np.asarray(label) == 1
    square = (probability - true) ** 2
    _, member = np.unique(sequence, return_inverse=True)
    total, count = np.bincount(member, weights=square), np.bincount(member)
    draws = [times @ total / (times @ count) for times in draw_sequences(member, true, seed)]
    tail = (1 - CONFIDENCE) / 2
    lo, hi = np.quantile(draws, [tail, 1 - tail])
    place = np.minimum((probability * _BINS).astype(int), _BINS - 1)
    bins = []
    for i in np.unique(place):
        group = place == i
        bins.append(
            {
                "lo": int(i) / _BINS,
                "hi": (int(i) + 1) / _BINS,
                "mean_probability": float(probability[group].mean()),
                "true": clustered(true[group], sequence[group]),
            }
        )
    return {
        "mapping": {"slope": mapping.slope, "offset": mapping.offset, "source": mapping.source},
        "brier": {"value": float(square.mean()), "lo": float(lo), "hi": float(hi), "n": len(true)},
        "bins": bins,
    }
