"""Alerts that classifiers of every kind take for the other class: what no training on these labels can win.

Where a linear model and trees on named features and a network on the pixels agree against a label, either the label
is wrong or the sub-image does not hold what it rests on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.benchmarks.markdown import table
from slewguard.subimages import TriggerSet
from slewguard.subimages.contract import TRUE
from slewguard.train.pooled import Pool, Scored

KINDS = ("logistic", "trees", "flight")
SHARE = 0.1
"""An alert is taken for the other class where it stands on the wrong side of this share of it."""


def wrong_side(score: NDArray[np.float64], label: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share of the other class that each alert stands on the wrong side of, ties half: float [N]."""
    above = np.sign(score[None, :] - score[:, None])  # what stands above each alert, 1, or below, -1
    wrong = np.where(label[:, None], 1 + above, 1 - above) / 2
    return np.array([row[other].mean() for row, other in zip(wrong, label[None, :] != label[:, None], strict=True)])


def hardest(triggers: TriggerSet, tested: Mapping[str, Sequence[tuple[NDArray[np.intp], Scored]]]) -> dict[str, Any]:
    """Find the alerts, and measure the area under the curve without them.

    Parameters
    ----------
    triggers : TriggerSet
    tested : mapping of str to (indices of the alerts, their scores), one a split
        By classifier, :data:`KINDS` among them.
    """
    kinds = []
    for name in KINDS:
        total, times = np.zeros((2, len(triggers)))
        for index, scored in tested[name]:
            total[index] += wrong_side(scored.score, scored.label)
            times[index] += 1
        kinds.append(total / np.maximum(times, 1))
    chosen = (np.array(kinds) >= SHARE).all(axis=0)
    areas = {}
    for name, splits in tested.items():
        with_, without = (
            Pool([scored.select(kept[index]) for index, scored in splits]).figures()["auc"]
            for kept in (np.ones(len(triggers), dtype=bool), ~chosen)
        )
        areas[name] = {"auc": with_, "without": without}
    return {
        "share": SHARE,
        "alerts": np.flatnonzero(chosen).tolist(),
        "true": int((triggers.label[chosen] == TRUE).sum()),
        "causes": dict(Counter(triggers.cause[chosen].tolist())),
        "areas": areas,
    }


def render(found: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """Markdown of what :func:`hardest` found."""
    causes = ", ".join(f"{n} {cause}" for cause, n in found["causes"].items())
    text = (
        f"Alerts that logistic regression, trees and the flight net all take for the other class (on the wrong side of "
        f"a tenth of it or more): {len(found['alerts'])}, of which {found['true']} true; {causes}. "
        "Area under the curve with and without them:"
    )
    rows = [[titles[name], f"{one['auc']:.4f}", f"{one['without']:.4f}"] for name, one in found["areas"].items()]
    return f"{text}\n\n{table(['classifier', 'all', 'without'], rows)}"
