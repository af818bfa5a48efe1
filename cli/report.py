"""`slewguard report`: a folder of results as one HTML page."""

from __future__ import annotations

from pathlib import Path

import click

from slewguard.cli.console import say


@click.command("report")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="The page [default: report.html].")
@click.option(
    "--triggers",
    "triggers_from",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Sub-images of the ledgers; repeat.",
)
def command(folder: Path, out: Path | None, triggers_from: tuple[Path, ...]) -> None:
    """Put the results in FOLDER on one page that opens offline: headline, lost bursts, saved slews, latency.

    FOLDER holds JSON files of the verbs (`--json`), ledgers (`chain --ledger`), runs, packages and latency sessions,
    under any name. What is missing is said on the page; what is not understood is listed.
    """
    from slewguard.ground.report import write_report
    from slewguard.subimages import read_triggers

    place = Path("report.html") if out is None else out
    results = write_report(folder, place, [read_triggers(path, strict=False) for path in triggers_from])
    known = sum(file.kind != "other" for file in results.files)
    say(f"wrote {place}: {known} of {len(results.files)} files understood, {place.stat().st_size:,} bytes")
    for file in results.files:
        if file.fault:
            say(f"{file.name}: {file.fault}")
