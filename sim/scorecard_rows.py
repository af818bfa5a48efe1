"""A row of the scorecard: a fact, where it comes from, our figure, and how the two compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from slewguard.sim.config import SimConfig
from slewguard.sim.scorecard_population import Population

Section = Literal["not tuned on", "tuned on", "own computation"]
SECTIONS: dict[Section, str] = {
    "not tuned on": "Public facts not tuned on",
    "tuned on": "Public facts tuned on",
    "own computation": "Self-consistency with our own computation",
}


@dataclass(frozen=True)
class Row:
    """One fact and what the simulator makes of it."""

    key: str
    """Name for programs."""
    section: Section
    fact: str
    source: str
    ours: str
    """Our figure in words, with its interval or the smallest difference that could be seen."""
    verdict: str
    """``agrees``, ``differs by ...`` or ``not contradicted (...)``."""
    tuned_on: str = ""
    """Keys of the configuration that were chosen with this fact in view."""
    value: float | None = None
    lo: float | None = None
    hi: float | None = None
    """Our figure and its 95 % interval, where it is one number."""
    n: int | None = None
    accepted: tuple[float, float] | None = None
    """What counts as agreement."""
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the row as plain data; the keys are those of the class."""
        return asdict(self)


@dataclass(frozen=True)
class Inputs:
    """What the rows are computed from."""

    config: SimConfig
    seed: int
    injections: int
    """Injected sources per SNR bin."""
    blank_maps: int
    population: Population
    """The campaign that the population rows are read from."""
    tell: Callable[[int], None]
    """Called with the number of steps just done."""


Group = Callable[[Inputs], list[Row]]


def number(x: float) -> str:
    """Three significant digits; exponents only below 0.0001."""
    if abs(x) >= 100:
        return f"{x:,.0f}"
    return f"{x:#.3g}".rstrip(".")


def compared(
    key: str,
    section: Section,
    fact: str,
    source: str,
    value: float,
    accepted: tuple[float, float],
    *,
    unit: str = "",
    interval: tuple[float, float] | None = None,
    n: int | None = None,
    of: str = "",
    tuned_on: str = "",
    note: str = "",
) -> Row:
    """Compare one number with the range that counts as agreement.

    Parameters
    ----------
    value : float
    accepted : (low, high)
    interval : (low, high), optional
        95 % interval of the number; it is told whether it reaches the range, but only the number itself can agree.
    n : int, optional
        How many cases the number comes from.
    of : str
        What these cases are.
    """
    lo, hi = interval if interval is not None else (None, None)
    unit_after = f" {unit}" if unit else ""
    ours = number(value) + unit_after
    if interval is not None:
        ours += f" [{number(interval[0])}, {number(interval[1])}]"
    if n is not None:
        ours += f", n = {n:,}" + (f" {of}" if of else "")
    low, high = accepted
    if low <= value <= high:
        verdict = "agrees"
    else:
        edge = low if value < low else high
        verdict = f"differs by {number(abs(value - edge))}{unit_after} from {number(low)} to {number(high)}"
        if interval is not None and interval[0] <= high and interval[1] >= low:
            verdict += "; the interval reaches it"
    return Row(key, section, fact, source, ours, verdict, tuned_on, value, lo, hi, n, accepted, note)


def unmeasured(key: str, section: Section, fact: str, source: str, why: str, tuned_on: str = "") -> Row:
    """Row for which there was nothing to measure."""
    return Row(key, section, fact, source, "-", f"not measured: {why}", tuned_on)
