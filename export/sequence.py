"""The sequence rule: what several looks at one event say together.

The trigger looks at a burst many times, in growing windows, and each look is an alert with a score of its own. The
*running statistic* is the highest score so far at the look's place on the sky (:mod:`slewguard.subimages.places`): it
never falls, so a look that was good enough is never forgotten, and a place that was once not vetoed will not be vetoed
later in the sequence. A look that breaks the contract or lies outside a limit says nothing: its verdict is ``abstain``,
and the state stays as it is.

The state of a place is two small integers, (looks, maximum), first (0, -128); for a usable look with score *x*

    looks   = min(looks + 1, 255)
    maximum = max(maximum, x)
    veto      if maximum < t_veto and looks >= first_look
    confirm   if maximum > t_confirm
    abstain   else: a statistic equal to a threshold is kept.

Cleared memory is the state (0, 0), whose maximum can only be too high: it vetoes no more than the right one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_LOOKS = 255
_LOWEST = -128


class SequenceState(NamedTuple):
    """What is kept of a place between two looks: two bytes.

    Parameters
    ----------
    looks : int
        Usable looks so far, 0 to 255 (which stands for more as well).
    maximum : int
        Highest score of a usable look, -128 to 127.
    """

    looks: int = 0
    maximum: int = _LOWEST

    def after(self, score: int, usable: bool) -> SequenceState:
        """State after one more look."""
        if not usable:
            return self
        return SequenceState(min(self.looks + 1, MAX_LOOKS), max(self.maximum, score))


@dataclass(frozen=True)
class SequenceRule:
    """How the looks at one event are taken together.

    Parameters
    ----------
    first_look : int
        No veto before this usable look at a place, 1 to 255.
    """

    first_look: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.first_look <= MAX_LOOKS:
            raise ValueError(f"first_look must lie in 1..{MAX_LOOKS}")


def running(
    score: NDArray[np.integer], place: NDArray[np.integer], usable: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """State after every look of a trigger set, :class:`SequenceState` for all alerts at once.

    Parameters
    ----------
    score : integer array [N]
        -128 to 127.
    place : integer array [N]
        Looks of one sequence at one place share a number and stand in order of time; those of several may be mixed.
    usable : bool array [N]

    Returns
    -------
    looks, maximum : int64 arrays [N]
    """
    order = np.argsort(place, kind="stable")
    _, group = np.unique(place[order], return_inverse=True)
    used = usable[order]
    # Later groups stand 256 higher, so that one running maximum starts anew in each.
    height = 256 * group + np.where(used, score[order].astype(np.int64) - _LOWEST, 0)
    total = np.cumsum(used)
    before = (total - used)[np.searchsorted(group, group)]
    looks, maximum = np.empty((2, len(order)), dtype=np.int64)
    maximum[order] = np.maximum.accumulate(height) - 256 * group + _LOWEST
    looks[order] = np.minimum(total - before, MAX_LOOKS)
    return looks, maximum


def lowest_statistic(
    score: NDArray[np.integer],
    sequence: NDArray[np.integer],
    usable: NDArray[np.bool_],
    counted: NDArray[np.bool_] | None = None,
    first_look: int = 1,
    place: NDArray[np.integer] | None = None,
) -> NDArray[np.int64]:
    """Lowest running statistic of each sequence over all looks at which a veto could be issued.

    A sequence is vetoed somewhere exactly if this lies below ``t_veto``: it is the sequence's calibration score.

    Parameters
    ----------
    score, usable : arrays [N]
        As of :func:`running`.
    sequence : integer array [N]
        Alerts of one event share a number and stand in order of time.
    counted : bool array [N], optional
        Looks at which a veto would be a loss; all looks feed the statistic. Sequences without one are left out.
    first_look : int
        As of :class:`SequenceRule`.
    place : integer array [N], optional
        As of :func:`running`; without it a sequence is one place.

    Returns
    -------
    int64 array [M]
        One for each sequence with a counted look, in order of their numbers; 127, below which no threshold that
        vetoes anything can lie, where no counted look could be vetoed.
    """
    looks, maximum = running(score, sequence if place is None else place, usable)
    counted = np.ones(len(score), dtype=bool) if counted is None else counted
    names, member = np.unique(sequence[counted], return_inverse=True)
    lowest = np.full(len(names), 127, dtype=np.int64)
    could = (usable & (looks >= first_look))[counted]
    np.minimum.at(lowest, member[could], maximum[counted][could])
    return lowest
