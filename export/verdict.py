"""From score to verdict: integer comparisons on the planes and on the scores, the same on ground and on board.

For each look at an event, in this order:

1. *Plane values.* A plane that holds -128, which no sub-image gives, is damaged: reason ``bad_value``.
2. *Sanity limits.* Too little data, too weak a trigger pixel or too many saturated pixels: ``outside_limits``.
3. *Out of distribution.* A sub-image unlike those on which the thresholds were set: ``unfamiliar``
   (:mod:`slewguard.export.familiar`). Each of these three gives ``abstain`` and leaves the sequence's state alone.
4. *Sequence and thresholds.* With the highest score so far at this place in the sequence: ``veto`` if it is < t_veto,
   ``confirm`` if it is > t_confirm, else ``abstain``; a tie is kept (:mod:`slewguard.export.sequence`). Only a veto
   takes a slew away.

An alert on its own is the first look of its sequence.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.export.familiar import Familiar, Features, count
from slewguard.export.planes import Q_MAX
from slewguard.export.sequence import SequenceRule, SequenceState, running
from slewguard.subimages.contract import REASONS, SIDE
from slewguard.subimages.verdict import Verdict


@dataclass(frozen=True)
class VerdictRule:
    """Thresholds, limits and the sequence rule, all integers.

    Parameters
    ----------
    t_veto, t_confirm : int
        Score thresholds, ``t_veto <= t_confirm + 1`` so that no score is both.
    min_valid : int
        Fewest pixels with data.
    min_trigger : int
        Least quantised SNR of the pixel that triggered.
    max_saturated : int
        Most pixels whose quantised SNR is at -127 or 127.
    familiar : Familiar, optional
        The out-of-distribution rule; without it everything is familiar.
    sequence : SequenceRule, optional
        Models from before it say nothing; they are run under ``SequenceRule()``, which vetoes no more than their
        certificate, of each alert by itself, allows.
    """

    t_veto: int = -128
    t_confirm: int = 127
    min_valid: int = 0
    min_trigger: int = -Q_MAX
    max_saturated: int = SIDE * SIDE
    familiar: Familiar | None = None
    sequence: SequenceRule | None = None

    def __post_init__(self) -> None:
        if not (-128 <= self.t_veto <= 128 and -129 <= self.t_confirm <= 127):
            raise ValueError("t_veto must lie in -128..128 and t_confirm in -129..127")
        if self.t_veto > self.t_confirm + 1:
            raise ValueError(f"t_veto {self.t_veto} is above t_confirm + 1 = {self.t_confirm + 1}")
        if not (0 <= self.min_valid <= SIDE * SIDE and 0 <= self.max_saturated <= SIDE * SIDE):
            raise ValueError(f"pixel limits must lie in 0..{SIDE * SIDE}")
        if not -Q_MAX <= self.min_trigger <= Q_MAX:
            raise ValueError(f"min_trigger must lie in -{Q_MAX}..{Q_MAX}")

    @property
    def first_look(self) -> int:
        """No veto before this usable look of a sequence."""
        return (self.sequence or SequenceRule()).first_look

    def as_dict(self) -> dict[str, Any]:
        """The rule as ``model.json`` holds it; parts that a model does not have are left out."""
        plain: dict[str, Any] = {
            name: value for name, value in vars(self).items() if name not in ("familiar", "sequence")
        }
        if self.familiar:
            plain["familiar"] = self.familiar.as_dict()
        if self.sequence:
            plain["sequence"] = asdict(self.sequence)
        return plain

    def integers(self) -> dict[str, int]:
        """Every number of the rule by the name that it has in the C code, with limits that limit nothing filled in."""
        flat = {name: int(value) for name, value in self.as_dict().items() if isinstance(value, int)}
        familiar = self.familiar or Familiar()
        flat |= {"first_look": self.first_look, "level": familiar.level}
        for name in ("peak", "mean", "bright", "marked"):
            flat[f"min_{name}"], flat[f"max_{name}"] = getattr(familiar, name)
        return flat

    def count(self, planes: NDArray[np.int8]) -> Features:
        """Count what the rule looks at in planes int8 [N, 3, 56, 56]."""
        return count(planes, (self.familiar or Familiar()).level)

    def reasons(self, found: Features) -> NDArray[np.uint8]:
        """Why each sub-image must be abstained on, 0 where its score may speak.

        Parameters
        ----------
        found : Features
            Of N sub-images.

        Returns
        -------
        uint8 array [N]
            Index into :data:`slewguard.subimages.REASONS`.
        """
        reason = np.zeros(len(found.valid), dtype=np.uint8)
        if self.familiar:
            reason[self.familiar.unfamiliar(found)] = REASONS.index("unfamiliar")
        beyond = (found.valid < self.min_valid) | (found.trigger < self.min_trigger)
        reason[beyond | (found.saturated > self.max_saturated)] = REASONS.index("outside_limits")
        reason[found.damaged > 0] = REASONS.index("bad_value")
        return reason

    def outside_limits(self, planes: NDArray[np.int8]) -> NDArray[np.bool_]:
        """Whether any check but the thresholds makes the verdict ``abstain``: bool [N]."""
        return self.reasons(self.count(planes)) != 0

    def decide(self, score: NDArray[np.integer], found: Features) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """All comparisons of the rule on alerts that stand alone, and nothing else.

        Parameters
        ----------
        score : integer array [N]
        found : Features
            Of the N sub-images.

        Returns
        -------
        verdict, reason : uint8 array [N]
            As of :meth:`verdicts`.
        """
        reason = self.reasons(found)
        return self.decide_looks(score, reason, np.arange(len(score))), reason

    def decide_sequence(self, state: SequenceState, score: int, reason: int) -> tuple[SequenceState, Verdict]:
        """One more look at an event: ``slewguard_decide_sequence`` of the C code.

        Parameters
        ----------
        state : SequenceState
            After the looks before; ``SequenceState()`` at the first.
        score : int
        reason : int
            Of :meth:`reasons`, or why the sub-image breaks the contract; not 0 abstains.

        Returns
        -------
        SequenceState
            To be kept for the next look.
        Verdict
        """
        state = state.after(score, reason == 0)
        if reason:
            return state, Verdict.ABSTAIN
        if state.maximum < self.t_veto and state.looks >= self.first_look:
            return state, Verdict.VETO
        return state, Verdict.CONFIRM if state.maximum > self.t_confirm else Verdict.ABSTAIN

    def decide_looks(
        self, score: NDArray[np.integer], reason: NDArray[np.integer], place: NDArray[np.integer]
    ) -> NDArray[np.uint8]:
        """:meth:`decide_sequence` over all looks of a trigger set.

        Parameters
        ----------
        score, reason : integer arrays [N]
        place : integer array [N]
            Looks of one sequence at one place share a number and stand in order of time: of
            :func:`slewguard.subimages.places`.

        Returns
        -------
        uint8 array [N]
            :class:`slewguard.subimages.Verdict` values.
        """
        usable = np.asarray(reason) == 0
        looks, maximum = running(score, place, usable)
        verdict = np.full(len(usable), Verdict.ABSTAIN, dtype=np.uint8)
        verdict[usable & (maximum > self.t_confirm)] = Verdict.CONFIRM
        verdict[usable & (maximum < self.t_veto) & (looks >= self.first_look)] = Verdict.VETO
        return verdict

    def verdicts(
        self, planes: NDArray[np.int8], score: NDArray[np.int8], place: NDArray[np.integer] | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Verdict and reason of each sub-image.

        Parameters
        ----------
        planes : int8 array [N, 3, 56, 56]
        score : int8 array [N]
        place : integer array [N], optional
            As of :meth:`decide_looks`; without it every alert stands alone.

        Returns
        -------
        verdict : uint8 array [N]
            :class:`slewguard.subimages.Verdict` values.
        reason : uint8 array [N]
            Index into :data:`slewguard.subimages.REASONS`.
        """
        reason = self.reasons(self.count(planes))
        alone = np.arange(len(score))
        return self.decide_looks(score, reason, alone if place is None else place), reason
