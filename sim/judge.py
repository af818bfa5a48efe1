"""What made an alert: label and cause from the parts of the scene.

S at the peak is linear in the counts, so every part of the scene has its share of it. An alert near a new or flaring
source is *true* where the source makes at least half of the peak and artefacts less than half; *unclear* where both
do, where neither does, or where an artefact (a quarter or more of the peak) lifted a source that would have stayed
below the threshold. Any other alert is *false*, and its cause is the artefact with the largest share, *statistical*
where none makes a quarter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.imaging import Imager
from slewguard.sim.scene import Part
from slewguard.sim.trigger import Peak
from slewguard.subimages.contract import FALSE, TRUE, UNCLEAR

Float64 = NDArray[np.float64]
TRUTH_PX = 2.5
"""An alert this near to a source is that source's (more than the PSF's half width, 1.5 sky pixels)."""
_SEEN_WITHIN_PX = {"stale_catalogue": 6.0, "residual": 12.0}
"""What a source leaves behind is told by this cause near it, as coding noise farther off (sky pixels)."""


@dataclass(frozen=True)
class Share:
    """Share of S at the peak that one part of the scene makes, and the event it belongs to (-1: to none)."""

    cause: str
    sequence: int
    share: float


@dataclass(frozen=True)
class Judged:
    """Label and cause of an alert and the event it belongs to (-1: to none)."""

    label: int
    cause: str
    sequence: int
    shares: tuple[Share, ...] = ()
    """What the label rests on, largest first; what they lack of 1 is noise and steady background."""


def judge(
    parts: Sequence[Part],
    modelled: Float64,
    peak: Peak,
    height: float,
    imager: Imager,
    threshold: float,
) -> Judged:
    """Label an alert by what made it.

    Parameters
    ----------
    parts : sequence of Part
        The exposure taken apart.
    modelled : float array [n, 80, 80]
        Counts that the trigger subtracted for each known source.
    peak : Peak
    height : float
        S at the peak.
    imager : Imager
    threshold : float
        Alert threshold, sigma.
    """
    weights = imager.flattened(imager.weights(peak.row, peak.column))

    def share(plane: Float64) -> float:
        # The quadratic fit is a projection, so it may as well act on the weights, once.
        return float(np.vdot(weights, plane)) / height

    def distance(y: float, z: float) -> float:
        return float(np.hypot(z - peak.row, y - peak.column))

    shares: dict[tuple[str, int], float] = {}
    lefts: list[tuple[Part, float]] = []
    for part in parts:
        if part.kind == "artefact":
            key = part.cause, part.sequence
            shares[key] = shares.get(key, 0.0) + share(part.plane)
        elif part.kind == "source":
            lefts.append((part, share(part.plane - modelled[len(lefts)])))
    if lefts:
        worst = max(lefts, key=lambda item: item[1])[0]
        away = distance(worst.y, worst.z)
        cause = worst.cause
        if away > _SEEN_WITHIN_PX.get(cause, np.inf):
            cause = "coding_noise"
        key = cause, worst.sequence
        shares[key] = shares.get(key, 0.0) + sum(value for _, value in lefts)
    (artefact, owner), most = max(shares.items(), key=lambda item: item[1])
    signals = [(part, share(part.plane)) for part in parts if part.kind == "signal"]
    made = [Share(*key, value) for key, value in shares.items()]
    made += [Share(part.cause, part.sequence, value) for part, value in signals]
    made_by = tuple(sorted(made, key=lambda s: -s.share))
    for part, signal in sorted(signals, key=lambda item: -item[1]):
        if distance(part.y, part.z) <= TRUTH_PX:
            lifted = most >= 0.25 and signal * peak.snr < threshold
            if signal >= 0.5 and most < 0.5 and not lifted:
                return Judged(TRUE, part.cause, part.sequence, made_by)
            if signal >= 0.5 or most < 0.5:
                return Judged(UNCLEAR, "unclear", part.sequence, made_by)
        elif signal > most:
            # A side lobe of a true source: nothing shines where the alert points.
            return Judged(FALSE, "coding_noise", part.sequence, made_by)
    return Judged(FALSE, artefact, owner, made_by) if most >= 0.25 else Judged(FALSE, "statistical", -1, made_by)
