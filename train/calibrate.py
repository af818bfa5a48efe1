"""Thresholds with a certificate, from labelled alerts that no network was trained on.

**Veto.** The unit is the sequence: a burst is lost as soon as one of the alerts on it is vetoed, so its score is the
lowest running statistic of the sequence rule (:mod:`slewguard.export.sequence`) over its true alerts and the unclear
ones beside them, which may be looks at it. At its alerts that are labelled false a veto is no loss: those point
elsewhere, or an artefact made them. Of n burst sequences let t be the r-th lowest
score and veto what lies below t. The share of the population below t is then at most Beta(r, n - r + 1) distributed,
whatever the scores' distribution; the largest r for which this stays under the level with the stated confidence is
taken (order statistics: Wilks, Ann. Math. Stat. 12, 91, 1941; as a classifier: Tong, Feng & Li, Science Advances 4,
eaao1659, 2018). At 1 % and 95 % the first r needs 299 sequences. With fewer nothing is certified and nothing is
vetoed; nor is it where the set does not state which alerts belong to one event, since n is then not known.

**Confirm.** The mirrored rule on sequences without a true alert, whose score is the highest statistic at a false one.
A wrong confirmation costs what happens today, a false slew; its level is therefore coarser.

**Sanity limits and the out-of-distribution rule.** What the labelled calibration alerts span, with a margin: alerts
beyond it are unlike anything the thresholds were set on.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.export.familiar import Familiar, span
from slewguard.export.planes import Q_MAX
from slewguard.export.sequence import SequenceRule, lowest_statistic, running
from slewguard.export.verdict import VerdictRule
from slewguard.subimages.contract import (
    BURST_CAUSES,
    CENTRE,
    FALSE,
    FALSE_CAUSES,
    SIDE,
    TRUE,
    TRUE_CAUSES,
    UNCLEAR,
    TriggerSet,
)
from slewguard.subimages.errors import BadInput
from slewguard.subimages.places import places
from slewguard.train.metrics import is_burst

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Levels:
    """What the thresholds promise.

    Parameters
    ----------
    veto : float
        Largest share of burst sequences vetoed.
    confirm : float
        Largest share of false sequences confirmed.
    margin : float
        Relative margin of the sanity limits and of the out-of-distribution rule.
    """

    veto: float = 0.01
    confirm: float = 0.05
    margin: float = 0.1

    def __post_init__(self) -> None:
        if not (0 < self.veto < 1 and 0 < self.confirm < 1 and 0 <= self.margin < 1):
            raise ValueError("levels lie between 0 and 1, the margin from 0 to 1")


def order_rank(n: int, level: float, confidence: float = CONFIDENCE) -> int:
    """Largest r for which the r-th lowest of n cuts off at most ``level``, with ``confidence``; 0 if none does.

    Parameters
    ----------
    n : int
        Independent draws.
    level : float
        Share of the population that may lie below.
    confidence : float
        One-sided, over the draw of the n.
    """
    from scipy.special import betainc

    rank = np.arange(1, n + 1)
    # P(Beta(r, n - r + 1) <= level) falls with r.
    return int((betainc(rank, n - rank + 1, level) >= confidence).sum())


def calibrate(
    score: NDArray[np.int8],
    planes: NDArray[np.int8],
    triggers: TriggerSet,
    levels: Levels | None = None,
) -> tuple[VerdictRule, dict[str, Any]]:
    """Set thresholds, sanity limits and the out-of-distribution rule.

    Parameters
    ----------
    score : int8 array [N]
        The network's scores of the alerts.
    planes : int8 array [N, 3, 56, 56]
        Their planes.
    triggers : TriggerSet
        The alerts, labelled, none of which the network was trained on; with the unclear ones, which may be looks
        at a burst. Those of a sequence stand in order of time.
    levels : Levels, optional

    Returns
    -------
    rule : VerdictRule
    certificate : dict
        Population, n, rank, level and one-sided confidence of both thresholds. Where ``certified`` is false
        there were too few sequences or none was stated, and the threshold is one that no score passes.

    Raises
    ------
    BadInput
        If there are no labels, no alerts labelled true or false, or a label contradicts its cause.
    """
    levels = levels or Levels()
    if not len(triggers):
        raise BadInput("calibration set is empty")
    check_causes(triggers)
    labelled = triggers.label != UNCLEAR
    if not labelled.any():
        raise BadInput("calibration set holds no alert labelled true or false")
    limits = VerdictRule(
        **_limits(planes[labelled], levels.margin),
        familiar=span(planes[labelled], Familiar().level, levels.margin),
        sequence=SequenceRule(),
    )
    usable = ~limits.outside_limits(planes) & (triggers.rejected == 0)
    burst = burst_statistics(score, triggers, usable, limits.first_look)
    alone = ~np.isin(triggers.sequence, triggers.sequence[triggers.label == TRUE])
    false = _highest_statistic(score, triggers, usable, (triggers.label == FALSE) & alone)
    stated = "sequence" in triggers.columns
    veto = _statement("burst sequences with an alert on the burst vetoed", len(burst), levels.veto, stated)
    confirm = _statement("false sequences with a false alert confirmed", len(false), levels.confirm, stated)
    t_veto = int(veto_thresholds(burst, levels.veto)) if veto["certified"] else -128
    t_confirm = int(np.sort(false)[len(false) - confirm["rank"]]) if confirm["certified"] else 127
    # Where the classes lie so far apart that the thresholds cross, fewer are confirmed: never more vetoed.
    t_confirm = max(t_confirm, t_veto - 1)
    rule = replace(limits, t_veto=t_veto, t_confirm=t_confirm)
    certificate = {
        "population": {
            "data_sha256": data_hash(triggers),
            "simulated": triggers.simulated,
            "alerts": len(triggers),
            "sequences": "stated" if stated else "not stated: each alert counted as one",
            "causes": [
                *BURST_CAUSES,
                *["not stated"] * bool(np.isin(triggers.cause[is_burst(triggers)], ("", "unclear")).any()),
            ],
            "exclusions": [
                "outbursts of known sources",
                "sequences with no alert labelled true",
                "alerts of a burst's sequence labelled false: they point elsewhere or an artefact made them",
                "of the sequences to confirm, those that hold a true alert",
            ],
            "score_of_a_sequence": "running statistic of the sequence rule, lowest over the looks that could be vetoed",
        },
        "veto": veto,
        "confirm": confirm,
    }
    return rule, certificate


def burst_statistics(
    score: NDArray[np.int8], triggers: TriggerSet, usable: NDArray[np.bool_], first_look: int
) -> NDArray[np.int64]:
    """Calibration score of every burst sequence: its lowest running statistic over the looks at the burst.

    Parameters
    ----------
    score : int8 array [N]
    triggers : TriggerSet
        With labels.
    usable : bool array [N]
        Looks that a verdict other than ``abstain`` may come from.
    first_look : int
        As of :class:`~slewguard.export.sequence.SequenceRule`.

    Returns
    -------
    int64 array [M]
        In order of the sequences' numbers.
    """
    looks = is_burst(triggers)
    looks |= (triggers.label == UNCLEAR) & np.isin(triggers.sequence, triggers.sequence[looks])
    return lowest_statistic(score, triggers.sequence, usable, looks, first_look, places(triggers))


def veto_thresholds(scores: NDArray[Any], level: float) -> NDArray[Any]:
    """Certified veto thresholds of calibration sets of one size: veto what scores lower.

    Parameters
    ----------
    scores : array [..., n]
        One calibration score a burst sequence.
    level : float
        Largest share of burst sequences vetoed, at :data:`CONFIDENCE`.

    Returns
    -------
    array [...]
        The order statistic of rank :func:`order_rank`.

    Raises
    ------
    ValueError
        If n certifies nothing.
    """
    rank = order_rank(scores.shape[-1], level)
    if not rank:
        raise ValueError(f"{scores.shape[-1]} sequences certify nothing at {level}")
    return np.asarray(np.partition(scores, rank - 1, axis=-1)[..., rank - 1])


def check_causes(triggers: TriggerSet) -> None:
    """Refuse labels that contradict the causes: one of the two would put a burst outside the certificate.

    Raises
    ------
    BadInput
        If an alert labelled true has a false cause, or one labelled false a true cause; or if there are no labels.
    """
    label, cause = triggers.label, triggers.cause
    wrong = (label == TRUE) & np.isin(cause, FALSE_CAUSES) | (label == FALSE) & np.isin(cause, TRUE_CAUSES)
    if wrong.any():
        i = int(np.argmax(wrong))
        word = "true" if label[i] == TRUE else "false"
        raise BadInput(f"{int(wrong.sum())} labels contradict their causes, first alert {i}: {word}, but {cause[i]}")


def data_hash(triggers: TriggerSet) -> str:
    """SHA-256 over the sub-images, labels, causes, sequences and catalogue numbers of a trigger set."""
    digest = hashlib.sha256()
    columns = {name: triggers.columns.get(name) for name in ("label", "cause", "sequence", "catalogue_id")}
    for name, values in {"snr": triggers.snr, "mask": triggers.mask, **columns}.items():
        if values is not None:
            little = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False)
            digest.update(f"{name} {little.dtype.str} {little.shape}\n".encode())
            digest.update(little.tobytes())
    return digest.hexdigest()


def _highest_statistic(
    score: NDArray[np.int8], triggers: TriggerSet, usable: NDArray[np.bool_], counted: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Highest running statistic of each sequence with a counted look, over its usable ones; -128 without any."""
    names, member = np.unique(triggers.sequence[counted], return_inverse=True)
    _, maximum = running(score, places(triggers), usable)
    highest = np.full(len(names), -128, dtype=np.int64)
    could = usable[counted]
    np.maximum.at(highest, member[could], maximum[counted][could])
    return highest


def _statement(what: str, n: int, level: float, stated: bool) -> dict[str, Any]:
    rank = order_rank(n, level) if stated else 0
    need = int(np.ceil(np.log(1 - CONFIDENCE) / np.log1p(-level)))
    text = f"at most {100 * level:g} % of {what}, {100 * CONFIDENCE:g} % one-sided confidence"
    why = f"{n} sequences, {need} certify {text}" if stated else "no /sequence tells which alerts are of one event"
    return {
        "statement": text if rank else f"nothing: {why}",
        "certified": rank > 0,
        "n": n,
        "rank": rank,
        "allowed": max(rank - 1, 0),
        "level": level,
        "confidence": CONFIDENCE,
    }


def _limits(planes: NDArray[np.int8], margin: float) -> dict[str, int]:
    valid = (planes[:, 1] == 0).sum(axis=(1, 2)).min()
    trigger = planes[:, 0, CENTRE, CENTRE].min()
    saturated = (np.abs(planes[:, 0]) == Q_MAX).sum(axis=(1, 2)).max()
    return {
        "min_valid": int(np.floor(valid * (1 - margin))),
        "min_trigger": int(np.floor(trigger - margin * abs(int(trigger)))),
        # A few pixels more than none are a bright burst, not an odd image.
        "max_saturated": min(int(np.ceil(saturated * (1 + margin))) + 9, SIDE * SIDE),
    }
