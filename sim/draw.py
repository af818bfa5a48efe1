"""One picture of a re-simulated alert: detector plane, sky, sub-image, time line, and the truth in words."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.defects import MODULE, SECTOR
from slewguard.sim.earth import direction
from slewguard.sim.exposures import Window
from slewguard.sim.onboard import Alert
from slewguard.sim.pointing import to_sky_px, unit_vector
from slewguard.sim.resimulate import Resimulated
from slewguard.sim.scene import Scene
from slewguard.sim.settings_trigger import TICK_S
from slewguard.sim.truth import tell, utc
from slewguard.subimages.contract import CENTRE, SIDE
from slewguard.subimages.draw import (
    NO_DATA_COLOUR,
    SOURCE_COLOUR,
    colour_scale,
    draw_mask,
    draw_snr,
    label_pixels,
    new_figure,
    save_figure,
)

Float64 = NDArray[np.float64]
_NEW_COLOUR = "#b000b0"
_EARTH_COLOUR = "#8a5a00"
_BAND_COLOURS = ("#1f4e79", "#2a9d8f", "#e09f3e", "#9e2a2b")
_NAMED = 10
_CURVE_STEPS = 120
_LISTED = 5
_LETTER_PX = 2.3
"""Mean width of a letter of the sources' names, sky pixels."""


def draw_alert(found: Resimulated, path: str | Path) -> None:
    """Draw a re-simulated alert with everything that led to it.

    Shadowgram, sky map with known sources, injected source and Earth limb, sub-image and mask, count rate about the
    exposure, all exposures of the sequence that alerted, and the truth.

    Parameters
    ----------
    found : Resimulated
    path : path-like
        Where to write; ``.png``, ``.svg`` or ``.pdf``. The same alert gives the same bytes.

    Raises
    ------
    BadInput
        If the suffix is another one, matplotlib is not installed, or the picture cannot be written.
    """
    width, height = 18.6, 11.6
    figure = new_figure(path, (width, height))

    def place(left: float, bottom: float, across: float, up: float) -> Any:
        return figure.add_axes((left / width, bottom / height, across / width, up / height))

    alert = found.alert
    facts = tell(found)
    figure.text(0.7 / width, 11.2 / height, _headline(facts), fontsize=14, fontweight="bold", va="center")

    image = _draw_shadowgram(place(0.7, 6.0, 4.6, 4.6), alert)
    figure.colorbar(image, cax=place(5.4, 6.0, 0.14, 4.6), label="counts")
    image = _draw_sky(place(6.9, 6.0, 4.6, 4.6), found, facts)
    figure.colorbar(image, cax=place(11.6, 6.0, 0.14, 4.6), extend="both", label="SNR (σ)")
    axes = place(13.1, 6.0, 4.6, 4.6)
    image = draw_snr(axes, found.subimage.snr, found.subimage.mask)
    axes.set_title(f"Sub-image, SNR {alert.peak.snr:.2f}", fontsize=11)
    label_pixels(axes)
    figure.colorbar(image, cax=place(17.8, 6.0, 0.14, 4.6), extend="both", label="SNR (σ)")

    _draw_rate(place(0.9, 3.3, 5.3, 1.7), found)
    _draw_windows(place(0.9, 0.7, 5.3, 1.8), found)
    draw_mask(place(7.1, 1.0, 4.0, 4.0), found.subimage)
    figure.text(12.2 / width, 5.2 / height, "\n".join(_words(found, facts)), fontsize=8.2, va="top", family="monospace")
    save_figure(figure, path)


def _headline(facts: dict[str, Any]) -> str:
    alert, truth = facts["alert"], facts["truth"]
    lo, hi = alert["band_kev"]
    cause = truth["cause"] if truth["cause"] == truth["label"] else f"{truth['label']}: {truth['cause']}"
    exposure = f"{alert['trigger']} alert, {alert['window_s']:g} s, {lo:g}-{hi:g} keV, SNR {alert['peak_snr']:.1f}"
    return f"{exposure}, {cause}   (simulated, {alert['stop_utc'][:19]} UTC)"


def _draw_shadowgram(axes: Any, alert: Alert) -> Any:
    plane = alert.shadowgram
    low, high = np.quantile(plane, (0.002, 0.998))
    image = axes.imshow(
        plane, origin="lower", cmap="viridis", vmin=low, vmax=max(high, low + 1.0), interpolation="nearest"
    )
    for (rows, columns), weight in ((MODULE, 0.35), (SECTOR, 1.1)):
        for at in range(rows, len(plane), rows):
            axes.axhline(at - 0.5, color="white", lw=weight, alpha=0.5)
        for at in range(columns, len(plane), columns):
            axes.axvline(at - 0.5, color="white", lw=weight, alpha=0.5)
    axes.set_title(f"Shadowgram, {plane.sum():.0f} counts; lines: modules and sectors", fontsize=11)
    axes.set_xlabel("y (pixel)", fontsize=9)
    axes.set_ylabel("z (pixel)", fontsize=9)
    axes.tick_params(labelsize=8)
    return image


def _draw_sky(axes: Any, found: Resimulated, facts: dict[str, Any]) -> Any:
    from matplotlib.patches import Rectangle

    alert, scene = found.alert, found.simulated.scene
    side = len(alert.snr)
    scale = colour_scale(alert.snr)
    axes.set_facecolor(NO_DATA_COLOUR)
    image = axes.imshow(
        np.ma.masked_invalid(alert.snr), origin="lower", cmap="RdBu_r", vmin=-scale, vmax=scale, interpolation="nearest"
    )
    _draw_limb(axes, scene, alert.window)
    row, column = alert.peak.row, alert.peak.column
    corner = column - CENTRE - 0.5, row - CENTRE - 0.5
    axes.add_patch(Rectangle(corner, SIDE, SIDE, fc="none", ec="black", lw=1.0, ls="--"))
    _draw_known(axes, facts, corner, side)
    for truth in scene.truths:
        if truth.new is not None:
            axes.plot(truth.new.y, truth.new.z, "*", mfc="none", mec=_NEW_COLOUR, mew=1.4, ms=17, clip_on=True)
    axes.plot(column, row, "+", color="black", ms=12, mew=1.2)
    _draw_compass(axes, scene, side)
    axes.set_xlim(-0.5, side - 0.5)
    axes.set_ylim(-0.5, side - 0.5)
    axes.set_title("Sky map: + peak, □ sub-image, ○ known, ☆ injected", fontsize=11)
    axes.set_xlabel("y (sky pixel)", fontsize=9)
    axes.set_ylabel("z (sky pixel)", fontsize=9)
    axes.tick_params(labelsize=8)
    return image


def _draw_known(axes: Any, facts: dict[str, Any], corner: tuple[float, float], side: int) -> None:
    """Circle the known sources where the onboard catalogue has them; name the brightest and those of the sub-image."""
    on_map = [
        s for s in facts["known_sources"] if 0 <= s["catalogue_sky_y"] < side and 0 <= s["catalogue_sky_z"] < side
    ]
    taken: list[tuple[float, float, float]] = []
    for rank, source in enumerate(on_map):
        y, z = source["catalogue_sky_y"], source["catalogue_sky_z"]
        axes.plot(y, z, "o", mfc="none", mec=SOURCE_COLOUR, mew=1.2, ms=8)
        near = 0 <= y - corner[0] < SIDE and 0 <= z - corner[1] < SIDE
        name = f"{source['name']} ({source['number']})" if rank < _NAMED or near else str(source["number"])
        text = name if source["seen"] else f"{name}, behind Earth"
        left, bottom = _free_place(y, z, _LETTER_PX * len(text), taken, side)
        behind = {"fc": "white", "ec": "none", "alpha": 0.7, "pad": 0.4}
        axes.text(left, bottom, text, fontsize=6.5, color=SOURCE_COLOUR, va="center", clip_on=True, bbox=behind)


def _free_place(
    y: float, z: float, width: float, taken: list[tuple[float, float, float]], side: int
) -> tuple[float, float]:
    """Find a place beside (y, z) for a text [sky pixels] that covers none before it, and take it."""
    around = [(y + 4.0, z + 2.0 + step) for step in (0, 5, -5, 10, -10)]
    around += [(y - 4.0 - width, z + 2.0 + step) for step in (0, 5, -5, 10, -10)]
    inside = [at for at in around if at[0] > 0 and at[0] + width < side] or around
    free = (
        at
        for at in inside
        if all(abs(at[1] - t[1]) >= 4.5 or at[0] > t[0] + t[2] or t[0] > at[0] + width for t in taken)
    )
    left, bottom = next(free, inside[0])
    taken.append((left, bottom, width))
    return left, bottom


def _draw_limb(axes: Any, scene: Scene, window: Window) -> None:
    """Draw the Earth's limb at begin (dotted), middle (solid) and end (dashed) of the exposure, disc side hatched."""
    geometry, radius = scene.mission.config.instrument, np.cos(np.radians(scene.mission.earth_radius_deg))
    z, y = np.mgrid[: geometry.sky_side, : geometry.sky_side]
    where = direction(geometry, y.astype(float), z.astype(float))
    times = np.array([window.start, 0.5 * (window.start + window.stop), window.stop]) * TICK_S
    for earth, style in zip(
        scene.mission.earth_in_body(scene.pointing, times), ("dotted", "solid", "dashed"), strict=True
    ):
        inside = where @ earth - radius
        if inside.min() < 0 < inside.max():
            axes.contour(inside, levels=[0.0], colors=_EARTH_COLOUR, linestyles=style, linewidths=1.4)
        if style == "solid" and inside.max() > 0:
            axes.contourf(inside, levels=[0.0, 2.0], colors="none", hatches=["///"])


def _draw_compass(axes: Any, scene: Scene, side: int) -> None:
    p = scene.pointing
    start = np.array([side - 24.0, 24.0])
    axes.plot(*start, "o", color="white", ms=44, alpha=0.85, zorder=4)
    east_step = min(0.1 / max(float(np.cos(np.radians(p.dec_deg))), 0.01), 10.0)
    for name, ra, dec in (("N", p.ra_deg, p.dec_deg + 0.1), ("E", p.ra_deg + east_step, p.dec_deg)):
        y, z, _ = to_sky_px(p.attitude, unit_vector(ra, dec), scene.mission.config.instrument)
        offset = np.array([float(y), float(z)]) - side // 2
        arrow = 13.0 * offset / np.linalg.norm(offset)
        axes.annotate("", start + arrow, start, arrowprops={"arrowstyle": "->", "lw": 1.0}, zorder=5)
        axes.text(*(start + 1.35 * arrow), name, fontsize=8, ha="center", va="center", zorder=5)


def _draw_rate(axes: Any, found: Resimulated) -> None:
    """Draw the expected count rate of the band about the exposure, and the counts of the exposures of that band."""
    scene, alert = found.simulated.scene, found.alert
    window = alert.window
    band = scene.mission.response.bands[window.band]
    start, stop = window.start * TICK_S, window.stop * TICK_S
    edges = np.linspace(start - 1.5 * (stop - start), stop + 1.5 * (stop - start), _CURVE_STEPS + 1)
    rates = [float(np.sum((scene.expected(a, b) + scene.arrived(a, b))[band])) / (b - a) for a, b in pairwise(edges)]
    axes.axvspan(0.0, stop - start, color="0.9", lw=0)
    axes.stairs(rates, edges - start, baseline=None, color=_BAND_COLOURS[window.band % len(_BAND_COLOURS)], lw=1.2)
    for other in found.simulated.alerts:
        w = other.window
        if w.band == window.band and w.stop * TICK_S > edges[0] and w.start * TICK_S < edges[-1]:
            counts = float(other.shadowgram.sum())
            axes.errorbar(
                (0.5 * (w.start + w.stop) * TICK_S - start),
                counts / w.seconds,
                xerr=0.5 * w.seconds,
                yerr=np.sqrt(max(counts, 0.0)) / w.seconds,
                color="black" if w == window else "0.45",
                lw=1.3 if w == window else 0.7,
            )
    lo, hi = scene.mission.config.trigger.bands_kev[window.band]
    axes.set_xlim(edges[0] - start, edges[-1] - start)
    axes.set_title(f"Count rate {lo:g}-{hi:g} keV: expected, and measured in alerts", fontsize=10)
    axes.set_ylabel("counts/s", fontsize=9)
    axes.set_xlabel(f"s since {utc(scene, start)[11:]}, the exposure shaded", fontsize=9)
    axes.tick_params(labelsize=8)


def _draw_windows(axes: Any, found: Resimulated) -> None:
    """Draw the exposures of the sequence that alerted as bars of time, the one shown with a frame."""
    from matplotlib.patches import Patch

    scene, alerts, truth = found.simulated.scene, found.simulated.alerts, found.simulated.truth
    zero = alerts[0].window.start * TICK_S
    first = min(a.window.start for a in alerts) * TICK_S - zero
    last = max(a.window.stop for a in alerts) * TICK_S - zero
    margin = 0.04 * (last - first)
    for k, alert in enumerate(alerts):
        w = alert.window
        chosen = k == found.index
        axes.barh(
            k,
            max(w.seconds, 0.004 * (last - first)),
            left=w.start * TICK_S - zero,
            height=0.8,
            color=_BAND_COLOURS[w.band % len(_BAND_COLOURS)],
            alpha=1.0 if chosen else 0.55,
            edgecolor="black" if chosen else "none",
            lw=1.3,
        )
    axes.axvspan(truth.start_s - zero, truth.stop_s - zero, color=_NEW_COLOUR, alpha=0.08, lw=0)
    axes.set_xlim(first - margin, last + margin)
    axes.set_ylim(len(alerts) - 0.4, -0.6)
    axes.set_yticks([0, len(alerts) - 1] if len(alerts) > 1 else [0])
    axes.set_title(f"Alerts of the sequence: {len(alerts)} (framed: this one; pink: the event)", fontsize=10)
    axes.set_xlabel(f"s since {utc(scene, zero)[11:]}", fontsize=9)
    axes.tick_params(labelsize=8)
    bands = scene.mission.config.trigger.bands_kev
    used = sorted({a.window.band for a in alerts})
    handles = [
        Patch(fc=_BAND_COLOURS[b % len(_BAND_COLOURS)], label=f"{bands[b][0]:g}-{bands[b][1]:g} keV") for b in used
    ]
    axes.legend(handles=handles, fontsize=7, loc="best", framealpha=0.7)


def _words(found: Resimulated, facts: dict[str, Any]) -> list[str]:
    """Return the text of the picture, line by line."""
    alert, event, pointing, truth = (facts[name] for name in ("alert", "event", "pointing", "truth"))
    known = "none" if alert["catalogue_id"] < 0 else f"{alert['catalogue_id']} {alert['catalogue_name']}"
    lines = [
        f"label    {truth['label']}   cause {truth['cause']}",
        "shares of the peak:",
        *(f"  {s['share']:+7.3f}  {s['cause']}" for s in truth["shares"][:_LISTED]),
        f"  {1.0 - sum(s['share'] for s in truth['shares']):+7.3f}  noise and steady background",
        f"window   {alert['start_utc']} UTC",
        f"      to {alert['stop_utc']} UTC",
        f"peak     SNR {alert['peak_snr']:.2f}, second {alert['second_peak']:.2f}, map std {alert['map_std']:.3f}",
        f"         RA {alert['ra_deg']:.3f} Dec {alert['dec_deg']:+.3f}, R90 {alert['r90_arcmin']:.1f} arcmin",
        f"         sky pixel y {alert['sky_y']:.2f} z {alert['sky_z']:.2f}, known source: {known}",
        f"         {'asks to slew' if alert['slew'] else 'no slew'}",
        f"event    {event['cause']}, sequence {event['sequence']}, alert {found.index + 1}"
        f" of {len(facts['sequence_alerts'])}",
        f"         {event['start_utc']} for {event['stop_s'] - event['start_s']:.1f} s",
    ]
    new = event["new_source"]
    if new is not None:
        lines += [
            f"injected RA {new['ra_deg']:.3f} Dec {new['dec_deg']:+.3f}, {new['from_alert_arcmin']:.1f} arcmin away",
            f"         {sum(new['detected_per_cm2']):.3g} photons/cm2 detected, T90 {new['t90_s']:.2f} s",
        ]
    lines += [f"defect   {d['cause']} on {', '.join(d['acts_on'])}" for d in event["disturbances"][:_LISTED]]
    for fault in event["catalogue_faults"][:_LISTED]:
        whom = "all sources" if fault["number"] < 0 else f"source {fault['number']}"
        moved = f"moved {np.hypot(fault['dy'], fault['dz']):.2f} px, flux x {fault['flux_factor']:.2f}"
        lines.append(f"fault    {fault['cause']}: {whom}, {moved}, model {fault['model_error']:+.3f}")
    if event["bright_limb"] is not None:
        lines.append(f"limb     bright part {event['bright_limb']['brightness']:.2g} x CXB")
    telescope = facts["telescope"]
    mask = "from file" if telescope["mask_seed"] is None else f"seed {telescope['mask_seed']}"
    return [
        *lines,
        f"pointing {pointing['kind']} slot {pointing['slot']}, mask {mask}",
        f"         RA {pointing['ra_deg']:.3f} Dec {pointing['dec_deg']:+.3f} roll {pointing['roll_deg']:.2f}",
        f"         axis to Earth limb {telescope['axis_to_limb_deg']:.1f} deg",
    ]
