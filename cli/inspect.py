"""`slewguard inspect`: what a file holds, in words, numbers or a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from slewguard.cli.console import json_option, say, table, write_json


@click.command("inspect")
@click.argument("what")
@click.option("--draw", type=click.Path(path_type=Path, dir_okay=False), help="Draw it to this file (PNG, SVG, PDF).")
@click.option("--index", type=int, help="Which alert of a trigger set to describe or draw.")
@click.option("--alert", type=int, metavar="K", help="Simulate alert K of a trigger set again, from its seed.")
@click.option("--sequence", type=int, metavar="N", help="The same for the highest alert of a sequence.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Draw that to this file (PNG, SVG, PDF).")
@click.option(
    "--config",
    "config_from",
    type=click.Path(path_type=Path),
    help="YAML that names the files (mask, catalogue, ...) with which the set was simulated.",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    what: str,
    draw: Path | None,
    index: int | None,
    alert: int | None,
    sequence: int | None,
    out: Path | None,
    config_from: Path | None,
    json_to: str | None,
) -> None:
    """Describe WHAT: a sub-image, a trigger set, a model, a run, a package, or `default`.

    With --alert or --sequence an alert is simulated again from the seed that its trigger set names, checked against
    the stored sub-image, and told with all that led to it: detector plane, sky, sources, Earth, time line and truth.
    """
    path = Path(what)
    if alert is not None or sequence is not None:
        if alert is not None and sequence is not None:
            raise click.UsageError("--alert does not go with --sequence.")
        if draw is not None or index is not None:
            raise click.UsageError("--draw and --index show what is stored; with --alert or --sequence it is --out.")
        _resimulated(ctx, path, alert, sequence, out, config_from, json_to)
        return
    if out is not None or config_from is not None:
        raise click.UsageError("--out and --config go with --alert or --sequence.")
    is_model = what == "default" or path.suffix in (".json", ".onnx", ".tflite") or (path / "model.json").is_file()
    result = _model(what) if is_model else _triggers(path, draw, index)
    if is_model and draw is not None:
        say("a model is not drawn; its layers are in the table")
    to_stderr = json_to == "-"
    for title, rows in result.items():
        if isinstance(rows, list):
            table(title, list(rows[0]), [[str(v) for v in row.values()] for row in rows], to_stderr=to_stderr)
        elif isinstance(rows, dict):
            table(title, ("what", "value"), [(k, _short(v)) for k, v in rows.items()], to_stderr=to_stderr, facts=True)
    write_json(result, json_to)


def _resimulated(
    ctx: click.Context,
    path: Path,
    alert: int | None,
    sequence: int | None,
    out: Path | None,
    config_from: Path | None,
    json_to: str | None,
) -> None:
    from slewguard.sim.config import load_config
    from slewguard.sim.resimulate import NotReproduced, resimulate
    from slewguard.sim.truth import tell

    files = None if config_from is None else load_config(config_from)
    try:
        found = resimulate(path, alert=alert, sequence=sequence, files=files)
    except NotReproduced as error:
        say(f"slewguard: {error}")
        ctx.exit(1)
    if out is not None:
        from slewguard.sim.draw import draw_alert

        draw_alert(found, out)
        say(f"drew {out}")
    facts = tell(found)
    to_stderr = json_to == "-"
    told = {"label": facts["truth"]["label"], "cause": facts["truth"]["cause"]}
    for title in ("alert", "event", "pointing", "telescope"):
        about = (told if title == "alert" else {}) | facts[title]
        rows = [(name, _short(value)) for name, value in about.items() if value not in (None, [])]
        table(title, ("what", "value"), rows, to_stderr=to_stderr, facts=True)
    shares = [(s["cause"], str(s["sequence"]), f"{s['share']:+.3f}") for s in facts["truth"]["shares"]]
    table("shares of the peak", ("cause", "sequence", "share"), shares, to_stderr=to_stderr)
    write_json(facts, json_to)


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_short(v)}" for k, v in value.items())
    if isinstance(value, list):
        return "; ".join(map(_short, value)) if value and isinstance(value[0], dict) else str(value)
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _model(what: str) -> dict[str, Any]:
    from slewguard.export.layers import MaxPool
    from slewguard.export.package import open_model

    model = open_model(what)
    layers = []
    for layer, shape in zip(model.layers, model.shapes, strict=True):
        layers.append(
            {
                "layer": layer.name,
                "operator": "max_pool" if isinstance(layer, MaxPool) else layer.op,
                "kernel": f"{layer.size}x{layer.size}"
                if isinstance(layer, MaxPool)
                else "x".join(map(str, layer.weights.shape[2:])),
                "stride": layer.size if isinstance(layer, MaxPool) else layer.stride,
                "output": "x".join(map(str, shape)),
                "parameters": 0 if isinstance(layer, MaxPool) else layer.weights.size + layer.bias.size,
                "macs": 0 if isinstance(layer, MaxPool) else layer.weights.size * shape[1] * shape[2],
            }
        )
    facts = {"name": model.name, "sha256": model.sha256, "parameters": model.parameters, "macs": model.macs}
    return {
        "model": facts | vars(model.planes),
        "layers": layers,
        "verdict rule": model.verdict.as_dict(),
        "certificate": dict(model.certificate),
    }


def _triggers(path: Path, draw: Path | None, index: int | None) -> dict[str, Any]:
    import numpy as np

    from slewguard.subimages import BadInput, read_triggers
    from slewguard.subimages.describe import describe

    triggers = read_triggers(path, strict=False)
    if index is not None:
        if not 0 <= index < len(triggers):
            raise BadInput(f"no alert {index}; there are {len(triggers)}", path)
        triggers = triggers.select(np.array([index]))
    if draw is not None:
        from slewguard.subimages.draw import draw_subimage, draw_triggers

        if len(triggers) == 1:
            draw_subimage(triggers[0], draw, title=path.name if index is None else f"{path.name}[{index}]")
        else:
            draw_triggers(triggers, draw)
        say(f"drew {draw}")
    return {str(path): describe(triggers)}
