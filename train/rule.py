"""The rule that a person would write down: a peak well above noise and second peak, away from known sources."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.export.features import FEATURES

_RATIO, _SECOND, _DISTANCE = (
    list(FEATURES).index(name) for name in ("peak_over_std", "second_ratio", "source_distance")
)
_SECONDS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, np.inf)
_DISTANCES = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0)


@dataclass(frozen=True)
class Rule:
    """True where the peak exceeds the local noise, no second peak is as high, and no known source is near.

    Parameters
    ----------
    ratio : float
        Least peak over local standard deviation.
    second : float or None
        Largest second peak over peak; None for no such condition.
    distance : float
        Least distance to a known source, px; 0 for no such condition.
    """

    ratio: float
    second: float | None
    distance: float

    def score(self, measured: NDArray[np.float64]) -> NDArray[np.float64]:
        """Score, float64 [N], at least 0 where the rule says true.

        Peak over noise, p, as p / (1 + p) against its threshold; whoever fails the other conditions ranks below all
        who pass them.

        Parameters
        ----------
        measured : float64 array [N, F]
            Columns in the order of :data:`slewguard.export.features.FEATURES`.
        """
        margin = _squash(measured[:, _RATIO]) - _squash(np.float64(self.ratio))
        passed = measured[:, _DISTANCE] >= self.distance
        if self.second is not None:
            passed &= measured[:, _SECOND] <= self.second
        # Margins span less than 1.
        return np.where(passed, margin, margin - 1.0)

    def content(self) -> dict[str, Any]:
        """What its file holds."""
        return asdict(self)

    @classmethod
    def of(cls, content: dict[str, Any]) -> Rule:
        """Read what :meth:`content` gave.

        Raises
        ------
        ValueError
            If it is something else.
        """
        ratio, second, distance = (content[name] for name in ("ratio", "second", "distance"))
        numbers = [ratio, distance] + ([] if second is None else [second])
        if not all(isinstance(n, float) and np.isfinite(n) for n in numbers) or ratio < 0:
            raise ValueError("thresholds are not finite numbers")
        return cls(ratio, second, distance)


def fit_rule(measured: NDArray[np.float64], label: NDArray[np.bool_]) -> Rule:
    """Choose the three thresholds that classify most training alerts rightly.

    Parameters
    ----------
    measured : float64 array [N, F]
    label : bool array [N]
    """
    p = measured[:, _RATIO]
    order = np.argsort(p, kind="stable")
    # A cut between two neighbours: everything from the next one on is called true.
    values = p[order]
    apart = np.flatnonzero(np.diff(values) > 0)
    cuts = np.concatenate([[0.0], (values[apart] + values[apart + 1]) / 2])
    first = np.concatenate([[0], apart + 1])
    best, found = -1, Rule(0.0, None, 0.0)
    for distance in _DISTANCES:
        for second in _SECONDS:
            passed = (measured[:, _DISTANCE] >= distance) & (measured[:, _SECOND] <= second)
            gain = np.where(passed & label, 1, 0) - np.where(passed & ~label, 1, 0)
            above = np.cumsum(gain[order][::-1])[::-1]
            right = above[first] + (~label).sum()
            i = int(np.argmax(right))
            if right[i] > best:
                best = int(right[i])
                found = Rule(float(cuts[i]), float(second) if np.isfinite(second) else None, distance)
    return found


def _squash(p: NDArray[np.float64] | np.float64) -> Any:
    return p / (1.0 + p)
