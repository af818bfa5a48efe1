"""`slewguard evaluate`: a model on labelled alerts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from slewguard.cli.console import json_option, share, table, write_json


def show(figures: dict[str, Any], title: str, *, to_stderr: bool = False) -> None:
    """Print the table of an evaluation."""
    auc = figures["auc_interval"]
    rows = [
        ["alerts", f"{figures['n_true']} true, {figures['n_false']} false, {figures['n_unclear']} unclear"],
        ["AUC", "-" if figures["auc"] is None else f"{figures['auc']:.4f} [{auc['lo']:.4f}, {auc['hi']:.4f}]"],
        ["accuracy", share({"value": figures["accuracy"], **figures["accuracy_interval"]})],
    ]
    for retention, figure in figures["rejection_at_retention"].items():
        rows.append([f"rejection at {retention} retention", share(figure)])
    for name, figure in (figures["certified"] or {}).items():
        rows.append([f"at its thresholds: {name.replace('_', ' ')}", share(figure)])
    if found := figures.get("reliability"):
        rows.append(["Brier score", f"{_number(found['brier'])}, probabilities {found['mapping']['source']}"])
    table(title, ("figure", "value [95 %] of n"), rows, to_stderr=to_stderr, facts=True)


def show_strata(figures: dict[str, Any], *, to_stderr: bool = False) -> None:
    """Print retention and rejection by stratum: at the model's thresholds, or at the cut where it has none."""
    names = ("retention_bursts", "retention_outbursts", "rejection")
    title, head = "At its thresholds", ["by", "", "alerts", "bursts kept", "outbursts kept", "rejected"]
    if figures["certified"]["rejection"] is None:
        names = ("bursts_kept_at_0.99", "outbursts_kept_at_0.99", "rejected_at_0.99")
        title = "At the cut that keeps 0.99 of the true alerts of this set"
    rows = []
    for by, strata in figures["strata"].items():
        for one in strata or ():
            if one["n"]:
                shares = (share(one[name]) for name in names)
                rows.append([by.replace("_", " "), one["stratum"], str(one["n"]), *shares])
    table(title, head, rows, to_stderr=to_stderr)


def show_comparison(found: dict[str, Any], *, to_stderr: bool = False) -> None:
    """Print what a model has more or less than another on the same alerts."""
    rows = [[name.replace("_", " "), *_difference(figure)] for name, figure in found["differences"].items()]
    if at := found["at_thresholds"]:
        for name in ("retention_bursts", "retention_outbursts", "rejection"):
            rows.append([f"at their thresholds: {name.replace('_', ' ')}", *_difference(at[name])])
        rows.append(["verdicts that differ", share(at["verdicts_that_differ"]), ""])
    title = f"{found['ours']['name']} less {found['other']['name']}, paired over {found['sequences']} sequences"
    table(title, ("figure", "difference [95 %]", "better"), rows, to_stderr=to_stderr, facts=True)


def _difference(figure: dict[str, Any]) -> tuple[str, str]:
    if figure["value"] is None:
        return "-", ""
    text = f"{figure['value']:+.4f} [{figure['lo']:+.4f}, {figure['hi']:+.4f}]"
    return text, {"ours": "this one", "other": "the other", None: "neither"}[figure["better"]]


def _number(figure: dict[str, Any]) -> str:
    return f"{figure['value']:.4f} [{figure['lo']:.4f}, {figure['hi']:.4f}] of {figure['n']}"


@click.command("evaluate")
@click.argument("model_from", metavar="MODEL")
@click.argument("triggers_from", metavar="TRIGGERS", type=click.Path(path_type=Path))
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the bootstrap.")
@click.option(
    "--compare",
    "other_from",
    metavar="OTHER",
    help="Also another model, draw by draw on the same alerts; RUN/float.safetensors is a run before quantisation.",
)
@click.option(
    "--probabilities",
    "calibration_from",
    metavar="CALIBRATION",
    type=click.Path(path_type=Path),
    help="Fit how scores become probabilities on these other labelled alerts, instead of taking them as trained.",
)
@click.option(
    "--mistakes",
    "pictures_to",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Draw the worst mistakes, the ROC and the confusion matrix into a folder.",
)
@json_option
def command(
    model_from: str,
    triggers_from: Path,
    seed: int,
    other_from: str | None,
    calibration_from: Path | None,
    pictures_to: Path | None,
    json_to: str | None,
) -> None:
    """Measure MODEL (a run, a package, a model or `default`) on TRIGGERS (HDF5, FITS, or a folder with labels.csv).

    Retention and rejection at the model's own thresholds and by stratum, and what any threshold could reach.
    """
    from slewguard.subimages import BadInput, read_triggers
    from slewguard.train.evaluate import compare_runs, evaluate_judged, open_classifier
    from slewguard.train.pictures import write_pictures

    triggers = read_triggers(triggers_from)
    calibration = None if calibration_from is None else read_triggers(calibration_from)
    classifier = open_classifier(model_from)
    if other_from is not None:
        open_classifier(other_from)  # a fault of it is told before the work
    try:
        judged = classifier.judge(triggers)
        figures = evaluate_judged(classifier, judged, triggers, seed=seed, calibration=calibration)
        if other_from is not None:
            figures["comparison"] = compare_runs(model_from, other_from, triggers, seed=seed)
        if pictures_to is not None:
            write_pictures(pictures_to, judged[0], triggers, judged[1], classifier.name)
    except BadInput as error:
        raise error.within(triggers_from) from error
    from slewguard.ground.advice import basis

    to_stderr = json_to == "-"
    show(figures, f"{figures['model']['name']} on {triggers_from.name}", to_stderr=to_stderr)
    show_strata(figures, to_stderr=to_stderr)
    if other_from is not None:
        show_comparison(figures["comparison"], to_stderr=to_stderr)
    if figures["certified"] is not None:
        click.echo(f"{basis(figures['model']['certificate'] or {})}", err=to_stderr)
    write_json(figures, json_to)
