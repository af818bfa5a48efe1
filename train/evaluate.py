"""Evaluation of whatever training or export wrote: a run folder, a flight package, a ``model.json``, a baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slewguard.export.execute import NumpyClassifier
from slewguard.export.package import open_model
from slewguard.subimages.contract import TriggerSet
from slewguard.train.baseline import FILE, load_baseline
from slewguard.train.metrics import evaluate


def evaluate_run(path: str | Path, triggers: TriggerSet, *, seed: int = 0) -> dict[str, Any]:
    """Measure a trained classifier on a labelled trigger set.

    Parameters
    ----------
    path : path-like
        A baseline's run folder, or whatever :func:`slewguard.export.package.open_model` takes.
    triggers : TriggerSet
        With labels.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        Figures of :func:`slewguard.train.metrics.evaluate`, and ``model`` (``name``, ``sha256``,
        ``certificate``).

    Raises
    ------
    BadInput
        If there is no classifier at ``path``, or no labels.
    """
    if (Path(path) / FILE).is_file():
        baseline = load_baseline(path)
        about = {"name": baseline.name, "sha256": baseline.sha256, "certificate": None}
        return {"model": about, **evaluate(baseline.scores(triggers), triggers, seed=seed)}
    model = open_model(path)
    judgement = NumpyClassifier(model).judge(triggers)
    certificate = dict(model.certificate) or None
    return {
        "model": {"name": model.name, "sha256": model.sha256, "certificate": certificate},
        **evaluate(judgement.score, triggers, judgement, seed=seed),
    }
