"""A latency session as tables for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slewguard.cli.console import say, table

HEADER = ("network", "engine", "median us", "p99 us", "max us", "after others", "cpu us", "ratio")
MORE = ("first us", "cold ms", "file kB", "peak MB", "equal")
QUOTA_HEADER = ("network", "engine", "quota", "calls/s", "median us", "p99 us", "max us", "late", "cpu", "calls")


def rows_of(summary: Mapping[str, Any]) -> list[list[str]]:
    """Rows of the first table, the columns of :data:`HEADER` and :data:`MORE`."""
    equal = {True: "yes", False: "NO", None: "-"}
    return [
        [
            f"{row['network']} {row['precision']}",
            row["engine"],
            *(_number(row[key]) for key in ("p50_us", "p99_us", "max_us", "after_others_p50_us", "cpu_p50_us")),
            f"{row['ratio']:.1f}",
            _number(row["first_us"]),
            _number(row["cold_ms"]),
            _number(row["file_bytes"] / 1e3),
            "-" if row["peak_rss_bytes"] is None else f"{row['peak_rss_bytes'] / 1e6:,.1f}",
            equal[row["equal"]],
        ]
        for row in summary["rows"]
    ]


def quota_rows_of(summary: Mapping[str, Any]) -> list[list[str]]:
    """Rows of the second table, the columns of :data:`QUOTA_HEADER`."""
    return [
        [
            f"{row['network']} {row['precision']}",
            row["engine"],
            f"{row['percent']:g} %",
            f"{row['throughput_per_s']:,.1f}",
            *(_number(row[key]) for key in ("p50_us", "p99_us", "max_us")),
            f"{100 * row['late_share']:.1f} %",
            f"{100 * row['cpu_share']:.1f} %",
            f"{row['calls']:,}",
        ]
        for row in sorted(summary["quotas"], key=lambda row: (row["network"], row["precision"], row["engine"]))
    ]


def show_session(summary: Mapping[str, Any], *, to_stderr: bool = False) -> None:
    """Print the tables of a session."""
    title = f"one inference, {summary['calls']:,} calls each, in turns"
    table(title, (*HEADER, *MORE), rows_of(summary), to_stderr=to_stderr)
    if summary["quotas"]:
        quota = summary["system"]["quota"]
        title = f"under a CPU quota ({quota['mechanism']}, period {quota['period_us'] / 1000:g} ms)"
        table(title, QUOTA_HEADER, quota_rows_of(summary), to_stderr=to_stderr)
        if quota["better_lack"]:
            say(f"not used: {quota['better_lack']}")
    for name, reason in summary["not_run"].items():
        say(f"{name}: not run, {reason}")
    system = summary["system"]
    say(f"{system['processor']}, {system['kernel']}, load {system['load_before']:.1f} before. {summary['note']}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
