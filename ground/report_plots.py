"""Pictures of a report: drawings as SVG in the colours of the page, sub-images as PNG within it."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import floor, log10

import numpy as np
from numpy.typing import NDArray

from slewguard.ground.markup import Html, join, tag, text
from slewguard.subimages.contract import SubImage

_SIDE = 250


def interval_bar(value: float, lo: float, hi: float) -> Html:
    """Draw a share and its interval on a line from 0 to 1."""
    x = [4 + 132 * min(max(float(number), 0.0), 1.0) for number in (value, lo, hi)]
    return tag(
        "svg",
        tag("line", x1=4, x2=136, y1=8, y2=8, class_="track"),
        tag("line", x1=f"{x[1]:.1f}", x2=f"{x[2]:.1f}", y1=8, y2=8, class_="range"),
        tag("circle", cx=f"{x[0]:.1f}", cy=8, r=3.6, class_="dot"),
        viewBox="0 0 140 16",
        class_="bar",
        role="img",
        aria_label=f"{100 * value:.1f} % between {100 * lo:.1f} % and {100 * hi:.1f} %",
    )


def roc_points(score: NDArray[np.float64], true: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares of false and of true alerts that score at least each cut, from none to all.

    Parameters
    ----------
    score : float array [N]
    true : bool array [N]
        Both kinds must occur.
    """
    cuts = np.unique(score)[::-1]
    kept = [np.array([0, *(int((score[kind] >= cut).sum()) for cut in cuts)]) for kind in (~true, true)]
    return kept[0] / max(1, int((~true).sum())), kept[1] / max(1, int(true.sum()))


@dataclass(frozen=True)
class Mark:
    """A point on a curve, with a name and a class of the style sheet."""

    x: float
    y: float
    name: str
    style: str = "mark"


def roc(false: NDArray[np.float64], true: NDArray[np.float64], marks: Sequence[Mark], low: float = 0.0) -> Html:
    """Draw a receiver operating characteristic.

    Parameters
    ----------
    false, true : float array [K]
        Shares kept.
    marks : sequence of Mark
    low : float
        Where the axis of true alerts begins.
    """
    left, top = 46, 12

    def place(x: float, y: float) -> tuple[float, float]:
        return left + _SIDE * x, top + _SIDE * (1 - (max(y, low) - low) / (1 - low))

    inside = np.flatnonzero(true >= low)
    first = max(int(inside[0]) - 1, 0) if len(inside) else len(true) - 1
    curve = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in zip(false[first:], true[first:], strict=True))
    grid, names = [], []
    for i in range(6):
        share = i / 5
        x, y = place(share, low)[0], place(0, low + (1 - low) * share)[1]
        grid.append(tag("line", x1=left, x2=left + _SIDE, y1=f"{y:.1f}", y2=f"{y:.1f}", class_="grid"))
        grid.append(tag("line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=top, y2=top + _SIDE, class_="grid"))
        names.append(tag("text", f"{100 * share:.0f}", x=f"{x:.1f}", y=top + _SIDE + 17, text_anchor="middle"))
        label = f"{100 * (low + (1 - low) * share):g}"
        names.append(tag("text", label, x=left - 8, y=f"{y + 4:.1f}", text_anchor="end"))
    points = []
    for mark in marks:
        if mark.y >= low:
            x, y = place(mark.x, mark.y)
            points.append(
                tag("circle", tag("title", mark.name), cx=f"{x:.1f}", cy=f"{y:.1f}", r=4.5, class_=mark.style)
            )
    axes = [
        tag("text", "false alerts kept (%)", x=left + _SIDE / 2, y=top + _SIDE + 36, text_anchor="middle"),
        tag(
            "text",
            "true alerts kept (%)",
            transform=f"translate(11 {top + _SIDE / 2}) rotate(-90)",
            text_anchor="middle",
        ),
    ]
    return tag(
        "svg",
        *grid,
        tag("rect", x=left, y=top, width=_SIDE, height=_SIDE, class_="frame"),
        tag("polyline", points=curve, class_="curve"),
        *points,
        *names,
        *axes,
        viewBox=f"0 0 {left + _SIDE + 14} {top + _SIDE + 44}",
        class_="plot",
        role="img",
        aria_label=f"Share of true against share of false alerts kept, from {100 * low:g} % of the true",
    )


def time_range(median: float, tail: float, largest: float, least: float, most: float) -> Html:
    """Draw median, p99 and largest of a time on a logarithmic scale between two decades."""
    spread = max(log10(most / least), 1e-9)
    x = [4 + 172 * min(max(log10(max(v, least) / least) / spread, 0.0), 1.0) for v in (median, tail, largest)]
    return tag(
        "svg",
        tag("line", x1=4, x2=176, y1=8, y2=8, class_="track"),
        tag("line", x1=f"{x[0]:.1f}", x2=f"{x[2]:.1f}", y1=8, y2=8, class_="range thin"),
        tag("line", x1=f"{x[0]:.1f}", x2=f"{x[1]:.1f}", y1=8, y2=8, class_="range"),
        tag("circle", cx=f"{x[0]:.1f}", cy=8, r=3.6, class_="dot"),
        viewBox="0 0 180 16",
        class_="bar wide",
        role="img",
        aria_label="median, 99th percentile and largest time on a logarithmic scale",
    )


def decades(values: Iterable[float]) -> tuple[float, float]:
    """Powers of ten about some positive values."""
    found = [value for value in values if value > 0] or [1.0]
    return 10.0 ** floor(log10(min(found))), 10.0 ** (floor(log10(max(found))) + 1)


def picture(subimage: SubImage, name: str) -> Html:
    """Draw the SNR of a sub-image with its known sources and the trigger, as an image within the page.

    Raises
    ------
    BadInput
        If matplotlib is not installed.
    """
    from slewguard.subimages.draw import draw_snr, new_figure

    figure = new_figure("picture.png", (2.2, 2.2))
    axes = figure.add_axes((0, 0, 1, 1))
    draw_snr(axes, subimage.snr, subimage.mask)
    axes.set_axis_off()
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110, metadata={"Software": None})
    source = Html(f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode('ascii')}")
    return tag("img", src=source, alt=name, width=180, height=180)


def legend(entries: Iterable[tuple[str, str]]) -> Html:
    """Name the marks of a drawing: class of the style sheet and words."""
    return tag(
        "p", join(tag("span", tag("i", class_=style), " ", text(words)) for style, words in entries), class_="key"
    )
