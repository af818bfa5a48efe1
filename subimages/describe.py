"""What a sub-image or a trigger set holds, in numbers, as JSON-able dictionaries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.subimages.columns import LABEL_NAMES
from slewguard.subimages.contract import (
    CENTRE,
    FALSE,
    FALSE_CAUSES,
    KNOWN_SOURCE,
    NO_DATA,
    REASONS,
    SHAPE,
    TRUE,
    TRUE_CAUSES,
    SubImage,
    TriggerSet,
)


def describe(what: TriggerSet | SubImage) -> dict[str, Any]:
    """Describe a trigger set or a sub-image.

    Parameters
    ----------
    what : TriggerSet or SubImage

    Returns
    -------
    dict
        JSON-able. Of a set: ``n``, ``simulated``, ``columns``, ``labels``, ``causes``, ``contradictions``
        (alerts whose label and cause disagree), ``sequences``, ``windows_s``, ``triggers``, ``snr``, ``partial``,
        ``known_sources``, ``rejected``, ``provenance``. Of a sub-image: ``snr``, ``peak`` (row, column, SNR),
        ``at_trigger``, ``no_data_share``, ``known_sources`` (positions), ``catalogue_id``, ``meta``. SNR is in
        sigma; shares are of pixels or of alerts as their names say; ``None`` stands for what is not known.
    """
    return _describe_set(what) if isinstance(what, TriggerSet) else _describe_one(what)


def _describe_set(triggers: TriggerSet) -> dict[str, Any]:
    columns, n = triggers.columns, len(triggers)
    rejected = triggers.rejected > 0
    partial = (triggers.mask == NO_DATA).any(axis=(1, 2)) & ~rejected
    sources = (triggers.mask == KNOWN_SOURCE).any(axis=(1, 2)) & ~rejected
    sequences = np.unique(triggers.sequence, return_counts=True)[1]
    return {
        "n": n,
        "simulated": triggers.simulated,
        "columns": sorted(columns),
        "labels": _labels(triggers),
        "causes": _counts(triggers.cause) if "cause" in columns else None,
        "contradictions": _contradictions(triggers),
        "sequences": {
            "known": "sequence" in columns,
            "n": len(sequences),
            "longest": int(sequences.max(initial=0)),
        },
        "windows_s": _counts(columns["window_s"]) if "window_s" in columns else None,
        "triggers": _counts(np.char.decode(columns["trigger"], "ascii")) if "trigger" in columns else None,
        "snr": _range(triggers.snr[~rejected]),
        "at_trigger": _range(triggers.snr[~rejected, CENTRE, CENTRE]),
        "partial": {"n": int(partial.sum()), "share_of_alerts": float(partial.mean()) if n else None},
        "known_sources": {"n": int(sources.sum()), "share_of_alerts": float(sources.mean()) if n else None},
        "rejected": {
            "n": int(rejected.sum()),
            "reasons": _counts(np.array([REASONS[code] for code in triggers.rejected[rejected]], dtype="U16")),
        },
        "provenance": dict(triggers.provenance),
    }


def _describe_one(subimage: SubImage) -> dict[str, Any]:
    row, column = np.unravel_index(int(np.nanargmax(subimage.snr)), SHAPE)
    return {
        "snr": _range(subimage.snr),
        "peak": {"row": int(row), "column": int(column), "snr": float(subimage.snr[row, column])},
        "at_trigger": float(subimage.snr[CENTRE, CENTRE]),
        "no_data_share": float((subimage.mask == NO_DATA).mean()),
        "known_sources": [[int(r), int(c)] for r, c in np.argwhere(subimage.mask == KNOWN_SOURCE)],
        "catalogue_id": subimage.catalogue_id,
        "meta": {name: plain(value) for name, value in sorted(subimage.meta.items())},
    }


def plain(value: Any) -> Any:
    """Return a value of a column as plain Python; text for bytes, None for what is not a number."""
    if isinstance(value, bytes):
        return value.decode("ascii", "replace")
    if isinstance(value, np.generic):
        value = float(str(value)) if isinstance(value, np.floating) else value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _labels(triggers: TriggerSet) -> Mapping[str, int] | None:
    if "label" not in triggers.columns:
        return None
    return {word: int((triggers.label == number).sum()) for word, number in LABEL_NAMES.items()}


def _contradictions(triggers: TriggerSet) -> int | None:
    if not {"label", "cause"} <= set(triggers.columns):
        return None
    label, cause = triggers.label, triggers.cause
    wrong = (label == FALSE) & np.isin(cause, TRUE_CAUSES) | (label == TRUE) & np.isin(cause, FALSE_CAUSES)
    return int(wrong.sum())


def _counts(values: NDArray[Any]) -> dict[str, int]:
    found, counts = np.unique(values, return_counts=True)
    return {str(plain(value)): int(count) for value, count in zip(found, counts, strict=True)}


def _range(snr: NDArray[np.float32]) -> dict[str, float] | None:
    """Return smallest, median and largest SNR of the pixels with data, None where there are none."""
    known = snr[np.isfinite(snr)]
    if not known.size:
        return None
    return {"min": float(known.min()), "median": float(np.median(known)), "max": float(known.max())}
