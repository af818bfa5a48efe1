"""From score to verdict: integer comparisons on the planes and on the score, the same on ground and on board.

1. *Plane values.* A plane that holds -128, which no sub-image gives, is damaged: ``abstain``, reason ``bad_value``.
2. *Sanity limits.* A sub-image with too little data, too weak a trigger pixel or too many saturated pixels is
   unlike anything the thresholds were set on: ``abstain``, reason ``outside_limits``.
3. *Thresholds.* ``veto`` if score < t_veto, ``confirm`` if score > t_confirm, else ``abstain``; a score equal to
   a threshold is kept. Only a veto takes a slew away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slewguard.export.planes import Q_MAX
from slewguard.subimages.contract import CENTRE, REASONS, SIDE
from slewguard.subimages.verdict import Verdict


@dataclass(frozen=True)
class VerdictRule:
    """Thresholds and sanity limits, all integers.

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
    """

    t_veto: int = -128
    t_confirm: int = 127
    min_valid: int = 0
    min_trigger: int = -Q_MAX
    max_saturated: int = SIDE * SIDE

    def __post_init__(self) -> None:
        if not (-128 <= self.t_veto <= 128 and -129 <= self.t_confirm <= 127):
            raise ValueError("t_veto must lie in -128..128 and t_confirm in -129..127")
        if self.t_veto > self.t_confirm + 1:
            raise ValueError(f"t_veto {self.t_veto} is above t_confirm + 1 = {self.t_confirm + 1}")
        if not (0 <= self.min_valid <= SIDE * SIDE and 0 <= self.max_saturated <= SIDE * SIDE):
            raise ValueError(f"pixel limits must lie in 0..{SIDE * SIDE}")
        if not -Q_MAX <= self.min_trigger <= Q_MAX:
            raise ValueError(f"min_trigger must lie in -{Q_MAX}..{Q_MAX}")

    def outside_limits(self, planes: NDArray[np.int8]) -> NDArray[np.bool_]:
        """Whether each sub-image lies outside the sanity limits.

        Parameters
        ----------
        planes : int8 array [N, 3, 56, 56]

        Returns
        -------
        bool array [N]
        """
        valid, trigger, saturated, _ = _counted(planes)
        return self._beyond(valid, trigger, saturated)

    def _beyond(
        self, valid: NDArray[np.integer], trigger: NDArray[np.integer], saturated: NDArray[np.integer]
    ) -> NDArray[np.bool_]:
        return (valid < self.min_valid) | (trigger < self.min_trigger) | (saturated > self.max_saturated)

    def decide(
        self,
        score: NDArray[np.integer],
        valid: NDArray[np.integer],
        trigger: NDArray[np.integer],
        saturated: NDArray[np.integer],
        damaged: NDArray[np.integer],
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """All comparisons of the rule, and nothing else: ``slewguard_decide`` of the C code.

        Parameters
        ----------
        score : integer array [N]
        valid : integer array [N]
            Pixels with data.
        trigger : integer array [N]
            Quantised SNR of the pixel that triggered.
        saturated : integer array [N]
            Pixels whose quantised SNR is at -127 or 127.
        damaged : integer array [N]
            Plane values of -128.

        Returns
        -------
        verdict, reason : uint8 array [N]
            As of :meth:`verdicts`.
        """
        outside = self._beyond(valid, trigger, saturated)
        verdict = np.full(len(score), Verdict.ABSTAIN, dtype=np.uint8)
        verdict[score < self.t_veto] = Verdict.VETO
        verdict[score > self.t_confirm] = Verdict.CONFIRM
        verdict[outside | (damaged > 0)] = Verdict.ABSTAIN
        reason = np.zeros(len(score), dtype=np.uint8)
        reason[outside] = REASONS.index("outside_limits")
        reason[damaged > 0] = REASONS.index("bad_value")
        return verdict, reason

    def verdicts(
        self, planes: NDArray[np.int8], score: NDArray[np.int8]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Verdict and reason of each sub-image.

        Parameters
        ----------
        planes : int8 array [N, 3, 56, 56]
        score : int8 array [N]

        Returns
        -------
        verdict : uint8 array [N]
            :class:`slewguard.subimages.Verdict` values.
        reason : uint8 array [N]
            Index into :data:`slewguard.subimages.REASONS`.
        """
        return self.decide(score, *_counted(planes))


def _counted(planes: NDArray[np.int8]) -> tuple[NDArray[np.integer], ...]:
    """What the rule looks at: ``valid``, ``trigger``, ``saturated``, ``damaged`` of :meth:`VerdictRule.decide`."""
    valid = (planes[:, 1] == 0).sum(axis=(1, 2))
    saturated = (np.abs(planes[:, 0]) == Q_MAX).sum(axis=(1, 2))
    damaged = (planes == -128).sum(axis=(1, 2, 3))
    return valid, planes[:, 0, CENTRE, CENTRE], saturated, damaged
