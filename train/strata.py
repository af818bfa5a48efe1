"""Alerts by what they are like: signal to noise, off-axis angle, coverage, distance to a known source, trigger.

A classifier may be good on the whole and bad where it matters. Every stratum has its n and intervals, bursts apart from
outbursts of known sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.export.planes import source_positions
from slewguard.subimages.contract import CENTRE, KNOWN_SOURCE, NO_DATA, TRIGGER_KINDS, TriggerSet
from slewguard.train.metrics import Measured, clustered, thresholds_shares

SKY_CENTRE = 99
"""Sky pixel of the optical axis on the 199x199 grid (published: 80 + 120 - 1 pixels)."""
TAN_PER_PIXEL = 4.5 / 460
"""Tangent of the off-axis angle per sky pixel: 4.5 mm over 460 mm from mask to detector (published)."""

EDGES: Mapping[str, tuple[float, ...]] = {
    "snr": (7.5, 9.0, 12.0, 20.0),
    "off_axis_deg": (10.0, 20.0, 30.0, 40.0),
    "coverage": (0.7, 0.9, 1.0),
    "source_distance_px": (1.0, 4.0, 10.0, 40.0),
}
"""Borders between the strata of each quantity; a value on a border belongs to the upper one. Beyond 40 pixels from the
trigger nothing is in view: the last stratum of the distance holds the alerts without a known source."""

STUDY_STRATA = ("source_in_view", "no_source_in_view", "burst", "outburst", "CRT", "IMT", "partial", "whole")


def quantities(triggers: TriggerSet) -> dict[str, NDArray[np.float64] | None]:
    """What the strata are made of, float64 [N] each; None where the set does not tell.

    Parameters
    ----------
    triggers : TriggerSet

    Returns
    -------
    dict
        ``snr`` at the trigger pixel; ``off_axis_deg``; ``coverage``, the share of the 55x55 field with data;
        ``source_distance_px`` to the nearest known source, infinite without one in view.
    """
    columns = triggers.columns
    off_axis = None
    if "sky_y" in columns and "sky_z" in columns:
        y, z = (columns[name].astype(np.float64) - SKY_CENTRE for name in ("sky_y", "sky_z"))
        off_axis = np.degrees(np.arctan(np.hypot(y, z) * TAN_PER_PIXEL))
    return {
        "snr": triggers.snr[:, CENTRE, CENTRE].astype(np.float64),
        "off_axis_deg": off_axis,
        "coverage": (triggers.mask[:, 1:, 1:] != NO_DATA).mean(axis=(1, 2)),
        "source_distance_px": nearest_source(triggers),
    }


def nearest_source(triggers: TriggerSet) -> NDArray[np.float64]:
    """Distance of the trigger pixel to the nearest known source in pixels, infinite without one. float64 [N]."""
    found = np.full(len(triggers), np.inf)
    catalogue_id = triggers.catalogue_id
    for i in np.flatnonzero((triggers.mask == KNOWN_SOURCE).any(axis=(1, 2)) | (catalogue_id >= 0)):
        away = source_positions(triggers.mask[i], int(catalogue_id[i]), 3) - CENTRE
        found[i] = np.hypot(away[:, 0], away[:, 1]).min(initial=np.inf)
    return found


def study_strata(triggers: TriggerSet) -> dict[str, NDArray[np.bool_]]:
    """Strata of the talk's studies (:data:`STUDY_STRATA`), bool [N] each.

    A known source in view and missing data are those of the 55x55 field; bursts and outbursts are true alerts.
    """
    known = np.isfinite(nearest_source(triggers))
    partial = (triggers.mask[:, 1:, 1:] == NO_DATA).any(axis=(1, 2))
    outburst = (triggers.label == 1) & (triggers.cause == "outburst")
    kind = triggers.columns.get("trigger", np.full(len(triggers), b"", dtype="S3"))
    crt, imt = (kind == name for name in TRIGGER_KINDS)
    burst = (triggers.label == 1) & ~outburst
    return dict(zip(STUDY_STRATA, (known, ~known, burst, outburst, crt, imt, partial, ~partial), strict=True))


def by_stratum(measured: Measured, triggers: TriggerSet) -> dict[str, list[dict[str, Any]] | None]:
    """Retention, rejection and abstained shares in every stratum.

    Parameters
    ----------
    measured : Measured
        Of :func:`slewguard.train.metrics.measured`.
    triggers : TriggerSet
        The same set.

    Returns
    -------
    dict
        By quantity of :data:`EDGES`, and ``trigger``: a list of strata with ``stratum`` (text), ``n``, ``sequences``;
        the shares of ``certified``; and at the cut that keeps 0.99 of all true alerts of this set
        ``bursts_kept_at_0.99``, ``outbursts_kept_at_0.99``, ``rejected_at_0.99``. None where the set does not tell.
    """
    known = triggers.select(measured.index)
    found: dict[str, list[dict[str, Any]] | None] = {}
    for name, values in quantities(known).items():
        if values is None:
            found[name] = None
            continue
        bins = np.digitize(values, EDGES[name])
        texts = _texts(name)
        found[name] = [_one(measured, bins == i, text) for i, text in enumerate(texts)]
    kind = known.columns.get("trigger")
    found["trigger"] = (
        None if kind is None else [_one(measured, kind == name, name.decode("ascii")) for name in TRIGGER_KINDS]
    )
    return found


def _texts(name: str) -> list[str]:
    edges = EDGES[name]
    middle = (f"{a:g} to {b:g}" for a, b in pairwise(edges))
    last = {"source_distance_px": "none in view", "coverage": "whole"}.get(name, f"{edges[-1]:g} and more")
    return [f"below {edges[0]:g}", *middle, last]


def _one(measured: Measured, group: NDArray[np.bool_], text: str) -> dict[str, Any]:
    part = measured.select(group)
    kept = None if part.cut is None else part.rank >= part.cut

    def of(kind: NDArray[np.bool_], hit: NDArray[np.bool_] | None) -> dict[str, Any] | None:
        return None if hit is None else clustered(hit[kind], part.sequence[kind])

    return {
        "stratum": text,
        "n": int(group.sum()),
        "sequences": len(np.unique(part.sequence)),
        **thresholds_shares(part),
        "bursts_kept_at_0.99": of(part.burst, kept),
        "outbursts_kept_at_0.99": of(part.outburst, kept),
        "rejected_at_0.99": of(part.false, None if kept is None else ~kept),
    }
