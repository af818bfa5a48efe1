"""`slewguard verify`: every hash, golden vector and the proof of a flight package."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from slewguard.cli.console import json_option, write_json


@click.command("verify")
@click.argument("package", type=click.Path(path_type=Path))
@json_option
def command(package: Path, json_to: str | None) -> None:
    """Check PACKAGE: hashes, every format read back, golden vectors and proof computed again, and C printed again.

    Exit code 1 and a line for each fault if anything differs.
    """
    from slewguard.embedded.generate import package_c
    from slewguard.export.package import open_model, verify_package

    faults = verify_package(package)
    if not faults:
        for name, content in package_c(open_model(package)).items():
            place = package / "c" / name
            if not place.is_file():
                faults.append(f"c/{name}: missing")
            elif place.read_bytes() != content:
                faults.append(f"c/{name}: is not what this version prints from model.json")
    for fault in faults:
        click.echo(f"{package}: {fault}", err=json_to == "-")
    if not faults:
        click.echo(f"{package}: all files as they should be", err=json_to == "-")
    write_json({"package": package.name, "faults": faults}, json_to)
    if faults:
        sys.exit(1)
