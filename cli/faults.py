"""`slewguard faults`: the chain under faults of transport, clock, classifier, memory and instrument."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from slewguard.cli.console import json_option, progress, share, table, write_json


def show(result: dict[str, Any], *, to_stderr: bool = False) -> None:
    """Print the tables of a run."""
    rows = [
        [
            f"{row['family']}: {row['kind']}",
            f"{row['burst_alerts']}",
            f"{row['bursts_newly_vetoed']}",
            f"{row['bursts_newly_lost']}",
            f"{row['alerts']}",
            f"{row['newly_vetoed']}",
            f"{row['unaccounted']}",
            f"{row['avoided_with']}/{row['avoided_without']}",
        ]
        for row in result["kinds"]
    ]
    head = ("fault", "burst alerts", "newly vetoed", "bursts lost", "all alerts", "newly vetoed", "unaccounted for")
    table("Against the same alerts without the fault", (*head, "false slews avoided"), rows, to_stderr=to_stderr)
    files = result["model_files"]
    rows = [
        [row["kind"].replace("_", " "), f"{row['applied']}", f"{row['silent']}", share(row["vetoed_share"])]
        for row in result["physical"]
    ]
    title = f"{result['events']} bursts seen again under physical faults"
    table(title, ("fault", "acts on", "no slew asked", "vetoed only with it"), rows, to_stderr=to_stderr)
    told = f"model.json, one bit flipped: {files['refused']} of {files['files']} refused, {files['same']} read the same"
    click.echo(f"{told}, {files['accepted']} accepted", err=to_stderr)


@click.command("faults")
@click.argument("model_from", metavar="MODEL", default="default")
@click.option("--triggers", "triggers_from", type=click.Path(path_type=Path), required=True, help="Set of `simulate`.")
@click.option("--false", "n_false", type=click.IntRange(0), default=300, show_default=True, help="False sequences.")
@click.option("--events", "n_events", type=click.IntRange(0), default=80, show_default=True, help="Bursts seen again.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=7, show_default=True, help="Faults and bursts.")
@click.option("--part", type=click.Path(path_type=Path), help="File to go on from after a kill.")
@json_option
def command(
    model_from: str,
    triggers_from: Path,
    n_false: int,
    n_events: int,
    seed: int,
    part: Path | None,
    json_to: str | None,
) -> None:
    """Challenge the chain with faults: what is vetoed only because of them, and is every alert accounted for?

    All burst sequences of the set are used. Exit code 1 if a fault of transport, clock, classifier or memory makes a
    veto or leaves an alert out.
    """
    from slewguard.cli.faults_run import chosen, measure, passed
    from slewguard.export.package import open_model
    from slewguard.sim.config import SimConfig
    from slewguard.subimages import BadInput, read_triggers

    model = open_model(model_from)
    triggers = read_triggers(triggers_from, strict=False)
    try:
        alerts = chosen(triggers, n_false, seed)
    except BadInput as error:
        raise error.within(triggers_from) from error
    with progress("faults", "challenges") as shown:
        result = measure(model, alerts, SimConfig(), n_events=n_events, seed=seed, part=part, progress=shown)
    show(result, to_stderr=json_to == "-")
    write_json(result, json_to)
    if not passed(result):
        sys.exit(1)
