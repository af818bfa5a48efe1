"""Labelled alerts as each network wants its input."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slewguard.export.planes import PlaneRule
from slewguard.subimages.contract import TRIGGER_PIXEL, TRUE, TriggerSet
from slewguard.train.data import augment, make_examples
from slewguard.train.nets import real_planes


class FlightSource:
    """Integer planes as real numbers, in random views while training."""

    def __init__(
        self, triggers: TriggerSet, rule: PlaneRule, drop_id: float, outburst_weight: float = 1.0, faded: float = 0.0
    ) -> None:
        self.examples = make_examples(triggers, rule, outburst_weight)
        self._drop_id, self._faded = drop_id, faded
        self.label, self.weight = self.examples.label, self.examples.weight

    def batch(self, index: NDArray[np.intp], rng: np.random.Generator | None) -> Tensor:
        """Real planes, float32 [B, 3, 56, 56]."""
        planes = self.examples.planes[index]
        if rng is not None:
            planes = augment(self.examples, index, self._drop_id, rng, self._faded)
        return real_planes(torch.from_numpy(planes))


class HandmadeSource:
    """Image and mask as they stand, without augmentation: the talk's recipe."""

    def __init__(self, triggers: TriggerSet) -> None:
        self._snr, self._mask = triggers.snr, triggers.mask
        label = triggers.columns.get("label", np.zeros(len(triggers)))
        self.label = (label == TRUE).astype(np.float32)
        self.weight = np.ones(len(triggers), dtype=np.float32)

    def batch(self, index: NDArray[np.intp], rng: np.random.Generator | None) -> Tensor:
        """Images and masks, float32 [B, 2, 56, 56]."""
        image = np.nan_to_num(self._snr[index], nan=0.0) / np.float32(_SNR_UNIT)
        mask = self._mask[index].astype(np.float32) / TRIGGER_PIXEL
        both = torch.from_numpy(np.stack([image, mask], axis=1))
        return both.contiguous(memory_format=torch.channels_last)


_SNR_UNIT = 8.0
