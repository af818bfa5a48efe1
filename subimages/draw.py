"""Pictures of sub-images for people: what the Burst Advocate looks at to believe, or not, a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.subimages.atomic import atomic_output
from slewguard.subimages.contract import CENTRE, KNOWN_SOURCE, NO_DATA, REASONS, SIDE, SubImage, TriggerSet
from slewguard.subimages.describe import plain
from slewguard.subimages.errors import BadInput

NO_DATA_COLOUR = "0.82"
SOURCE_COLOUR = "#007a33"
_MASK_COLOURS = (NO_DATA_COLOUR, "white", SOURCE_COLOUR, "black")
_MASK_NAMES = ("no data", "background", "known source", "trigger pixel")

# The colour scale ends no lower than this (in sigma), or else pure noise would look like sources.
_LEAST_SCALE = 5.0
_SOURCE_RADIUS = 3.2  # pixels; just outside the core of the point spread function

_METADATA: Mapping[str, Mapping[str, str | None]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
"""Formats by suffix, with what would make two pictures of the same thing differ taken out."""


def draw_subimage(
    subimage: SubImage, path: str | Path, *, title: str | None = None, verdict_line: str | None = None
) -> None:
    """Draw SNR, mask, and the profiles along row and column through the trigger pixel.

    Parameters
    ----------
    subimage : SubImage
    path : path-like
        Where to write; ``.png``, ``.svg`` or ``.pdf``. The same sub-image gives the same bytes.
    title : str, optional
        Headline; without one, what the sub-image knows of itself.
    verdict_line : str, optional
        Verdict and score, printed below the headline.

    Raises
    ------
    BadInput
        If the suffix is another one, matplotlib is not installed, or the picture cannot be written.
    """
    width, height = 13.0, 5.4
    figure = new_figure(path, (width, height))

    def place(left: float, bottom: float, across: float, up: float) -> Any:
        return figure.add_axes((left / width, bottom / height, across / width, up / height))

    heading = _caption(subimage.meta) if title is None else title
    figure.text(0.6 / width, 5.1 / height, heading, fontsize=13, fontweight="bold", va="center")
    if verdict_line is not None:
        figure.text(0.6 / width, 4.8 / height, verdict_line, fontsize=11, va="center")

    axes = place(0.6, 0.75, 3.6, 3.6)
    image = draw_snr(axes, subimage.snr, subimage.mask)
    axes.set_title("SNR", fontsize=11)
    label_pixels(axes)
    figure.colorbar(image, cax=place(4.3, 0.75, 0.14, 3.6), extend="both", label="SNR (σ)")

    draw_mask(place(5.7, 0.75, 3.6, 3.6), subimage)
    _draw_profile(place(9.9, 2.95, 2.9, 1.4), subimage, "row")
    _draw_profile(place(9.9, 0.75, 2.9, 1.4), subimage, "column")
    save_figure(figure, path)


def draw_triggers(triggers: TriggerSet, path: str | Path, limit: int = 25) -> None:
    """Draw the first alerts of a set side by side, each with its label, cause and SNR at the trigger.

    Each panel has its own colour scale, since a bright source would blank all others on a common one.

    Parameters
    ----------
    triggers : TriggerSet
        Sub-images that break the contract are drawn too, with their reason.
    path : path-like
        Where to write; ``.png``, ``.svg`` or ``.pdf``.
    limit : int
        Largest number of alerts drawn.

    Raises
    ------
    BadInput
        As :func:`draw_subimage`, or if the set is empty.
    """
    shown = min(len(triggers), limit)
    if shown < 1:
        raise BadInput("there is no alert to draw", path)
    across = min(5, shown)
    down = -(-shown // across)
    width, height = max(2.4 * across, 4.0) + 0.2, 2.7 * down + 0.6
    figure = new_figure(path, (width, height))
    grid = figure.add_gridspec(
        down,
        across,
        left=0.1 / width,
        right=1 - 0.1 / width,
        bottom=0.15 / height,
        top=1 - 0.7 / height,
        wspace=0.06,
        hspace=0.24,
    )
    for i in range(shown):
        axes = figure.add_subplot(grid[i // across, i % across])
        draw_snr(axes, triggers.snr[i], triggers.mask[i])
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(_panel_title(triggers, i), fontsize=8, pad=3)
    simulated = ", simulated" if triggers.simulated else ""
    count = f"{shown} of {len(triggers)} alerts{simulated}"
    figure.text(0.1 / width, 1 - 0.25 / height, count, fontsize=11, fontweight="bold", va="center")
    save_figure(figure, path)


def new_figure(path: str | Path, size: tuple[float, float]) -> Any:
    """Return an empty matplotlib figure of a size in inches, for a picture that may be written to ``path``."""
    if Path(path).suffix.lower() not in _METADATA:
        raise BadInput(f"a picture must end in {', '.join(_METADATA)}", path)
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise BadInput("drawing needs matplotlib: pip install 'slewguard[plots]'") from None
    # A figure of its own, without pyplot: no global state, no display.
    figure = Figure(figsize=size, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Any, path: str | Path) -> None:
    """Write a figure, whole or not at all; the same figure gives the same bytes."""
    import matplotlib

    suffix = Path(path).suffix.lower()
    # SVG names its elements by a random salt unless told one.
    with atomic_output(path) as beside, matplotlib.rc_context({"svg.hashsalt": "slewguard"}):
        figure.savefig(beside, format=suffix[1:], dpi=110, metadata=dict(_METADATA[suffix]))


def colour_scale(snr: NDArray[np.float32]) -> float:
    """Return the end of the colour scale in sigma; only one pixel in a thousand lies beyond it."""
    known = np.abs(snr[np.isfinite(snr)])
    return max(_LEAST_SCALE, float(np.quantile(known, 0.999)) if known.size else 0.0)


def draw_snr(axes: Any, snr: NDArray[np.float32], mask: NDArray[np.uint8]) -> Any:
    """Draw a sub-image's SNR with its known sources and the open cross about the trigger; return the image."""
    from matplotlib.patches import Circle
    from scipy import ndimage

    scale = colour_scale(snr)
    _hatch_no_data(axes)
    image = axes.imshow(
        np.ma.masked_invalid(snr), origin="lower", cmap="RdBu_r", vmin=-scale, vmax=scale, interpolation="nearest"
    )
    # Other people's masks mark a source by a patch of pixels: one circle for each patch.
    patches, n_patches = ndimage.label(mask == KNOWN_SOURCE, structure=np.ones((3, 3)))
    for row, column in ndimage.center_of_mass(patches > 0, patches, range(1, n_patches + 1)):
        axes.add_patch(Circle((column, row), _SOURCE_RADIUS, fc="none", ec=SOURCE_COLOUR, lw=1.6))
    # The cross leaves its middle open, so that the pixel that triggered stays visible.
    reach, gap = 4.5, 1.8
    for step_y, step_x in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        axes.plot(
            [CENTRE + gap * step_x, CENTRE + reach * step_x],
            [CENTRE + gap * step_y, CENTRE + reach * step_y],
            color="black",
            lw=1.3,
        )
    axes.set_xlim(-0.5, SIDE - 0.5)
    axes.set_ylim(-0.5, SIDE - 0.5)
    return image


def _hatch_no_data(axes: Any) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((-0.5, -0.5), SIDE, SIDE, fc=NO_DATA_COLOUR, ec="0.65", hatch="////", lw=0, zorder=-1))


def draw_mask(axes: Any, subimage: SubImage) -> None:
    """Draw a sub-image's mask with a legend of the codes that it holds."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    axes.imshow(
        subimage.mask, origin="lower", cmap=ListedColormap(_MASK_COLOURS), vmin=-0.5, vmax=3.5, interpolation="nearest"
    )
    title = "Mask"
    if subimage.catalogue_id >= 0:
        title += f" (catalogue source {subimage.catalogue_id} at the trigger)"
    axes.set_title(title, fontsize=11)
    label_pixels(axes)
    present = np.unique(subimage.mask)
    handles = [Patch(fc=_MASK_COLOURS[code], ec="0.4", label=f"{code} {_MASK_NAMES[code]}") for code in present]
    axes.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.1),
        ncol=4,
        columnspacing=1.0,
        handlelength=1.2,
        fontsize=8,
        frameon=False,
    )


def _draw_profile(axes: Any, subimage: SubImage, along: str) -> None:
    """Draw the SNR along the trigger's row or column, with the pixels that have no data shaded."""
    across_row = along == "row"
    line = subimage.snr[CENTRE] if across_row else subimage.snr[:, CENTRE]
    codes = subimage.mask[CENTRE] if across_row else subimage.mask[:, CENTRE]
    axes.axhline(0.0, color="0.6", lw=0.8)
    for pixel in np.flatnonzero(codes == NO_DATA):
        axes.axvspan(pixel - 0.5, pixel + 0.5, color=NO_DATA_COLOUR, lw=0)
    axes.axvline(CENTRE, color="black", lw=0.8, ls=":")
    axes.step(np.arange(SIDE), line, where="mid", color="#1f4e79", lw=1.3)
    sources = np.flatnonzero(codes == KNOWN_SOURCE)
    axes.plot(sources, line[sources], "o", mfc="none", mec=SOURCE_COLOUR, mew=1.4, ms=8)
    axes.set_xlim(-0.5, SIDE - 0.5)
    axes.set_title(f"Along the trigger's {along}", fontsize=10)
    axes.set_xlabel("column (pixel)" if across_row else "row (pixel)", fontsize=9)
    axes.set_ylabel("SNR (σ)", fontsize=9)
    axes.tick_params(labelsize=8)


def label_pixels(axes: Any) -> None:
    """Label the axes of a sub-image."""
    axes.set_xlabel("column (pixel)", fontsize=9)
    axes.set_ylabel("row (pixel)", fontsize=9)
    axes.set_xticks(range(0, SIDE, 14))
    axes.set_yticks(range(0, SIDE, 14))
    axes.tick_params(labelsize=8)


def _caption(meta: Mapping[str, Any]) -> str:
    """Return what is known of an alert in one line, such as ``IMT alert, 20.48 s, 8-120 keV, SNR 9.1``."""
    known = {name: value for name, value in ((n, plain(v)) for n, v in meta.items()) if value not in (None, "")}
    parts = [f"{known['trigger']} alert" if "trigger" in known else "Alert"]
    if "window_s" in known:
        parts.append(f"{known['window_s']:g} s")
    if {"band_lo_kev", "band_hi_kev"} <= set(known):
        parts.append(f"{known['band_lo_kev']:g}-{known['band_hi_kev']:g} keV")
    if "peak_snr" in known:
        parts.append(f"peak {known['peak_snr']:.1f} σ")
    if "cause" in known:
        parts.append(f"cause: {known['cause']}")
    return ", ".join(parts)


def _panel_title(triggers: TriggerSet, i: int) -> str:
    words = []
    if "label" in triggers.columns:
        words.append({1: "true", 0: "false"}.get(int(triggers.label[i]), "unclear"))
    if triggers.cause[i]:
        words.append(str(triggers.cause[i]))
    if triggers.rejected[i]:
        words.append(f"rejected: {REASONS[triggers.rejected[i]]}")
    else:
        words.append(f"{triggers.snr[i, CENTRE, CENTRE]:.1f} σ")
    return f"{i}: " + ", ".join(words)
