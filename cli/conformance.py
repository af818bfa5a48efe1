"""`slewguard conformance`: every engine against the specification, byte for byte."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from slewguard.cli.console import json_option, progress, say, table, write_json

if TYPE_CHECKING:
    from slewguard.export.conformance import ConformanceReport


def show(report: ConformanceReport, *, to_stderr: bool = False) -> None:
    """Print the table of a report."""
    rows = []
    for row in report.rows:
        if row.ran:
            worst = [name for name, different in row.layers.items() if different]
            figures = [f"{row.bytes_compared:,}", f"{row.bytes_different:,}", f"{row.verdict_flips:,}"]
            rows.append([row.engine, *figures, ", ".join(worst) or "none", row.version])
        else:
            rows.append([row.engine, "-", "-", "-", "refused" if row.refused else "not run", row.reason])
    header = ("engine", "bytes compared", "bytes different", "verdict flips", "layers that differ", "version")
    table(f"{report.n:,} inputs, model {report.model_sha256[:12]}", header, rows, to_stderr=to_stderr)


@click.command("conformance")
@click.argument("model_from", metavar="MODEL", default="default")
@click.option(
    "--triggers", "triggers_from", type=click.Path(path_type=Path), help="Sub-images [default: shipped ones]."
)
@click.option("--n", type=click.IntRange(1), default=1000, show_default=True, help="Sub-images.")
@click.option("--engine", "engines", multiple=True, help="Only this engine; may be repeated.")
@json_option
def command(model_from: str, triggers_from: Path | None, n: int, engines: tuple[str, ...], json_to: str | None) -> None:
    """Compare every engine with the integer model, every layer, on N sub-images and adversarial inputs.

    Exit code 1 if an engine that ran differs in a byte or a verdict. An engine that is not installed is reported
    as not run, never as equal.
    """
    from slewguard.cli.engines import open_engines, sample_planes
    from slewguard.export.conformance import conformance
    from slewguard.export.package import open_model

    model = open_model(model_from)
    planes = sample_planes(model, triggers_from, n)
    opened = open_engines(model, engines or None)
    with progress("comparing") as shown:
        report = conformance(model, planes, opened, shown)
    show(report, to_stderr=json_to == "-")
    write_json(report.to_json(), json_to)
    if not any(row.ran and row.engine != "numpy" for row in report.rows):
        say("no engine beside the specification ran: nothing was compared")
    if not report.equal:
        sys.exit(1)
