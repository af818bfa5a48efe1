"""The sub-image and the trigger set: shapes, mask codes, labels, causes and the invariants they obey.

A *sub-image* is the 56x56 cut of the sky map of signal-to-noise ratios (SNR) around an alert, with a mask of
the same size. The mask codes are those of Hubert & Schanne (Caen, November 2025). A *trigger set* is many
sub-images with what is known of each alert.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.subimages.errors import BadInput, RejectedSubImage

SIDE = 56
CENTRE = 28
SHAPE = (SIDE, SIDE)

NO_DATA, BACKGROUND, KNOWN_SOURCE, TRIGGER_PIXEL = 0, 1, 2, 3
"""Mask codes: outside the field of view, background, catalogue source, the pixel that triggered."""

TRUE, FALSE, UNCLEAR = 1, 0, -1
"""Labels of an alert."""

BURST_CAUSES = ("grb", "unknown_source")
TRUE_CAUSES = (*BURST_CAUSES, "outburst")
FALSE_CAUSES = (
    "saa",
    "particle_shower",
    "residual",
    "stale_catalogue",
    "edge_source",
    "coding_noise",
    "column",
    "xrdpix",
    "sector",
    "noisy_pixel",
    "hot_pixel",
    "heat_pipe",
    "earth_limb",
    "attitude",
    "statistical",
)
CAUSES = (*TRUE_CAUSES, *FALSE_CAUSES, "unclear")

REASONS = ("ok", "empty", "off_centre", "no_trigger_pixel", "bad_value", "outside_limits", "unfamiliar")
"""Why a classifier's score does not count, by number: 0 it does, 1 to 4 the sub-image breaks the contract, 5 and 6 it
keeps the contract but lies outside the sanity limits of the model, or is unlike the alerts that its thresholds were set
on."""

COLUMNS: Mapping[str, np.dtype[Any]] = {
    "label": np.dtype("i1"),
    "cause": np.dtype("S16"),
    "sequence": np.dtype("i8"),
    "catalogue_id": np.dtype("i4"),
    "peak_snr": np.dtype("f4"),
    "second_peak": np.dtype("f4"),
    "window_s": np.dtype("f4"),
    "band_lo_kev": np.dtype("f4"),
    "band_hi_kev": np.dtype("f4"),
    "sky_y": np.dtype("f4"),
    "sky_z": np.dtype("f4"),
    "trigger": np.dtype("S3"),
    "time_s": np.dtype("f8"),
    "ra_deg": np.dtype("f4"),
    "dec_deg": np.dtype("f4"),
    "r90_arcmin": np.dtype("f4"),
    "map_std": np.dtype("f4"),
    "slew": np.dtype("i1"),
}
"""Optional columns of a trigger set with the type in which they are kept. ``time_s`` is the end of the window in
seconds of mission time; ``map_std`` the standard deviation of the SNR map; ``slew`` 1 where a slew is asked for."""

TRIGGER_KINDS = (b"CRT", b"IMT")


def rejections(snr: NDArray[Any], mask: NDArray[Any]) -> NDArray[np.uint8]:
    """Number of the first broken invariant of each sub-image, 0 where all hold.

    Parameters
    ----------
    snr : float array [N, 56, 56]
        Signal-to-noise ratios in sigma, NaN where there is no data.
    mask : integer array [N, 56, 56]
        Mask codes.

    Returns
    -------
    uint8 array [N]
        Index into :data:`REASONS`.
    """
    no_data = np.isnan(snr)
    is_trigger = mask == TRIGGER_PIXEL
    n_trigger = is_trigger.sum(axis=(1, 2))
    bad_value = (
        np.isinf(snr).any(axis=(1, 2))
        | ((mask < NO_DATA) | (mask > TRIGGER_PIXEL)).any(axis=(1, 2))
        | ((mask == NO_DATA) != no_data).any(axis=(1, 2))
    )
    off_centre = (n_trigger > 1) | ~is_trigger[:, CENTRE, CENTRE]
    found = np.zeros(len(snr), dtype=np.uint8)
    # The first fault that holds is reported: later assignments overwrite earlier, less telling ones.
    found[bad_value] = REASONS.index("bad_value")
    found[off_centre] = REASONS.index("off_centre")
    found[n_trigger == 0] = REASONS.index("no_trigger_pixel")
    found[no_data.all(axis=(1, 2))] = REASONS.index("empty")
    return found


_FAULTS = {
    "empty": "sub-image holds no data (every SNR is NaN)",
    "off_centre": f"mask must hold exactly one 3, at row {CENTRE}, column {CENTRE}",
    "no_trigger_pixel": "mask holds no 3 (the pixel that triggered)",
    "bad_value": "SNR must be finite where the mask is 1, 2 or 3 and NaN exactly where it is 0",
}


@dataclass(frozen=True, eq=False)
class SubImage:
    """One 56x56 sub-image around an alert.

    Parameters
    ----------
    snr : float32 array [56, 56]
        Signal-to-noise ratio in sigma; rows along instrument z, columns along y; NaN where there is no data.
    mask : uint8 array [56, 56]
        Codes 0 no data, 1 background, 2 known source, 3 the pixel that triggered, at [28, 28].
    catalogue_id : int
        Onboard catalogue number of a source within the association radius of the trigger, or -1.
    meta : mapping
        What else is known of the alert, under the names of :data:`COLUMNS`.

    Raises
    ------
    RejectedSubImage
        If an invariant is broken; its ``reason`` is one of :data:`REASONS`.
    """

    snr: NDArray[np.float32]
    mask: NDArray[np.uint8]
    catalogue_id: int = -1
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, array in (("SNR", self.snr), ("mask", self.mask)):
            if np.shape(array) != SHAPE:
                raise RejectedSubImage("bad_value", f"{name} has shape {np.shape(array)}, expected {SHAPE}")
        if not np.issubdtype(self.snr.dtype, np.floating) or not np.issubdtype(self.mask.dtype, np.integer):
            raise RejectedSubImage("bad_value", "SNR must be floating point and the mask integer")
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes an infinity, and is rejected as one
            snr = np.array(self.snr, dtype=np.float32)
        found = int(rejections(snr[None], self.mask[None])[0])
        if found:
            reason = REASONS[found]
            raise RejectedSubImage(reason, _FAULTS[reason])
        object.__setattr__(self, "snr", _frozen(snr))
        object.__setattr__(self, "mask", _frozen(np.array(self.mask, dtype=np.uint8)))


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class TriggerSet:
    """Many sub-images and, where known, the label, cause and circumstances of each.

    Parameters
    ----------
    snr : float32 array [N, 56, 56]
    mask : uint8 array [N, 56, 56]
    columns : mapping of str to array [N]
        Any of :data:`COLUMNS`; missing ones are simply not known.
    simulated : bool
        Whether the sub-images come from a simulator. Readers take it that they do unless the file says they do not.
    provenance : mapping
        Where the set comes from (JSON-able).
    rejected : uint8 array [N], optional
        Index into :data:`REASONS` for sub-images that break the contract. Readers refuse such files unless
        they are asked to keep them, because an answer must come for each (it is ``abstain``).
    """

    snr: NDArray[np.float32]
    mask: NDArray[np.uint8]
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    simulated: bool = True
    provenance: Mapping[str, Any] = field(default_factory=dict)
    rejected: NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        n = len(self.snr)
        if self.snr.shape != (n, *SHAPE) or self.mask.shape != (n, *SHAPE):
            raise BadInput(f"SNR has shape {self.snr.shape} and mask {self.mask.shape}, expected (N, {SIDE}, {SIDE})")
        for name, values in self.columns.items():
            if name not in COLUMNS:
                raise BadInput(f"unknown column {name!r}")
            if values.shape != (n,):
                raise BadInput(f"column {name!r} has shape {values.shape}, expected ({n},)")
        object.__setattr__(self, "rejected", rejections(self.snr, self.mask))

    def __len__(self) -> int:
        return len(self.snr)

    def __getitem__(self, i: int) -> SubImage:
        meta = {name: values[i] for name, values in self.columns.items()}
        return SubImage(self.snr[i], self.mask[i], int(self.catalogue_id[i]), meta)

    def __iter__(self) -> Iterator[SubImage]:
        return (self[i] for i in range(len(self)))

    def select(self, index: NDArray[Any]) -> TriggerSet:
        """Return the alerts at ``index`` (integers or booleans) as a set of their own."""
        columns = {name: values[index] for name, values in self.columns.items()}
        return TriggerSet(self.snr[index], self.mask[index], columns, self.simulated, self.provenance)

    @property
    def catalogue_id(self) -> NDArray[np.int32]:
        """Catalogue number at the trigger, -1 where there is none or it is not known. int32 [N]."""
        return self.columns.get("catalogue_id", np.full(len(self), -1, dtype=np.int32))

    @property
    def sequence(self) -> NDArray[np.int64]:
        """Event number of each alert; without one every alert is its own event. int64 [N]."""
        return self.columns.get("sequence", np.arange(len(self), dtype=np.int64))

    @property
    def label(self) -> NDArray[np.int8]:
        """Labels, int8 [N].

        Raises
        ------
        BadInput
            If the set carries none.
        """
        if "label" not in self.columns:
            raise BadInput("trigger set has no /label, which this needs")
        return self.columns["label"]

    @property
    def cause(self) -> NDArray[np.str_]:
        """Causes as text [N]; empty where not known."""
        if "cause" not in self.columns:
            return np.full(len(self), "", dtype="U16")
        return np.char.decode(self.columns["cause"], "ascii")

    @staticmethod
    def of(
        subimages: Sequence[SubImage], *, simulated: bool, provenance: Mapping[str, Any] | None = None
    ) -> TriggerSet:
        """Stack sub-images; a column is kept where every sub-image has it."""
        names = [name for name in COLUMNS if all(name in s.meta for s in subimages)] if subimages else []
        columns = {name: np.array([s.meta[name] for s in subimages], dtype=COLUMNS[name]) for name in names}
        columns["catalogue_id"] = np.array([s.catalogue_id for s in subimages], dtype=COLUMNS["catalogue_id"])
        return TriggerSet(
            np.array([s.snr for s in subimages], dtype=np.float32).reshape(-1, *SHAPE),
            np.array([s.mask for s in subimages], dtype=np.uint8).reshape(-1, *SHAPE),
            columns,
            simulated,
            provenance or {},
        )
