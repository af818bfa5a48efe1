"""Tables of results in Markdown, for the pages and the README."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers_from: int | None = None) -> str:
    """Return a table; columns from ``numbers_from`` on stand to the right."""
    left = len(head) if numbers_from is None else numbers_from
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))


def figure(found: Mapping[str, Any] | None, digits: int = 4, sign: str = "") -> str:
    """Return value and 95 % interval of ``{"value", "lo", "hi"}``; ``-`` where there is none."""
    if found is None or found["value"] is None:
        return "-"
    value, lo, hi = (f"{found[key]:{sign}.{digits}f}" for key in ("value", "lo", "hi"))
    return f"{value} [{lo}, {hi}]"


def share(found: Mapping[str, Any] | None) -> str:
    """Return a share in per cent with its 95 % interval and n; ``-`` where there is none."""
    if found is None or found["value"] is None:
        return "-"
    value, lo, hi = (f"{100 * found[key]:.1f}" for key in ("value", "lo", "hi"))
    return f"{value} % [{lo}, {hi}] of {found['n']:,}"
