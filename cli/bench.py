"""`slewguard bench`: time and size of the host engines, side by side in one run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from slewguard.cli.console import Progress, json_option, progress, say, table, write_json

if TYPE_CHECKING:
    from slewguard.export.model import IntegerModel

NOT_MEASURED_HERE = (
    *("compiler", "flags", "instructions", "instructions_spread"),
    *("code_bytes", "const_bytes", "scratch_bytes", "stack_bytes"),
)
"""Columns that only a compiled target fills; None elsewhere."""


def measure(
    model: IntegerModel,
    engines: Sequence[str] | None,
    triggers_from: Path | None,
    calls: int,
    shown: Progress | None = None,
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Measure the engines that run here.

    Returns
    -------
    rows : list of dict
        See :func:`slewguard.export.latency.measure_latency`, with ``macs``, ``equal`` and, for C, its sizes.
    not_run : dict of engine to reason
    """
    from slewguard.cli.engines import open_engines, sample_planes
    from slewguard.embedded.host import FLAGS, OPTIMISATION, measure_sizes
    from slewguard.export.execute import run
    from slewguard.export.latency import measure_latency

    opened = open_engines(model, engines)
    running = [backend for _, backend in opened if not isinstance(backend, str)]
    planes = sample_planes(model, triggers_from, 100)
    expected = run(model, planes)
    rows = measure_latency(running, planes, calls=calls, progress=shown)
    for row, backend in zip(rows, running, strict=True):
        row |= dict.fromkeys(NOT_MEASURED_HERE)
        row |= {"macs": model.macs, "equal": bool((backend.score(planes) == expected).all())}
        if backend.name == "c":
            sizes = measure_sizes(model)
            row |= {
                "compiler": backend.version,
                "flags": " ".join((*FLAGS, *OPTIMISATION)),
                "code_bytes": sizes.code_bytes,
                "const_bytes": sizes.const_bytes,
                "scratch_bytes": sizes.scratch_bytes,
            }
    return rows, {name: backend for name, backend in opened if isinstance(backend, str)}


@click.command("bench")
@click.argument("model_from", metavar="MODEL", default="default")
@click.option("--engine", "engines", multiple=True, help="Only this engine; may be repeated.")
@click.option(
    "--triggers", "triggers_from", type=click.Path(path_type=Path), help="Sub-images [default: shipped ones]."
)
@click.option("--calls", type=click.IntRange(1), default=1000, show_default=True, help="Timed calls of each engine.")
@json_option
def command(
    model_from: str, engines: tuple[str, ...], triggers_from: Path | None, calls: int, json_to: str | None
) -> None:
    """Measure one inference of MODEL on this machine: batch 1, one thread, calls interleaved.

    Compare engines within one run; figures of two runs cannot be compared.
    """
    from slewguard.export.package import open_model

    model = open_model(model_from)
    with progress("timing") as shown:
        rows, not_run = measure(model, engines or None, triggers_from, calls, shown)
    fastest = min((row["p50_us"] for row in rows), default=1.0)

    def us(value: float | None) -> str:
        return "-" if value is None else f"{value:,.0f}"

    shown_rows = [
        [
            row["engine"],
            us(row["p50_us"]),
            us(row["p99_us"]),
            us(row["max_us"]),
            us(row["first_us"]),
            f"{row['p50_us'] / fastest:.1f}",
            "yes" if row["equal"] else "NO",
            row["version"],
        ]
        for row in rows
    ]
    header = ("engine", "median us", "p99 us", "max us", "first us", "ratio", "equal", "version")
    table(f"one inference, {model.macs:,} MAC, {calls:,} calls", header, shown_rows, to_stderr=json_to == "-")
    for row in rows:
        if row["code_bytes"] is not None:
            say(
                f"c: {row['code_bytes']:,} bytes of code, {row['const_bytes']:,} of constants, "
                f"{row['scratch_bytes']:,} of scratch ({row['compiler']})"
            )
    for name, reason in not_run.items():
        say(f"{name}: not run, {reason}")
    write_json(rows, json_to)
