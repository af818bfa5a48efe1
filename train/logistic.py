"""Logistic regression on the named features: fitted by scikit-learn, kept and evaluated as plain numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.export.features import FEATURES
from slewguard.train.folds import folds, log_loss

_STRENGTHS = (0.01, 0.1, 1.0, 10.0)


@dataclass(frozen=True, eq=False)
class Logistic:
    """A linear score of the standardised features.

    Parameters
    ----------
    centre, scale : float64 arrays [F]
        Standardised is asinh((x - centre) / scale): a bright source must not outweigh all else.
    weight : float64 array [F]
    bias : float
    """

    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    weight: NDArray[np.float64]
    bias: float

    def score(self, measured: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log-odds, float64 [N], of features float64 [N, F]."""
        return standardise(measured, self.centre, self.scale) @ self.weight + self.bias

    def content(self) -> dict[str, Any]:
        """What its file holds."""
        arrays = {"centre": self.centre, "scale": self.scale, "weight": self.weight}
        return {**{name: values.tolist() for name, values in arrays.items()}, "bias": self.bias}

    @classmethod
    def of(cls, content: dict[str, Any]) -> Logistic:
        """Read what :meth:`content` gave.

        Raises
        ------
        ValueError
            If it is something else.
        """
        arrays = [np.array(content[name], dtype=np.float64) for name in ("centre", "scale", "weight")]
        if any(a.shape != (len(FEATURES),) or not np.isfinite(a).all() for a in arrays) or (arrays[1] <= 0).any():
            raise ValueError(f"expected {len(FEATURES)} finite numbers, the scales above 0")
        if not isinstance(content["bias"], float) or not np.isfinite(content["bias"]):
            raise ValueError("bias is not a finite number")
        return cls(arrays[0], arrays[1], arrays[2], content["bias"])


def standardise(
    measured: NDArray[np.float64], centre: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """asinh((x - centre) / scale) of each feature, float64 [N, F]."""
    found: NDArray[np.float64] = np.arcsinh((measured - centre) / scale)
    return found


def fit_logistic(
    measured: NDArray[np.float64], label: NDArray[np.bool_], sequence: NDArray[np.int64], seed: int
) -> Logistic:
    """Fit with an L2 penalty whose strength is chosen by cross-validation by sequence.

    Parameters
    ----------
    measured : float64 array [N, F]
    label : bool array [N]
    sequence : int64 array [N]
    seed : int
        Of the folds.

    Raises
    ------
    BadInput
        If there are too few sequences for folds.
    """
    parts = list(folds(label, sequence, seed))
    losses = []
    for strength in _STRENGTHS:
        score = np.empty(len(label))
        for fit, judge in parts:
            score[judge] = _fit(measured[fit], label[fit], strength).score(measured[judge])
        losses.append(log_loss(score, label))
    return _fit(measured, label, _STRENGTHS[int(np.argmin(losses))])


def _fit(measured: NDArray[np.float64], label: NDArray[np.bool_], strength: float) -> Logistic:
    from sklearn.linear_model import LogisticRegression

    centre, spread = measured.mean(axis=0), measured.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    fitted = LogisticRegression(C=strength, max_iter=5000).fit(standardise(measured, centre, scale), label)
    return Logistic(centre, scale, fitted.coef_[0].astype(np.float64), float(fitted.intercept_[0]))
