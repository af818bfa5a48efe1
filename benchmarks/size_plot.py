"""Picture of the accuracy against size: rejection over instructions, one panel a set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slewguard.subimages.atomic import atomic_output

_MARKERS = {"32": "x", "8": "s", "7": "D", "6": "o", "6 in lane": "P", "4": "v"}


def draw(result: dict[str, Any], place: Path) -> None:
    """Draw rejection at 0.99 retention of bursts over instructions.

    Parameters
    ----------
    result : dict
        As ``size_curve.json`` holds it.
    place : Path
        PNG file to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = result["rows"]
    sets = [name for name in rows[0]["figures"] if name.endswith("bursts")]
    figure = Figure(figsize=(4.2 * len(sets), 4), layout="constrained")
    FigureCanvasAgg(figure)
    for i, (axes, on) in enumerate(zip(figure.subplots(1, len(sets), squeeze=False)[0], sets, strict=True)):
        for kind, marker in _MARKERS.items():
            own = [row for row in rows if _kind(row) == kind and "instructions" in row]
            own = [row for row in own if row["figures"][on]["rejection_at_0.99"]["value"] is not None]
            own.sort(key=lambda row: row["instructions"])
            if not own:
                continue
            x = [row["instructions"] for row in own]
            found = [row["figures"][on]["rejection_at_0.99"] for row in own]
            y = [f["value"] for f in found]
            measured = own[0]["instructions_are"] == "measured"
            label = ("float" if kind == "32" else f"{kind} bits".replace("6 in lane bits", "6 bits in lane")) + (
                "" if measured else " (instructions of 6 bits)"
            )
            line = axes.plot(x, y, "-", marker=marker, label=label, fillstyle="full" if measured else "none", lw=0.8)
            if kind == "6":
                error = [[max(f["value"] - f["lo"], 0) for f in found], [max(f["hi"] - f["value"], 0) for f in found]]
                axes.errorbar(x, y, error, fmt="none", ecolor=line[0].get_color(), capsize=2, lw=0.7)
                for row, at, height in zip(own, x, y, strict=True):
                    text = f"{row['parameters']:,.0f}" + (" s4" if "stride" in row["shape"] else "")
                    axes.annotate(text, (at, height), (3, -10), textcoords="offset points", fontsize=7)
        axes.set(xscale="log", xlabel="LEON3 instructions of one score", title=on)
        axes.grid(alpha=0.3)
        if i == 0:
            axes.set_ylabel("rejection at 0.99 retention of bursts")
            if axes.lines:
                axes.legend(fontsize=7)
    with atomic_output(place) as beside:
        figure.savefig(beside, dpi=110, format="png", metadata={"Software": None})


def _kind(row: dict[str, Any]) -> str:
    return f"{row['bits']}{' in lane' if row['in_lane'] else ''}"
