"""Latency of the flight net, the handmade net and the ResNet50 here: ``python -m slewguard.benchmarks.latency``.

Runs ``slewguard bench --session`` over every engine and under CPU quotas, stores its summary in
``benchmarks/results/latency.json`` and puts the tables into ``docs/bench.md``. ``--table`` renders what is stored. The
ratios hold within the one session; a busy machine shows in its load and in the share of the core that a contender got
at a quota of 100 %.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from slewguard.benchmarks.command import as_command
from slewguard.benchmarks.markdown import table
from slewguard.benchmarks.provenance import put_table
from slewguard.cli.session_tables import HEADER, MORE, QUOTA_HEADER, quota_rows_of, rows_of

STORED = Path(__file__).parent / "results" / "latency.json"
PAGE = Path(__file__).parent.parent / "docs" / "bench.md"
QUOTAS = (100, 50, 20, 5)


def main() -> None:
    """Measure, store, render."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="only render what is stored")
    parser.add_argument("--session", type=Path, help="keep the session folder here, raw times and all")
    parser.add_argument("--calls", type=int, default=1000, help="timed calls of each engine")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each of 5 windows under a quota")
    parser.add_argument("--json", type=Path, default=STORED, help="file to write")
    arguments = parser.parse_args()
    if not arguments.table:
        measure(arguments.session, arguments.calls, arguments.seconds, arguments.json)
    text = render(json.loads(arguments.json.read_text(encoding="utf-8")))
    if arguments.json == STORED:
        put_table(PAGE, "latency", text)
    print(text)


def measure(session: Path | None, calls: int, seconds: float, store: Path) -> None:
    """Run the verb and store its summary."""
    with tempfile.TemporaryDirectory() as folder:
        words = [
            "bench",
            "default",
            "--session",
            str(session or Path(folder) / "session"),
            "--also",
            "handmade,resnet50",
        ]
        words += ["--calls", str(calls), "--seconds", str(seconds), "--json", str(store)]
        for percent in QUOTAS:
            words += ["--quota", str(percent)]
        subprocess.run([sys.executable, "-m", "slewguard.cli.main", *words], check=True)


def render(summary: dict[str, Any]) -> str:
    """Markdown tables of a stored summary, with the ratios of the networks engine by engine."""
    system = summary["system"]
    quota = system["quota"]
    about = (
        f"{system['processor']}{' (virtual)' if system['virtual'] else ''}, {system['kernel']}, load "
        f"{system['load_before']:.1f} before; Python {system['python']}; {summary['calls']:,} calls each on one core; "
        f"quota by {quota['mechanism']}, period {quota['period_us'] / 1000:g} ms, {summary['windows']} windows of "
        f"{summary['window_s']:g} s. {summary['note']}"
    )
    tables = [
        table((*HEADER, *MORE), rows_of(summary), numbers_from=2),
        table(("engine", "handmade int8", "handmade float32", "resnet50 float32"), ratio_rows(summary), numbers_from=2),
        table(QUOTA_HEADER, quota_rows_of(summary), numbers_from=2),
    ]
    titles = (
        "Every network in every engine:",
        "Median times over that of the flight net, each in the same engine:",
        "Under a CPU quota:",
    )
    parts = [about] + [f"{title}\n\n{shown}" for title, shown in zip(titles, tables, strict=True)]
    return "\n\n".join(parts)


def ratio_rows(summary: dict[str, Any]) -> list[list[str]]:
    """How many times longer the other networks take than the flight net in the same engine."""
    median = {(row["network"], row["precision"], row["engine"]): row["p50_us"] for row in summary["rows"]}
    engines = [engine for network, _, engine in median if network == "flight"]
    others = [("handmade", "int8"), ("handmade", "float32"), ("resnet50", "float32")]
    rows = []
    for engine in engines:
        flight = median["flight", "int8", engine]
        times = [median.get((*other, engine)) for other in others]
        rows.append([engine, *("-" if time is None else f"{time / flight:,.1f}" for time in times)])
    return rows


if __name__ == "__main__":
    as_command(main)
