"""`slewguard export`: a run folder becomes a flight package."""

from __future__ import annotations

import json
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import click

from slewguard.cli.console import say


def export(run: str | Path, out: Path) -> Path:
    """Print the model of a run in every form; see :func:`slewguard.export.package.write_package`."""
    from slewguard.embedded.generate import package_c
    from slewguard.export.package import open_model, write_package

    model = open_model(run)
    folder: Traversable = files("slewguard.export") / "default" if str(run) == "default" else Path(run)
    said: dict[str, Any] = {}
    for name, key in (("metrics.json", "metrics"), ("provenance.json", "provenance")):
        place = folder / name
        if place.is_file():
            said[key] = _read(place)
    metrics = said.get("metrics")
    if isinstance(metrics, dict) and metrics.get("model_sha256", model.sha256) != model.sha256:
        say("metrics.json is of another model (other weights or thresholds); it is left out of the package")
        del said["metrics"]
    data = said["provenance"].get("data") if isinstance(said.get("provenance"), dict) else None
    if isinstance(data, dict) and isinstance(data.get("simulated"), bool):
        said["simulated"] = data["simulated"]
    extra = {f"c/{name}": content for name, content in package_c(model).items()}
    return write_package(model, out, run=said, extra=extra)


def _read(place: Traversable) -> Any:
    from slewguard.subimages import BadInput

    try:
        return json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput("not readable as JSON", str(place)) from error


@click.command("export")
@click.argument("run", metavar="RUN")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Flight package (folder) to write.")
def command(run: str, out: Path) -> None:
    """Print the network of RUN as model.json, ONNX, int8 TFLite and C99, with golden vectors, card and manifest.

    Exported twice, it is the same to the byte.
    """
    export(run, out)
    files = [path for path in sorted(out.rglob("*")) if path.is_file()]
    say(f"wrote {out}: {len(files)} files, {sum(path.stat().st_size for path in files):,} bytes")
