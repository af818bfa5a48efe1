"""Evaluation of whatever training or export wrote, alone or beside another classifier on the same alerts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.subimages.contract import FALSE, TRUE, TriggerSet
from slewguard.subimages.errors import BadInput
from slewguard.subimages.verdict import Judgement, Verdict
from slewguard.train.calibrate import data_hash
from slewguard.train.metrics import draw_sequences, evaluate, measured, share, thresholds_shares
from slewguard.train.opened import Opened, open_classifier
from slewguard.train.pooled import Pool, Scored, better, differences, interval
from slewguard.train.reliability import Mapping, fit_mapping, reliability
from slewguard.train.strata import by_stratum

Judged = tuple[NDArray[Any], Judgement | None]
"""Scores, and verdicts where the classifier has thresholds."""


def evaluate_run(
    path: str | Path, triggers: TriggerSet, *, seed: int = 0, calibration: TriggerSet | None = None
) -> dict[str, Any]:
    """Measure a trained classifier on a labelled trigger set.

    Parameters
    ----------
    path : path-like
        Whatever :func:`slewguard.train.opened.open_classifier` takes.
    triggers : TriggerSet
        With labels.
    seed : int
        Of the bootstrap.
    calibration : TriggerSet, optional
        Other labelled alerts, to fit on how scores become probabilities; without, they are taken as trained.

    Returns
    -------
    dict
        Figures of :func:`slewguard.train.metrics.evaluate`; ``model`` (``name``, ``sha256``, ``certificate``);
        ``strata`` of :func:`slewguard.train.strata.by_stratum`; ``reliability`` of
        :func:`slewguard.train.reliability.reliability`, None where scores are no log-odds.

    Raises
    ------
    BadInput
        If there is no classifier at ``path``, no labels, or the calibration alerts are the ones to judge.
    """
    classifier = open_classifier(path)
    return evaluate_judged(classifier, classifier.judge(triggers), triggers, seed=seed, calibration=calibration)


def evaluate_judged(
    classifier: Opened,
    judged: Judged,
    triggers: TriggerSet,
    *,
    seed: int = 0,
    calibration: TriggerSet | None = None,
) -> dict[str, Any]:
    """Figures of :func:`evaluate_run` for a classifier that is open and has judged the alerts."""
    score, judgement = judged
    found = measured(score, triggers, judgement)
    mapping = mapping_of(classifier, triggers, calibration)
    probability = None if mapping is None else mapping.probability(score[found.index])
    return {
        "model": classifier.about(),
        **evaluate(score, triggers, judgement, seed=seed),
        "strata": by_stratum(found, triggers),
        "reliability": None
        if mapping is None or probability is None
        else reliability(probability, found.label, found.sequence, mapping, seed),
    }


def mapping_of(classifier: Opened, triggers: TriggerSet, calibration: TriggerSet | None) -> Mapping | None:
    """How scores become probabilities: fitted on calibration alerts, else as trained; None where neither is known.

    Raises
    ------
    BadInput
        If the calibration alerts are those to judge, or a class is missing among them.
    """
    if calibration is None:
        if classifier.unit is None:
            return None
        return Mapping(classifier.unit, 0.0, "as trained: log-odds with both classes weighing the same")
    if data_hash(calibration) == data_hash(triggers):
        raise BadInput("probabilities must not be fitted on the alerts that are judged")
    known = calibration.select(np.isin(calibration.label, (TRUE, FALSE)) & (calibration.rejected == 0))
    if not len(known):
        raise BadInput("calibration set holds no alert labelled true or false")
    score, _ = classifier.judge(known)
    source = f"fitted on {len(known)} calibration alerts, SHA-256 {data_hash(calibration)}"
    return fit_mapping(score, known.label, source)


def compare_runs(path: str | Path, other: str | Path, triggers: TriggerSet, *, seed: int = 0) -> dict[str, Any]:
    """Compare two classifiers on the same labelled alerts, by a paired bootstrap over sequences.

    Parameters
    ----------
    path, other : path-like
        Whatever :func:`slewguard.train.opened.open_classifier` takes; a run's ``float.safetensors`` among them.
    triggers : TriggerSet
        With labels; unclear alerts are left out, and so are sub-images that break the contract, which no score tells.
    seed : int

    Returns
    -------
    dict
        ``ours``, ``other`` (``name``, ``sha256``, ``certificate``); ``differences``, ours less other, of accuracy, area
        under the curve and rejection at retention, each ``{"value", "lo", "hi", "n", "better"}``; ``at_thresholds``,
        the same of retention of bursts and rejection where both have thresholds, else None; ``figures`` of both.

    Raises
    ------
    BadInput
        If there is no classifier at either place, or no labels.
    """
    known = triggers.select(np.isin(triggers.label, (TRUE, FALSE)) & (triggers.rejected == 0))
    if not len(known):
        raise BadInput("trigger set holds no alert labelled true or false")
    opened = [open_classifier(one) for one in (path, other)]
    # Judged with the rest: the verdicts are those of whole sequences: the unclear looks feed the running statistic.
    judged = [classifier.judge(triggers) for classifier in opened]
    chosen = np.flatnonzero(np.isin(triggers.label, (TRUE, FALSE)) & (triggers.rejected == 0))
    pools = [Pool([_scored(score[chosen], known)]) for score, _ in judged]
    draws = [pool.draws(seed) for pool in pools]
    return {
        "ours": opened[0].about(),
        "other": opened[1].about(),
        "n_true": int((known.label == TRUE).sum()),
        "n_false": int((known.label == FALSE).sum()),
        "sequences": pools[0].sequences,
        "figures": {name: pool.figures_or_none() for name, pool in zip(("ours", "other"), pools, strict=True)},
        "differences": differences(pools[0], draws[0], pools[1], draws[1]),
        "at_thresholds": _at_thresholds(judged, triggers, seed),
    }


def _scored(score: NDArray[Any], triggers: TriggerSet) -> Scored:
    return Scored(np.asarray(score), triggers.label == TRUE, triggers.sequence, triggers.cause)


def _at_thresholds(judged: list[Judged], triggers: TriggerSet, seed: int) -> dict[str, Any] | None:
    ours, other = (measured(score, triggers, judgement) for score, judgement in judged)
    if ours.verdict is None or other.verdict is None:
        return None
    vetoed = [np.equal(verdict, Verdict.VETO).astype(np.float64) for verdict in (ours.verdict, other.verdict)]
    _, member = np.unique(ours.sequence, return_inverse=True)
    groups = {"retention_bursts": ours.burst, "retention_outbursts": ours.outburst, "rejection": ours.false}
    more = {name: (vetoed[0] - vetoed[1]) * (1 if name == "rejection" else -1) for name in groups}
    found: dict[str, list[float]] = {name: [] for name in groups}
    for times in draw_sequences(member, ours.true, seed):
        weight = times[member]
        for name, group in groups.items():
            drawn = weight[group].sum()
            found[name].append(float(weight[group] @ more[name][group] / drawn) if drawn else np.nan)
    result: dict[str, Any] = {
        "ours": thresholds_shares(ours),
        "other": thresholds_shares(other),
        "verdicts_that_differ": share(int((ours.verdict != other.verdict).sum()), len(member), int(member.max()) + 1),
    }
    for name, group in groups.items():
        value = float(more[name][group].mean()) if group.any() else np.nan
        figure = interval(value, np.array(found[name]), int(group.sum()))
        result[name] = {**figure, "better": better(figure)}
    return result
