"""`slewguard calibrate`: new thresholds and a new certificate for an unchanged network."""

from __future__ import annotations

from pathlib import Path

import click

from slewguard.cli.console import json_option, say, table, write_json


@click.command("calibrate")
@click.argument("model_from", metavar="MODEL")
@click.argument("triggers_from", metavar="TRIGGERS", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="model.json to write.")
@click.option("--level", type=float, default=0.01, show_default=True)
@json_option
def command(model_from: str, triggers_from: Path, out: Path, level: float, json_to: str | None) -> None:
    """Set the thresholds of MODEL on labelled TRIGGERS that it was not trained on.

    Promise: at most LEVEL of burst sequences with an alert on the burst vetoed, with 95 % confidence. Too few
    sequences, or alerts that do not tell their sequence, certify nothing, and nothing is vetoed.
    """
    from slewguard.export.execute import run
    from slewguard.export.package import open_model
    from slewguard.export.planes import make_planes
    from slewguard.subimages import read_triggers
    from slewguard.train.calibrate import Levels, calibrate

    if not 0 < level < 1:  # not a number passes every range
        raise click.BadParameter("must lie between 0 and 1", param_hint="'--level'")
    model = open_model(model_from)
    triggers = read_triggers(triggers_from)
    planes = make_planes(triggers.snr, triggers.mask, triggers.catalogue_id, model.planes)
    rule, certificate = calibrate(run(model, planes), planes, triggers, Levels(veto=level))
    model.with_verdict(rule, certificate).save(out)
    rows = [(name, str(value)) for name, value in {**rule.integers(), **certificate["veto"]}.items()]
    table(f"thresholds of {model.name}", ("what", "value"), rows, to_stderr=json_to == "-", facts=True)
    say(f"wrote {out}")
    write_json({"verdict": rule.as_dict(), "certificate": certificate}, json_to)
