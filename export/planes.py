"""From sub-image to integer planes: the first step of the model, in integer arithmetic that belongs to it.

Three int8 planes of 56x56 pixels:

0. the quantised SNR, ``q = floor(clamp(snr * 2^k, -127, 127) + 1/2)``, 0 where there is no data. The product is
   exact in float32 (a power of two), the sum is one IEEE addition, so every machine gives the same integer;
1. *no data*: ``level`` where the mask is 0, else 0;
2. *known sources*: ``level`` on a square patch about each catalogue source, else 0.

Marks of known sources differ between files (one pixel, 3x3, a disc), and a network learns such habits. So the
marks are first reduced to positions, and the patch is always ours: connected marks (eight neighbours) are one
source at their rounded centre of gravity. A source under the trigger pixel itself is hidden by the 3 of the
mask; it is drawn at [28, 28] when the alert carries a catalogue number and no mark stands within the patch.

Row 0 and column 0 are always no data, so that the field is 55x55 pixels about [28, 28] and the eight flips and
rotations about the trigger pixel are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slewguard.subimages.contract import CENTRE, KNOWN_SOURCE, NO_DATA, SIDE

N_PLANES = 3
Q_MAX = 127


@dataclass(frozen=True)
class PlaneRule:
    """How planes are made.

    Parameters
    ----------
    snr_log2 : int
        k: one unit of the SNR plane is 2^-k sigma.
    level : int
        Value of the two binary planes where they are set, 1 to 127.
    patch : int
        Side of the square drawn about a known source, in pixels, odd.
    """

    snr_log2: int = 2
    level: int = 16
    patch: int = 5

    def __post_init__(self) -> None:
        if not 0 <= self.snr_log2 <= 6:
            raise ValueError(f"snr_log2 is {self.snr_log2}, expected 0 to 6")
        if not 1 <= self.level <= Q_MAX:
            raise ValueError(f"level is {self.level}, expected 1 to {Q_MAX}")
        if not (1 <= self.patch <= SIDE and self.patch % 2):
            raise ValueError(f"patch is {self.patch}, expected an odd number from 1 to {SIDE}")

    @property
    def scale(self) -> np.float32:
        """Value of one unit of the planes in the files for runtimes: 2^-snr_log2."""
        return np.ldexp(np.float32(1), -self.snr_log2)


def quantise_snr(snr: NDArray[np.float32], snr_log2: int) -> NDArray[np.int8]:
    """Quantise SNR values, half up, NaN as 0.

    Parameters
    ----------
    snr : float32 array, any shape
        SNR in sigma.
    snr_log2 : int
        k of ``q = floor(clamp(snr * 2^k, -127, 127) + 1/2)``.
    """
    with np.errstate(over="ignore"):  # an infinite product is clamped like any other
        scaled = snr * np.float32(2**snr_log2)
    scaled = np.clip(scaled, np.float32(-Q_MAX), np.float32(Q_MAX))
    rounded = np.floor(scaled + np.float32(0.5))
    return np.where(np.isnan(snr), np.float32(0), rounded).astype(np.int8)


def source_positions(mask: NDArray[np.uint8], catalogue_id: int, patch: int) -> NDArray[np.intp]:
    """Rows and columns of the known sources of one mask.

    Parameters
    ----------
    mask : uint8 array [56, 56]
    catalogue_id : int
        Catalogue number at the trigger, or -1.
    patch : int
        Side of the drawn square; a mark this near to the trigger already stands for its source.

    Returns
    -------
    int array [M, 2]
    """
    from scipy import ndimage

    marks = mask == KNOWN_SOURCE
    label, count = ndimage.label(marks, structure=np.ones((3, 3)))
    rows, columns = np.nonzero(marks)
    source = label[rows, columns] - 1
    n = np.bincount(source, minlength=count)
    # Half up in integers: floor((2 sum + n) / 2n).
    centre = [
        (2 * np.bincount(source, weights=axis, minlength=count).astype(np.intp) + n) // np.maximum(2 * n, 1)
        for axis in (rows, columns)
    ]
    positions = np.stack(centre, axis=1).astype(np.intp)
    hidden = catalogue_id >= 0 and not (np.abs(positions - CENTRE).max(axis=1, initial=0) <= patch // 2).any()
    return np.vstack([positions, [[CENTRE, CENTRE]]]) if hidden else positions


def make_planes(
    snr: NDArray[np.float32], mask: NDArray[np.uint8], catalogue_id: NDArray[np.int32], rule: PlaneRule
) -> NDArray[np.int8]:
    """Planes of N sub-images that keep the contract.

    Parameters
    ----------
    snr : float32 array [N, 56, 56]
    mask : uint8 array [N, 56, 56]
    catalogue_id : int32 array [N]
    rule : PlaneRule

    Returns
    -------
    int8 array [N, 3, 56, 56]
        Quantised SNR, no data, known sources.
    """
    planes = np.zeros((len(snr), N_PLANES, SIDE, SIDE), dtype=np.int8)
    planes[:, 0] = quantise_snr(snr, rule.snr_log2)
    planes[:, 1] = np.where(mask == NO_DATA, rule.level, 0)
    half = rule.patch // 2
    for i in np.nonzero((mask == KNOWN_SOURCE).any(axis=(1, 2)) | (catalogue_id >= 0))[0]:
        for row, column in source_positions(mask[i], int(catalogue_id[i]), rule.patch):
            rows, columns = (slice(max(p - half, 0), p + half + 1) for p in (row, column))
            planes[i, 2, rows, columns] = rule.level
    planes[:, :, 0, :] = 0
    planes[:, :, :, 0] = 0
    planes[:, 1, 0, :] = rule.level
    planes[:, 1, :, 0] = rule.level
    return planes
