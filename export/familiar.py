"""What a sub-image looks like, in eight integers, and the limits outside which it is unlike the calibration alerts.

A network answers whatever it is shown. Before its score may cost a slew, the planes must look like those on which the
thresholds were set: else the answer is ``abstain``, reason ``unfamiliar``. *q* is the SNR plane.

====================  ==========================================================================================
``valid``             pixels with data (the no-data plane is 0)
``trigger``           q at row 28, column 28
``saturated``         pixels with q = -127 or 127
``damaged``           values of -128 in all three planes, which no sub-image gives
``peak``              largest abs(q) farther than 3 rows or 3 columns from the trigger: another source, or an artefact
``total``             sum of abs(q), compared as 1/16 of a unit per pixel with data: the noise level
``bright``            pixels with abs(q) of at least ``level``: how much of the field is no noise
``marked``            pixels of the known-source plane that are not 0: how crowded the field is
====================  ==========================================================================================

All of them are sums, maxima and comparisons of int32; none exceeds 2^20, and no product of the rule 2^23.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slewguard.export.planes import Q_MAX
from slewguard.subimages.contract import CENTRE, SIDE

NEAR = 3
"""Half side of the square about the trigger that belongs to its own source, in pixels."""
PER_PIXEL = 16
"""The limits of ``total`` are in 1/16 of a unit of q per pixel with data."""

Integers = NDArray[np.integer]
Limits = tuple[int, int]


class Features(NamedTuple):
    """The integers of N sub-images, each int64 [N]; the order is that of the arguments of ``slewguard_decide``."""

    valid: Integers
    trigger: Integers
    saturated: Integers
    damaged: Integers
    peak: Integers
    total: Integers
    bright: Integers
    marked: Integers


def count(planes: NDArray[np.int8], level: int) -> Features:
    """Count what the rule looks at.

    Parameters
    ----------
    planes : int8 array [N, 3, 56, 56]
    level : int
        From which abs(q) a pixel is ``bright``.
    """
    magnitude = np.abs(planes[:, 0].astype(np.int16))
    away = np.ones((SIDE, SIDE), dtype=bool)
    away[CENTRE - NEAR : CENTRE + NEAR + 1, CENTRE - NEAR : CENTRE + NEAR + 1] = False
    return Features(
        valid=_number(planes[:, 1] == 0),
        trigger=planes[:, 0, CENTRE, CENTRE].astype(np.int64),
        saturated=_number(magnitude == Q_MAX),
        damaged=(planes == -128).sum(axis=(1, 2, 3)),
        peak=magnitude[:, away].max(axis=1).astype(np.int64),
        total=magnitude.sum(axis=(1, 2), dtype=np.int64),
        bright=_number(magnitude >= level),
        marked=_number(planes[:, 2] != 0),
    )


def _number(where: NDArray[np.bool_]) -> Integers:
    return where.sum(axis=(1, 2), dtype=np.int64)


@dataclass(frozen=True)
class Familiar:
    """Limits of the out-of-distribution rule, least and greatest value that is still familiar.

    Parameters
    ----------
    level : int
        From which abs(q) a pixel is ``bright``, 1 to 127.
    peak : (int, int)
    mean : (int, int)
        Of ``total``, per pixel with data, in 1/16 of a unit of q: ``lo * valid <= 16 * total <= hi * valid``.
    bright : (int, int)
    marked : (int, int)
    """

    level: int = 20
    peak: Limits = (0, Q_MAX + 1)
    mean: Limits = (0, PER_PIXEL * (Q_MAX + 1))
    bright: Limits = (0, SIDE * SIDE)
    marked: Limits = (0, SIDE * SIDE)

    def __post_init__(self) -> None:
        if not 1 <= self.level <= Q_MAX:
            raise ValueError(f"level of bright pixels must lie in 1..{Q_MAX}")
        for name in ("peak", "mean", "bright", "marked"):
            lo, hi = getattr(self, name)
            greatest = getattr(Familiar, name)[1]
            if not 0 <= lo <= hi <= greatest:
                raise ValueError(f"limits of {name} must rise and lie in 0..{greatest}")

    def unfamiliar(self, found: Features) -> NDArray[np.bool_]:
        """Whether each sub-image lies outside a limit: bool [N]."""
        lo, hi = self.mean
        outside = (PER_PIXEL * found.total < lo * found.valid) | (PER_PIXEL * found.total > hi * found.valid)
        for value, (lo, hi) in ((found.peak, self.peak), (found.bright, self.bright), (found.marked, self.marked)):
            outside |= (value < lo) | (value > hi)
        return outside

    def as_dict(self) -> dict[str, int | list[int]]:
        """The same as plain data for JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def span(planes: NDArray[np.int8], level: int, margin: float) -> Familiar:
    """Limits that hold all given sub-images, with a margin.

    Parameters
    ----------
    planes : int8 array [N, 3, 56, 56]
        At least one.
    level : int
        As of :class:`Familiar`.
    margin : float
        Share by which each limit lies beyond the extreme value.
    """
    found = count(planes, level)
    valid = np.maximum(found.valid, 1)
    least_mean, greatest_mean = PER_PIXEL * found.total // valid, -(-PER_PIXEL * found.total // valid)

    def limits(name: str, least: Integers, greatest: Integers) -> Limits:
        lo, hi = int(least.min()) * (1 - margin), int(greatest.max()) * (1 + margin)
        return int(np.floor(lo)), min(int(np.ceil(hi)), getattr(Familiar, name)[1])

    return Familiar(
        level=level,
        peak=limits("peak", found.peak, found.peak),
        mean=limits("mean", least_mean, greatest_mean),
        bright=limits("bright", found.bright, found.bright),
        marked=limits("marked", found.marked, found.marked),
    )
