"""What the population rows are read from: the alerts of a campaign, and the public notices."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.config import SimConfig
from slewguard.subimages.contract import BURST_CAUSES, CENTRE, KNOWN_SOURCE, NO_DATA, SIDE, TRUE, TriggerSet
from slewguard.subimages.errors import BadInput

PUBLISHED_SNR = 7.9
"""The lowest SNR of a public wakeup notice is 7.95."""
NEAR_PX = 10.0
_NEEDED = ("label", "cause", "sequence", "peak_snr", "window_s", "band_lo_kev", "band_hi_kev", "sky_y", "sky_z")
_WAKEUP, _RETRACTION = "202", "219"


@dataclass(frozen=True)
class Population:
    """The alerts of some days of the mission, in order of time within each sequence.

    Raises
    ------
    BadInput
        If the trigger set lacks a column, or is not a whole campaign at nature's rates.
    """

    triggers: TriggerSet
    days: float

    @classmethod
    def of(cls, triggers: TriggerSet, config: SimConfig) -> Population:
        """Check that a trigger set is a whole campaign of a configuration."""
        made = triggers.provenance
        days = made.get("days")
        if not isinstance(days, int | float) or not days > 0:
            raise BadInput("holds no campaign: its provenance names no days")
        if made.get("config_sha256") != config.digest():
            raise BadInput("was simulated with another configuration than the one the scorecard is asked for")
        if list(made.get("shard", [0, 1])) != [0, 1]:
            raise BadInput("is one shard of a campaign; join all of them first")
        if config.rates.enrich != 1.0:
            raise BadInput("rates.enrich must be 1: counts of an enriched campaign are not nature's")
        lacking = [name for name in (*_NEEDED, "trigger", "time_s", "catalogue_id") if name not in triggers.columns]
        if lacking:
            raise BadInput(f"lacks the column {lacking[0]}")
        return cls(triggers, float(days))

    @property
    def years(self) -> float:
        """Length, years."""
        return self.days / 365.25

    def column(self, name: str) -> NDArray[Any]:
        """Column of the trigger set."""
        return self.triggers.columns[name]

    @cached_property
    def causes(self) -> NDArray[np.str_]:
        """Cause of every alert."""
        return self.column("cause").astype(str)

    @cached_property
    def sequences(self) -> NDArray[np.int64]:
        """Numbers of the sequences, each once."""
        return np.unique(self.column("sequence"))

    @cached_property
    def burst(self) -> NDArray[np.bool_]:
        """Which alerts are true alerts of bursts."""
        return (self.column("label") == TRUE) & np.isin(self.causes, BURST_CAUSES)

    @cached_property
    def first_burst(self) -> NDArray[np.int64]:
        """First burst alert of every sequence that has one; those not above 7.9 are left out as in the notices."""
        at = np.flatnonzero(self.burst)
        at = at[np.lexsort((self.column("time_s")[at], self.column("sequence")[at]))]
        _, first = np.unique(self.column("sequence")[at], return_index=True)
        found = at[first]
        return found[self.column("peak_snr")[found] > PUBLISHED_SNR]

    @cached_property
    def partial(self) -> NDArray[np.bool_]:
        """Which sub-images reach over the edge of the searched field."""
        return (self.triggers.mask == NO_DATA).any(axis=(1, 2))

    def near_known(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which alerts lie within 10 sky pixels of a known source that is marked."""
        z, y = np.mgrid[:SIDE, :SIDE] - CENTRE
        around = np.hypot(z, y) <= NEAR_PX
        marked = (self.triggers.mask[rows][:, around] == KNOWN_SOURCE).any(axis=1)
        near: NDArray[np.bool_] = marked | (self.column("catalogue_id")[rows] >= 0)
        return near


@dataclass(frozen=True)
class Notice:
    """One public notice; sky pixels follow from its position and attitude."""

    burst_id: str
    packet_type: str
    start: str
    window_s: float
    band_kev: tuple[float, float]
    trigger: str
    snr: float
    r90_arcmin: float
    ra_deg: float
    dec_deg: float
    attitude_ra_deg: float
    attitude_dec_deg: float
    roll_deg: float

    def attitude(self) -> NDArray[np.float64]:
        """Rotation from ICRS to body axes by the law that the notices' rolls follow, float64 [3, 3]."""
        from slewguard.sim.orbit import sun_direction
        from slewguard.sim.pointing import attitude_towards, unit_vector
        from slewguard.sim.settings_orbit import Orbit

        axis = unit_vector(self.attitude_ra_deg, self.attitude_dec_deg)
        return attitude_towards(axis, sun_direction(Orbit(start=self.start), 0.0))

    def off_axis_deg(self) -> float:
        """Angle between the burst and the optical axis."""
        from slewguard.sim.pointing import unit_vector

        axis = unit_vector(self.attitude_ra_deg, self.attitude_dec_deg)
        return float(np.degrees(np.arccos(axis @ unit_vector(self.ra_deg, self.dec_deg))))


@lru_cache(maxsize=1)
def notices() -> tuple[Notice, ...]:
    """Return the 25 public notices of 2025-2026 that ship with the package, in order of the file."""
    text = files("slewguard.sim").joinpath("data/svom_eclairs_notices.csv").read_text(encoding="ascii")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return tuple(
        Notice(
            row["burst_id"],
            row["packet_type"],
            row["window_start"],
            float(row["window_s"]),
            (float(row["band_lo_kev"]), float(row["band_hi_kev"])),
            row["trigger"],
            float(row["snr"]),
            60.0 * float(row["r90_deg"]),
            float(row["ra_deg"]),
            float(row["dec_deg"]),
            float(row["attitude_ra_deg"]),
            float(row["attitude_dec_deg"]),
            float(row["attitude_roll_deg"]),
        )
        for row in rows
    )


def wakeups(*, retracted: bool) -> list[Notice]:
    """First alerts of the bursts in the notices, with or without the one that was retracted."""
    gone = {n.burst_id for n in notices() if n.packet_type == _RETRACTION}
    return [n for n in notices() if n.packet_type == _WAKEUP and (retracted or n.burst_id not in gone)]
