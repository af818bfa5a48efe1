"""Pictures of an evaluation: the worst mistakes, the receiver operating characteristic, the confusion matrix."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.subimages.atomic import atomic_folder
from slewguard.subimages.contract import TriggerSet
from slewguard.subimages.draw import draw_subimage, new_figure, save_figure
from slewguard.subimages.verdict import Judgement, Verdict
from slewguard.train.metrics import Measured, measured
from slewguard.train.runs import write_json

INDEX = "mistakes.json"
WORST = 12
_KINDS = ("burst", "outburst", "false")
_OURS = re.compile(rf"roc\.png|confusion\.png|({'|'.join(_KINDS)})_\d\d\.png")


def write_pictures(
    folder: str | Path, score: NDArray[Any], triggers: TriggerSet, judgement: Judgement | None, name: str
) -> Path:
    """Draw how a classifier does on a labelled trigger set, and where it fails worst.

    The bursts and the outbursts that score lowest, and the false alerts that score highest, one alert a sequence, each
    called wrongly: on the wrong side of 0, or vetoed, or confirmed.

    Parameters
    ----------
    folder : path-like
        Written whole or not at all; one that this function wrote before is replaced.
    score : array [N]
        Higher for true, at least 0 where the classifier says true.
    triggers : TriggerSet
    judgement : Judgement, optional
    name : str
        Of the classifier, for the headlines.

    Returns
    -------
    Path
        The folder, with ``mistakes.json``, ``roc.png``, ``confusion.png`` and one picture a mistake.

    Raises
    ------
    BadInput
        If matplotlib is not installed, there are no labels, or the folder cannot be written.
    """
    found = measured(score, triggers, judgement)
    # What breaks the contract is not judged by its score, and cannot be drawn.
    found = found.select(triggers.rejected[found.index] == 0)
    place = Path(folder)
    with atomic_folder(place, marker=INDEX, ours=_OURS.fullmatch) as beside:
        _draw_roc(found, name, beside / "roc.png")
        _draw_confusion(found, np.asarray(score)[found.index] >= 0, name, beside / "confusion.png")
        rows = []
        for kind in _KINDS:
            for i, at in enumerate(worst(found, np.asarray(score)[found.index], kind), 1):
                alert = int(found.index[at])
                file = f"{kind}_{i:02d}.png"
                verdict = None if found.verdict is None else Verdict(int(found.verdict[at])).name.lower()
                line = f"alert {alert}, score {_number(score[alert])}" + (f", verdict {verdict}" if verdict else "")
                title = f"{'false alert' if kind == 'false' else kind} ({found.cause[at] or 'no cause stated'})"
                draw_subimage(triggers[alert], beside / file, title=title, verdict_line=line)
                row = {"file": file, "alert": alert, "sequence": int(found.sequence[at]), "cause": str(found.cause[at])}
                rows.append({**row, "score": float(score[alert]), "verdict": verdict})
        write_json(beside / INDEX, {"classifier": name, "mistakes": rows})
    return place


def worst(found: Measured, score: NDArray[Any], kind: str) -> NDArray[np.intp]:
    """Which alerts of a kind were called wrongly, worst first, at most one of a sequence and :data:`WORST` in all.

    Parameters
    ----------
    found : Measured
    score : array [N]
        Of the measured alerts.
    kind : str
        ``burst``, ``outburst`` or ``false``.
    """
    false = kind == "false"
    group = {"burst": found.burst, "outburst": found.outburst & found.true, "false": found.false}[kind]
    wrong = score >= 0 if false else score < 0
    if found.verdict is not None:
        wrong = wrong | (found.verdict == (Verdict.CONFIRM if false else Verdict.VETO))
    chosen = np.flatnonzero(group & wrong)
    chosen = chosen[np.argsort(-score[chosen] if false else score[chosen], kind="stable")]
    _, first = np.unique(found.sequence[chosen], return_index=True)
    return np.asarray(chosen[np.sort(first)][:WORST])


def _number(value: Any) -> str:
    return str(int(value)) if float(value).is_integer() else f"{float(value):.2f}"


def _draw_roc(found: Measured, name: str, path: Path) -> None:
    figure = new_figure(path, (5.6, 5.2))
    axes = figure.add_subplot()
    bins = int(found.rank.max()) + 2
    false = np.cumsum(np.bincount(found.rank[found.false], minlength=bins)) / max(found.false.sum(), 1)
    groups = {"bursts": found.burst, "outbursts": found.outburst & found.true, "all true alerts": found.true}
    for text, group in groups.items():
        if group.any():
            lost = np.cumsum(np.bincount(found.rank[group], minlength=bins)) / group.sum()
            axes.step([0.0, *false], [1.0, *(1 - lost)], where="post", label=f"{text} ({group.sum()})")
    axes.set(xlabel=f"rejection (of {found.false.sum()} false alerts)", ylabel="retention", title=name)
    axes.set(xlim=(0, 1.005), ylim=(0, 1.005))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    save_figure(figure, path)


def _draw_confusion(found: Measured, called_true: NDArray[np.bool_], name: str, path: Path) -> None:
    groups = {"burst": found.burst, "outburst": found.outburst & found.true, "false": found.false}
    if found.verdict is None:
        answers = {"called true": called_true, "called false": ~called_true}
    else:
        answers = {verdict.name.lower(): found.verdict == verdict for verdict in Verdict}
    count = np.array([[int((group & answer).sum()) for answer in answers.values()] for group in groups.values()])
    share = count / np.maximum(count.sum(axis=1, keepdims=True), 1)
    figure = new_figure(path, (1.8 + 1.5 * len(answers), 3.6))
    axes = figure.add_subplot()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row in range(len(groups)):
        for column in range(len(answers)):
            text = f"{count[row, column]:,}\n{100 * share[row, column]:.1f} %"
            axes.text(
                column, row, text, ha="center", va="center", color="white" if share[row, column] > 0.6 else "black"
            )
    axes.set_xticks(range(len(answers)), list(answers))
    axes.set_yticks(range(len(groups)), list(groups))
    axes.set_title(name, fontsize=10)
    figure.tight_layout()
    save_figure(figure, path)
