"""The sub-image: its contract, its files, its drawing (floor 1: imports nothing else of slewguard)."""

from slewguard.subimages.contract import (
    CAUSES,
    COLUMNS,
    REASONS,
    SIDE,
    SubImage,
    TriggerSet,
    rejections,
)
from slewguard.subimages.errors import BadInput, RejectedSubImage
from slewguard.subimages.verdict import Classifier, Judgement, Verdict

__all__ = [
    "CAUSES",
    "COLUMNS",
    "REASONS",
    "SIDE",
    "BadInput",
    "Classifier",
    "Judgement",
    "RejectedSubImage",
    "SubImage",
    "TriggerSet",
    "Verdict",
    "rejections",
]
