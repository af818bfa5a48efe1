"""What a classifier answers: the three verdicts, and the protocol that the chain and the ground tools call.

*Abstain* is zero, so that cleared memory, a lost answer or a fault of the classifier leaves the onboard
decision standing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from slewguard.subimages.contract import TriggerSet


class Verdict(IntEnum):
    """Answer to one alert; only ``VETO`` changes what the satellite does."""

    ABSTAIN = 0
    CONFIRM = 1
    VETO = 2


@dataclass(frozen=True, eq=False)
class Judgement:
    """Answers to N alerts.

    Parameters
    ----------
    score : int8 array [N]
        The network's output; higher is more like a true source.
    verdict : uint8 array [N]
        :class:`Verdict` values.
    reason : uint8 array [N]
        Why the network was not asked (index into :data:`slewguard.subimages.REASONS`), 0 where it was.
    """

    score: NDArray[np.int8]
    verdict: NDArray[np.uint8]
    reason: NDArray[np.uint8]


class Classifier(Protocol):
    """Anything that judges alerts: one answer for every one, whatever it holds."""

    def judge(self, triggers: TriggerSet) -> Judgement:
        """Judge each alert of a trigger set, rejected ones with ``ABSTAIN``."""
        ...
