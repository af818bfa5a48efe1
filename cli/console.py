"""What every verb shows: progress, tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

Progress = Callable[[int, int], None]


def _json_place(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    # Tried before the work, which may be long.
    if value not in (None, "-") and not Path(str(value)).absolute().parent.is_dir():
        raise click.BadParameter(f"{value}: no such folder", ctx, param)
    return value


json_option = click.option(
    "--json",
    "json_to",
    metavar="FILE",
    callback=_json_place,
    help="Also write the result as JSON; '-' is standard output.",
)


def say(line: str) -> None:
    """Print a line for a person, on standard error so that standard output stays clean for results."""
    click.echo(line, err=True)


class _Pace:
    """How fast work goes; what was done before the first call was done by an earlier run."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._first: tuple[float, int] | None = None

    def __call__(self, done: int, total: int) -> str:
        now = time.monotonic()
        if self._first is None:
            self._first = now, done
        seconds, fresh = now - self._first[0], done - self._first[1]
        if not (seconds > 0 and fresh > 0):
            return ""
        rate = fresh / seconds
        return f"{rate:.3g} {self._unit}/s, {_duration((total - done) / rate)} left"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


@contextmanager
def progress(label: str, unit: str = "") -> Iterator[Progress]:
    """Show the progress of long work: a bar on a terminal, else a plain line every ten seconds.

    Parameters
    ----------
    label : str
        What is being done.
    unit : str
        What is counted. Where it is given, the rate and the remaining time are shown, and the first call tells
        what an earlier run had done.

    Yields
    ------
    callable (done, total)
    """
    pace = _Pace(unit)
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            ProgressColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bar

        left: ProgressColumn = TextColumn("{task.fields[pace]}") if unit else TimeRemainingColumn()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), left)
        with Bar(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(label, total=None, pace="")
            yield lambda done, total: bar.update(task, completed=done, total=total, pace=pace(done, total))
        return
    started = last = time.monotonic()

    def line(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        speed = pace(done, total)
        if now - last >= 10:
            last = now
            say(f"{label}: {done}/{total} after {now - started:.0f} s" + (f", {speed}" if unit and speed else ""))

    yield line
    if time.monotonic() - started >= 2:
        say(f"{label}: done in {time.monotonic() - started:.0f} s")


def table(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], *, to_stderr: bool = False, facts: bool = False
) -> None:
    """Print a table; the first column is left-aligned, the others right unless they hold facts in words.

    Parameters
    ----------
    title : str
    header : sequence of str
    rows : sequence of rows of str
    to_stderr : bool
        Where standard output is taken by JSON.
    facts : bool
        Whether the columns hold words rather than figures.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    stream = sys.stderr if to_stderr else sys.stdout
    shown = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for i, name in enumerate(header):
        shown.add_column(name, justify="left" if facts or i == 0 else "right", overflow="fold")
    for row in rows:
        shown.add_row(*row)
    # Off a terminal a log is read in whatever width; nothing is cut at 80 columns there.
    console = Console(file=stream, width=None if stream.isatty() else 160, highlight=False, markup=False)
    with console.capture() as captured:
        console.print(shown)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()), file=stream)


def write_json(result: Any, json_to: str | None) -> None:
    """Write a result as JSON to a file or to standard output; nothing where none was asked for."""
    if json_to is None:
        return
    text = json.dumps(result, indent=2, allow_nan=False, default=_plain) + "\n"
    if json_to == "-":
        click.echo(text, nl=False)
        return
    if Path(json_to).exists() and not Path(json_to).is_file():  # a device or a pipe
        Path(json_to).write_text(text, encoding="utf-8")
        return
    from slewguard.subimages.atomic import atomic_output

    with atomic_output(Path(json_to)) as beside:
        beside.write_text(text, encoding="utf-8")


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def share(figure: Mapping[str, Any] | None, digits: int = 1) -> str:
    """A share with its 95 % interval and its n, in per cent: ``98.2 % [97.1, 98.9] of 812``."""
    if figure is None or figure.get("value") is None:
        return "-" if figure is None else str(figure.get("reason") or "-")
    value, lo, hi = (f"{100 * figure[key]:.{digits}f}" for key in ("value", "lo", "hi"))
    return f"{value} % [{lo}, {hi}] of {figure['n']}"
