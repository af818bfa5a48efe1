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

__all__ = [
    "CAUSES",
    "COLUMNS",
    "REASONS",
    "SIDE",
    "BadInput",
    "RejectedSubImage",
    "SubImage",
    "TriggerSet",
    "rejections",
]
