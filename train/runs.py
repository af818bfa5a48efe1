"""What every run folder has: its provenance, its figures, and the marker by which an older one may be replaced."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np

from slewguard.subimages.contract import UNCLEAR, TriggerSet
from slewguard.subimages.errors import BadInput
from slewguard.subimages.paths import read_bytes
from slewguard.train.calibrate import check_causes, data_hash
from slewguard.train.data import split_by_sequence

MARKER = "provenance.json"
FILES = frozenset(
    {
        *(MARKER, "metrics.json", "training.png", "model.json", "float.safetensors"),
        *("baseline.json", "weights.safetensors", "weights.json"),
    }
)
"""Names that a run folder may hold."""


def marker(place: Path) -> str | None:
    """Name of the provenance if the one in ``place`` is of a run; folders of alerts hold one as well."""
    try:
        found = json.loads(read_bytes(place / MARKER, 2**26))
    except (BadInput, ValueError, RecursionError):
        return None
    return MARKER if isinstance(found, dict) and {"recipe", "data", "split"} <= set(found) else None


def split(triggers: TriggerSet, share: float, seed: int) -> tuple[TriggerSet, TriggerSet]:
    """Part the alerts labelled true or false into those to fit and those held out, by sequence.

    Parameters
    ----------
    triggers : TriggerSet
        Sub-images that break the contract and unclear alerts are left out.
    share : float
        Of the sequences, held out.
    seed : int

    Raises
    ------
    BadInput
        If labels are missing or contradict causes, or a class is missing among those to fit.
    """
    usable = labelled(triggers)
    first, second = split_by_sequence(usable, share, seed)
    fitted = usable.select(first)
    n_true = int(fitted.label.sum())
    if not 0 < n_true < len(fitted):
        raise BadInput(f"{n_true} true of {len(fitted)} labelled alerts to train on: both kinds are needed")
    return fitted, usable.select(second)


def labelled(triggers: TriggerSet) -> TriggerSet:
    """Return the alerts that keep the contract and are labelled true or false.

    Raises
    ------
    BadInput
        If labels are missing or contradict causes.
    """
    check_causes(triggers)
    return triggers.select(np.flatnonzero((triggers.rejected == 0) & (triggers.label != UNCLEAR)))


def about(triggers: TriggerSet) -> dict[str, Any]:
    """What identifies a trigger set."""
    return {
        "sha256": data_hash(triggers),
        "alerts": len(triggers),
        "simulated": triggers.simulated,
        "provenance": dict(triggers.provenance),
    }


def provenance(
    triggers: TriggerSet,
    recipe: dict[str, Any],
    seed: int,
    parts: tuple[TriggerSet, TriggerSet],
    packages: tuple[str, ...],
) -> dict[str, Any]:
    """What a run follows from; no times, hosts or paths, so that the same run gives the same bytes."""
    return {
        "recipe": recipe,
        "seed": seed,
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("slewguard", "numpy", *packages)},
        },
        "data": about(triggers),
        "split": {
            name: {"alerts": len(part), "sequences": len(np.unique(part.sequence)), "true": int(part.label.sum())}
            for name, part in zip(("fitted", "held_out"), parts, strict=True)
        },
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write strict JSON."""
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def plot_history(path: Path, history: list[dict[str, Any]]) -> None:
    """Draw loss and held-out figures over the epochs, where matplotlib is installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(7, 3), layout="constrained")
    FigureCanvasAgg(figure)
    epoch = np.arange(1, len(history) + 1)
    left, right = figure.subplots(1, 2)
    left.plot(epoch, [h["loss"] for h in history], "o-")
    left.set(xlabel="epoch", ylabel="training loss", yscale="log")
    for key, text in (("auc", "area under the curve"), ("rejection", "rejection at 0.99 retention")):
        right.plot(epoch, [np.nan if h[key] is None else h[key] for h in history], "o-", label=text)
    right.set(xlabel="epoch", ylabel="held-out sequences")
    right.legend()
    for axes in (left, right):
        n_float = sum(h["phase"] == "float" for h in history)
        if n_float < len(history):
            axes.axvline(n_float + 0.5, color="0.6", linestyle=":")
    figure.savefig(path, dpi=100, metadata={"Software": None})
