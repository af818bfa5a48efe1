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
    table(title, ("figure", "value [95 %] of n"), rows, to_stderr=to_stderr, facts=True)


@click.command("evaluate")
@click.argument("model_from", metavar="MODEL")
@click.argument("triggers_from", metavar="TRIGGERS", type=click.Path(path_type=Path))
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the bootstrap.")
@json_option
def command(model_from: str, triggers_from: Path, seed: int, json_to: str | None) -> None:
    """Measure MODEL (a run, a package, a model or `default`) on TRIGGERS (HDF5, FITS, or a folder with labels.csv).

    Retention and rejection at the model's own thresholds, and what any threshold could reach.
    """
    from slewguard.subimages import BadInput, read_triggers
    from slewguard.train.evaluate import evaluate_run

    triggers = read_triggers(triggers_from)
    try:
        figures = evaluate_run(model_from, triggers, seed=seed)
    except BadInput as error:
        raise error.within(triggers_from) from error
    from slewguard.ground.advice import basis

    show(figures, f"{figures['model']['name']} on {triggers_from.name}", to_stderr=json_to == "-")
    if figures["certified"] is not None:
        click.echo(f"{basis(figures['model']['certificate'] or {})}", err=json_to == "-")
    write_json(figures, json_to)
