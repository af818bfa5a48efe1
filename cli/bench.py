"""`slewguard bench`: time and size of the host engines side by side, or instructions on emulated machines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from slewguard.cli.console import Progress, json_option, progress, say, table, write_json

if TYPE_CHECKING:
    from slewguard.embedded.generate import Style
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


def measure_targets(
    model: IntegerModel, names: Sequence[str], styles: Sequence[Style], inputs: int, clock: float | None
) -> list[dict[str, Any]]:
    """Build, run and count MODEL on emulated machines; one row for each target and style.

    Parameters
    ----------
    model : IntegerModel
    names : sequence of str
        Targets.
    styles : sequence of str
    inputs : int
        Sub-images that are judged on the target and compared with numpy.
    clock : float or None
        MHz at which the band of cycles is given as a time.
    """
    from slewguard.embedded.measure import expect, measure_target
    from slewguard.embedded.mix import cycle_band, instruction_mix
    from slewguard.embedded.target import load_target

    targets = [load_target(name) for name in names]
    for target in targets:
        target.require()
    expected = expect(model, inputs)
    rows: list[dict[str, Any]] = []
    with progress("targets") as shown:
        for target in targets:
            for style in styles:
                found = measure_target(model, target, style=style, inputs=inputs, expected=expected)
                row: dict[str, Any] = {
                    "target": target.name,
                    "engine": target.name,
                    "style": style,
                    "model_sha256": model.sha256,
                    "macs": model.macs,
                    "instructions_spread": found.spread,
                    "layer_instructions": dict(zip((layer.name for layer in model.layers), found.layers, strict=True)),
                }
                row |= {key: value for key, value in vars(found).items() if key not in ("layers", "spread")}
                if target.cycles:
                    mix = instruction_mix(model, target, style)
                    low, high = cycle_band(mix, target)
                    row |= {"mix": mix, "cycles": [low, high]}
                    if clock:
                        row["ms"] = [low / clock / 1000, high / clock / 1000]
                        row["clock_mhz"] = clock
                rows.append(row)
                shown(len(rows), len(targets) * len(styles))
    return rows


def _show_targets(rows: Sequence[dict[str, Any]], *, to_stderr: bool) -> None:
    header = ("target", "style", "instructions", "per MAC", "spread", "with rule", "code", "const", "scratch", "stack")
    shown = [
        [
            row["target"],
            row["style"],
            f"{row['instructions']:,}",
            f"{row['instructions'] / row['macs']:.2f}",
            f"{row['instructions_spread']:,}",
            f"{row['judge_instructions']:,}",
            *(f"{row[key]:,}" for key in ("code_bytes", "const_bytes", "scratch_bytes", "stack_bytes")),
            "yes" if row["equal"] else "NO",
        ]
        for row in rows
    ]
    macs, inputs = rows[0]["macs"], rows[0]["inputs"]
    table(
        f"one inference, {macs:,} MAC, {inputs:,} inputs, exact counts", (*header, "equal"), shown, to_stderr=to_stderr
    )
    for row in rows:
        if "cycles" in row:
            low, high = row["cycles"]
            text = f"{row['target']} {row['style']}: {low / 1e6:.2f} to {high / 1e6:.2f} million cycles"
            if "ms" in row:
                text += f", {row['ms'][0]:.1f} to {row['ms'][1]:.1f} ms at {row['clock_mhz']:g} MHz"
            say(f"{text} by published tables; cache misses, waits and interrupts come on top. Not a WCET.")
    for text in dict.fromkeys(f"{row['target']}: {row['compiler']}; {row['flags']}" for row in rows):
        say(text)


@click.command("bench")
@click.argument("model_from", metavar="MODEL", default="default")
@click.option("--engine", "engines", multiple=True, help="Only this engine; may be repeated.")
@click.option(
    "--triggers", "triggers_from", type=click.Path(path_type=Path), help="Sub-images [default: shipped ones]."
)
@click.option("--calls", type=click.IntRange(1), default=1000, show_default=True, help="Timed calls of each engine.")
@click.option("--targets", help="Instead: emulated machines, such as leon3,m4,rv32.")
@click.option("--style", "styles", type=click.Choice(["plain", "fast"]), multiple=True, help="Of the C on targets.")
@click.option(
    "--inputs", type=click.IntRange(1, 100_000), default=20, show_default=True, help="Sub-images judged on a target."
)
@click.option(
    "--session", "session_to", type=click.Path(path_type=Path, file_okay=False), help="Folder for a latency session."
)
@click.option("--also", help="In a session, networks beside MODEL: handmade,resnet50 (random weights).")
@click.option(
    "--quota", "quotas", type=click.FloatRange(1, 100), multiple=True, help="In a session, percent of the core; repeat."
)
@click.option(
    "--seconds", type=click.FloatRange(0.1), default=2.0, show_default=True, help="Of each of 5 windows at a quota."
)
@click.option("--clock", type=click.FloatRange(min=0, min_open=True), help="MHz, to give cycles as a time.")
@json_option
def command(
    model_from: str,
    engines: tuple[str, ...],
    triggers_from: Path | None,
    calls: int,
    targets: str | None,
    styles: tuple[Style, ...],
    inputs: int,
    session_to: Path | None,
    also: str | None,
    quotas: tuple[float, ...],
    seconds: float,
    clock: float | None,
    json_to: str | None,
) -> None:
    """Measure one inference of MODEL on this machine: batch 1, one thread, calls interleaved.

    Compare engines within one run; figures of two runs cannot be compared. With --session each engine is a process of
    its own on one core: cold start, first call, latency, processor time, memory, and latency under CPU quotas, kept in
    a folder. With --targets the generated C runs in an emulator that counts instructions exactly; every byte is
    compared with numpy.
    """
    from slewguard.cli.contenders import ALSO
    from slewguard.export.package import open_model

    names = tuple(name.strip() for name in also.split(",")) if also else ()
    if set(names) - set(ALSO):
        raise click.UsageError(f"--also takes {','.join(ALSO)}, not {also}.")
    if session_to is None and (names or quotas):
        raise click.UsageError("--also and --quota go with --session.")
    if session_to is not None and targets is not None:
        raise click.UsageError("--targets does not go with --session.")

    model = open_model(model_from)
    if targets is not None:
        machines = [name.strip() for name in targets.split(",")]
        counted = measure_targets(model, machines, styles or ("plain", "fast"), inputs, clock)
        _show_targets(counted, to_stderr=json_to == "-")
        write_json(counted, json_to)
        if not all(row["equal"] for row in counted):
            raise SystemExit(1)
        return
    if session_to is not None:
        from slewguard.cli.engines import sample_planes
        from slewguard.cli.session import run_session
        from slewguard.cli.session_tables import show_session

        summary = run_session(
            model,
            sample_planes(model, triggers_from, 32),
            session_to,
            also=names,
            engines=engines or None,
            quotas=quotas,
            calls=calls,
            seconds=seconds,
            progress=progress,
        )
        show_session(summary, to_stderr=json_to == "-")
        write_json(summary, json_to)
        if not all(row["equal"] is not False for row in summary["rows"]):
            raise SystemExit(1)
        return
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
                f"{row['engine']}: {row['code_bytes']:,} bytes of code, {row['const_bytes']:,} of constants, "
                f"{row['scratch_bytes']:,} of scratch ({row['compiler']})"
            )
    for name, reason in not_run.items():
        say(f"{name}: not run, {reason}")
    write_json(rows, json_to)
