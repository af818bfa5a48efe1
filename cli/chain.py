"""`slewguard chain`: mission days with and without the classifier."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from slewguard.cli.console import json_option, progress, share, table, write_json

if TYPE_CHECKING:
    from slewguard.sim.chain import ChainResult


def show(result: ChainResult, title: str, *, to_stderr: bool = False) -> None:
    """Print the table of a replay."""
    found = result.as_dict()
    rows = [
        ["alerts", f"{result.alerts}"],
        ["slews without the classifier", f"{result.slews_without}, {result.false_slews_without} of them false"],
        ["slews with it", f"{result.slews_with}"],
        ["false slews avoided", f"{result.false_slews_avoided}: {share(found['false_avoided_share'])}"],
        ["bursts that slew", f"{result.bursts}"],
        ["bursts vetoed", f"{result.bursts_vetoed}; kept {share(found['bursts_kept_share'])}"],
        ["outbursts vetoed", f"{result.outbursts_vetoed}; kept {share(found['outbursts_kept_share'])}"],
        ["abstained", share(found["abstained_share"])],
    ]
    if result.enrich != 1.0:
        rows.insert(0, ["bursts and new sources", f"{result.enrich:g} times as many as nature sends"])
    table(title, ("figure", "value [95 %] of n"), rows, to_stderr=to_stderr, facts=True)


@click.command("chain")
@click.argument("model_from", metavar="MODEL", default="default")
@click.option("--days", type=click.FloatRange(min=0, min_open=True), default=365.0, show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), default=2, show_default=True)
@click.option("--workers", type=click.IntRange(1), default=os.cpu_count() or 1, help="Processes [default: all cores].")
@click.option("--config", "config_from", type=click.Path(path_type=Path), help="YAML of `simulate --drop-config`.")
@click.option("--triggers", "triggers_from", type=click.Path(path_type=Path), help="Replay this set of `simulate`.")
@json_option
def command(
    model_from: str,
    days: float,
    seed: int,
    workers: int,
    config_from: Path | None,
    triggers_from: Path | None,
    json_to: str | None,
) -> None:
    """Replay simulated mission days with and without MODEL: slews, false slews avoided, bursts lost."""
    from slewguard.export.execute import NumpyClassifier
    from slewguard.export.package import open_model
    from slewguard.ground.advice import basis
    from slewguard.sim.campaign import simulate
    from slewguard.sim.chain import replay
    from slewguard.sim.config import SimConfig, load_config
    from slewguard.subimages import BadInput, read_triggers

    model = open_model(model_from)
    config = load_config(config_from) if config_from else SimConfig()
    if triggers_from:
        triggers = read_triggers(triggers_from, strict=False)
    else:
        with progress("simulating") as shown:
            triggers = simulate(config, days=days, seed=seed, workers=workers, progress=shown)
    try:
        result = replay(triggers, NumpyClassifier(model), config)
    except BadInput as error:
        raise error.within(triggers_from or "simulated alerts") from error
    show(result, f"{model.name} over {result.days:g} simulated days", to_stderr=json_to == "-")
    click.echo(basis(model.certificate), err=json_to == "-")
    write_json({**result.as_dict(), "model_sha256": model.sha256, "basis": basis(model.certificate)}, json_to)
