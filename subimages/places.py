"""Looks at one place on the sky: what the sequence rule takes together.

A sequence holds all alerts of its time, and they need not stand at one place: beside a false peak that grows another
one may have shone up once. What was seen there says nothing about this one, neither for nor against it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slewguard.subimages.contract import TriggerSet

REACH_PX = 4.0
"""Largest distance on each axis from the first look at a place (assumed). The error radius of the weakest alerts is
below one sky pixel, and two sources nearer than a mask cell's 2.6 px cannot be told apart."""


def places(triggers: TriggerSet) -> NDArray[np.int64]:
    """Number of the place that each alert looks at.

    Look by look, in the order in which they stand: a look is of the first place of its sequence whose first look lies
    within :data:`REACH_PX` on both axes, or else of a new one. So what is known on board at a look suffices.

    Parameters
    ----------
    triggers : TriggerSet
        With ``sky_y`` and ``sky_z``. A position that is not known is everywhere: without them a sequence is one place.

    Returns
    -------
    int64 array [N]
        From 0 on, in order of appearance; no two sequences share a place.
    """
    nowhere = np.full(len(triggers), np.nan)
    y, z = (triggers.columns.get(name, nowhere).astype(float).tolist() for name in ("sky_y", "sky_z"))
    first_looks: dict[int, list[tuple[float, float, int]]] = {}
    found = np.empty(len(triggers), dtype=np.int64)
    new = 0
    for i, sequence in enumerate(triggers.sequence.tolist()):
        own = first_looks.setdefault(sequence, [])
        at = next((place for first_y, first_z, place in own if not _apart(y[i] - first_y, z[i] - first_z)), new)
        if at == new:
            own.append((y[i], z[i], new))
            new += 1
        found[i] = at
    return found


def _apart(dy: float, dz: float) -> bool:
    # What is not known is not apart.
    return abs(dy) > REACH_PX or abs(dz) > REACH_PX
