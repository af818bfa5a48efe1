"""Boosted trees kept as plain JSON and evaluated by numpy; :mod:`slewguard.train.forest` fits them.

The evaluation gives the same float64 scores as scikit-learn's, to the bit: the same comparisons, and the leaves added
in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.export.features import FEATURES

LEAF = -1
"""Feature of a node that compares none."""
_LARGEST = 100_000  # nodes of a tree


@dataclass(frozen=True, eq=False)
class Tree:
    """One tree, its nodes in an order in which children follow their parent.

    Parameters
    ----------
    feature : int32 array [M]
        Column compared, or -1 at a leaf.
    threshold : float64 array [M]
        To the left where the feature is at most this; 0 at a leaf.
    left, right : int32 arrays [M]
        Children; 0 at a leaf.
    value : float64 array [M]
        Of a leaf; 0 elsewhere.
    """

    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float64]

    def leaves(self, measured: NDArray[np.float64]) -> NDArray[np.float64]:
        """Value of the leaf that each alert falls into, float64 [N]."""
        node = np.zeros(len(measured), dtype=np.int32)
        open_ = np.flatnonzero(self.feature[node] != LEAF)
        while len(open_):
            at = node[open_]
            goes_left = measured[open_, self.feature[at]] <= self.threshold[at]
            node[open_] = np.where(goes_left, self.left[at], self.right[at])
            open_ = open_[self.feature[node[open_]] != LEAF]
        return self.value[node]

    def content(self) -> dict[str, list[Any]]:
        """What its file holds."""
        return {name: values.tolist() for name, values in vars(self).items()}

    @classmethod
    def of(cls, content: dict[str, Any], n_features: int) -> Tree:
        """Read what :meth:`content` gave.

        Raises
        ------
        ValueError
            If it is something else, or a tree that does not end.
        """
        feature, left, right = (_whole(content[name]) for name in ("feature", "left", "right"))
        threshold, value = (np.array(content[name], dtype=np.float64) for name in ("threshold", "value"))
        n = len(feature)
        if not 1 <= n <= _LARGEST or any(a.shape != (n,) for a in (left, right, threshold, value)):
            raise ValueError("a tree's lists differ in length")
        if not (np.isfinite(threshold).all() and np.isfinite(value).all()):
            raise ValueError("a tree holds what is not finite")
        split = feature != LEAF
        if (feature < LEAF).any() or (feature >= n_features).any():
            raise ValueError("a tree asks for a feature that there is not")
        for child in (left, right):
            if ((child <= np.arange(n)) | (child >= n))[split].any():
                raise ValueError("a tree's child does not follow its parent")
        return cls(feature, threshold, left, right, value)


@dataclass(frozen=True, eq=False)
class Forest:
    """Boosted trees.

    Parameters
    ----------
    start : float
        Log-odds before the first tree.
    trees : tuple of Tree
        Added in this order.
    """

    start: float
    trees: tuple[Tree, ...]

    def score(self, measured: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log-odds, float64 [N], of features float64 [N, F], all finite."""
        total = np.full(len(measured), self.start)
        for tree in self.trees:
            total += tree.leaves(measured)
        return total

    def content(self) -> dict[str, Any]:
        """What its file holds."""
        return {"start": self.start, "trees": [tree.content() for tree in self.trees]}

    @classmethod
    def of(cls, content: dict[str, Any], n_features: int = len(FEATURES)) -> Forest:
        """Read what :meth:`content` gave.

        Raises
        ------
        ValueError
            If it is something else.
        """
        if not isinstance(content["start"], float) or not np.isfinite(content["start"]):
            raise ValueError("start is not a finite number")
        return cls(content["start"], tuple(Tree.of(tree, n_features) for tree in content["trees"]))


def _whole(values: Any) -> NDArray[np.int32]:
    if not all(type(v) is int for v in values):
        raise ValueError("a tree's numbers of nodes and features are not whole")
    return np.array(values, dtype=np.int32)
