"""The recipes: what is trained, for how long and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from slewguard.subimages.errors import BadInput


@dataclass(frozen=True)
class Recipe:
    """How one network is trained.

    Parameters
    ----------
    name : str
    epochs : int
        In floating point.
    qat_epochs : int
        Quantisation-aware ones after that; 0 for a network that stays in floating point.
    batch : int
    rate, qat_rate : float
        Highest learning rate of the one cycle of each phase.
    decay : float
        Weight decay of AdamW.
    drop_id : float
        Share of alerts that lose their catalogue number in training.
    outburst_weight : float
        Weight of an outburst of a known source in the loss, a burst's being 1. An outburst and a badly subtracted
        source look alike; at full weight the network pays for it in residuals that pass as bursts.
    more_marks : float
        Share of alerts to fit that get the mark of one more known source, which does not show.
    faded : float
        Share of alerts that are seen with more noise each time (:func:`slewguard.train.data.fade`).
    tail : float
        How much more than in proportion the loss of a true alert counts (:class:`slewguard.train.loop.Phase`).
    in_lane : bool
        Keep the sums of every channel within the 16 bits of a lane (:func:`slewguard.train.quantise.quantise`).
    held_out : float
        Share of sequences that are not trained on: they show the progress and set the thresholds.
    """

    name: str
    epochs: int
    qat_epochs: int
    batch: int
    rate: float
    qat_rate: float
    decay: float
    drop_id: float
    outburst_weight: float
    more_marks: float = 0.0
    faded: float = 0.0
    tail: float = 0.0
    in_lane: bool = False
    held_out: float = 0.3


RECIPES: Mapping[str, Recipe] = {
    "flight": Recipe(
        *("flight", 12, 3, 64),
        rate=2e-2,
        qat_rate=1e-3,
        decay=1e-2,
        drop_id=0.2,
        outburst_weight=1.0,
        more_marks=0.3,
        faded=0.3,
        tail=0.5,
    ),
    # Epochs and batch of the talk; its optimiser is not published, so a common one stands in (assumed).
    "handmade": Recipe("handmade", 40, 0, 16, rate=1e-3, qat_rate=0.0, decay=0.0, drop_id=0.0, outburst_weight=1.0),
}

BASELINES: Mapping[str, Recipe] = {
    "handmade": RECIPES["handmade"],
    "handmade-no-catalogue": replace(RECIPES["handmade"], name="handmade-no-catalogue"),
    # Epochs and batch of the talk; optimiser and rate assumed, as above.
    "resnet50": replace(RECIPES["handmade"], name="resnet50", epochs=20, batch=32, rate=1e-3, decay=1e-4),
}
"""Networks to compare with, in floating point."""

FEATURE_MODELS = ("rule", "logistic", "trees")
"""Baselines on the named features."""


def recipe_named(name: str) -> Recipe:
    """Return a recipe.

    Raises
    ------
    BadInput
        If there is none of that name.
    """
    if name not in RECIPES:
        raise BadInput(f"unknown recipe {name!r}, expected one of {', '.join(RECIPES)}")
    return RECIPES[name]
