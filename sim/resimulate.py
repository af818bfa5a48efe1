"""An alert of a trigger set, simulated again from its seed: everything that led to it, and the truth in words.

A trigger set tells its seed and configuration, and every event has its own random numbers, so that one event alone
comes out again as it was. That it does is checked against the stored sub-image, byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from slewguard.sim.config import SimConfig, config_of
from slewguard.sim.onboard import Alert
from slewguard.sim.shards import MADE_BY
from slewguard.sim.timeline import MAX_EVENTS_PER_DAY, EventId, Simulated, events, simulate_event, sub_images
from slewguard.subimages.contract import SubImage, TriggerSet
from slewguard.subimages.errors import BadInput
from slewguard.subimages.hdf5 import read_triggers_hdf5


class NotReproduced(Exception):
    """The alert does not come out as it is stored: made by another version or with another configuration."""


@dataclass(frozen=True)
class Resimulated:
    """An event that was simulated again, and which of its alerts was asked for."""

    simulated: Simulated
    index: int
    subimage: SubImage

    @property
    def alert(self) -> Alert:
        """The alert that was asked for."""
        return self.simulated.alerts[self.index]


def resimulate(
    path: str | Path, *, alert: int | None = None, sequence: int | None = None, files: SimConfig | None = None
) -> Resimulated:
    """Simulate the event behind an alert of a trigger set again.

    Parameters
    ----------
    path : path-like
        HDF5 trigger set that :func:`slewguard.sim.campaign.simulate_to_file` wrote, or a part of one.
    alert : int, optional
        Index in the file.
    sequence : int, optional
        Instead: the alert of this sequence with the highest SNR. Exactly one of the two is given.
    files : SimConfig, optional
        Names the files (mask, catalogue, ...) where the campaign was simulated with some.

    Raises
    ------
    BadInput
        If the file holds no such alert, does not tell how it was simulated, or needs files that are not named.
    NotReproduced
        If the alert does not come out as stored.
    """
    triggers = read_triggers_hdf5(path)
    config, days, seed = _campaign(triggers.provenance, path, files)
    if "sequence" not in triggers.columns:
        raise BadInput("does not tell the sequence of its alerts", path)
    row = _row(triggers, alert, sequence, path)
    number = int(triggers.sequence[row])
    what = f"{path}: alert {row} (sequence {number})"
    found = find_event(config, days, seed, number)
    if found is None:
        raise NotReproduced(f"{what}: its campaign has no such event; {_versions(triggers.provenance)}")
    simulated = simulate_event(config, seed, found)
    if simulated is not None:
        for index, image in enumerate(sub_images(simulated)):
            same = image.snr.tobytes() == triggers.snr[row].tobytes()
            if same and image.mask.tobytes() == triggers.mask[row].tobytes():
                return Resimulated(simulated, index, image)
    raise NotReproduced(f"{what}: does not come out of its seed as it is stored; {_versions(triggers.provenance)}")


def find_event(config: SimConfig, days: float, seed: int, sequence: int) -> EventId | None:
    """Find an event of a time line by the sequence number of its alerts; None where there is none."""
    day = sequence // MAX_EVENTS_PER_DAY
    if not 0 <= day < days:
        return None
    return next((e for e in events(config, min(days, day + 1), seed) if e.sequence == sequence), None)


def _campaign(provenance: Mapping[str, Any], path: str | Path, files: SimConfig | None) -> tuple[SimConfig, float, int]:
    if provenance.get("made_by") != MADE_BY:
        raise BadInput("was not simulated here, so that nothing can be simulated again", path)
    days, seed, changes = provenance.get("days"), provenance.get("seed"), provenance.get("config")
    if not (isinstance(days, float) and 0 < days < np.inf and type(seed) is int and 0 <= seed < 2**64):
        raise BadInput("does not tell the days and the seed of its campaign", path)
    if changes is None:
        config = files or SimConfig()
    elif isinstance(changes, dict):
        config = config_of(changes, path, files, "its configuration")
    else:
        raise BadInput("its configuration is no mapping of sections", path)
    made, here = str(provenance.get("config_sha256")), config.digest()
    if made != here:
        raise NotReproduced(
            f"{path}: was simulated with another configuration (SHA-256 {made[:12]}, here {here[:12]}) "
            f"or other defaults; {_versions(provenance)}"
        )
    return config, days, seed


def _row(triggers: TriggerSet, alert: int | None, sequence: int | None, path: str | Path) -> int:
    if (alert is None) == (sequence is None):
        raise BadInput("name either an alert or a sequence", path)
    if alert is not None:
        if not 0 <= alert < len(triggers):
            raise BadInput(f"no alert {alert}; there are {len(triggers)}", path)
        return alert
    rows = np.flatnonzero(triggers.sequence == sequence)
    if not len(rows):
        raise BadInput(f"no sequence {sequence}", path)
    heights = triggers.snr[rows].max(axis=(1, 2), where=triggers.mask[rows] == 3, initial=-np.inf)
    return int(rows[int(np.argmax(heights))])


def _versions(provenance: Mapping[str, Any]) -> str:
    return f"made by version {provenance.get('version')}, this is {version('slewguard')}"
