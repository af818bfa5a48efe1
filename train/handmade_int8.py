"""The handmade network on the integer model's contract, so that sizes, latencies and figures compare like with like.

Its two channels are the image and the mask. Of the talk's mask codes 0 (no data), 1 (background) and 2 (known source)
the network sees 1 less, -1, 0 and 1, which is the known-source plane minus the no-data plane; the 3 that always stands
at the centre says nothing. So the network reads our planes: a weight *w* of the mask channel becomes -*w* on the
no-data plane and *w* on the known-source plane, and nothing else changes.

Quantised after training: scales by the maxima over a calibration sample, weights rounded, no further training.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slewguard.export.flight import HANDMADE
from slewguard.export.layers import MAX_RECTIFIED
from slewguard.export.model import IntegerModel
from slewguard.export.planes import PlaneRule, make_planes
from slewguard.subimages.contract import SIDE, TRUE, TriggerSet
from slewguard.train.loop import Phase, Progress, Trainer, predict
from slewguard.train.nets import HandmadeNet, real_planes
from slewguard.train.quantise import put_on_grid, to_integer_model


class PlaneSource:
    """Image and mask of the handmade network, made of the integer planes; no augmentation, as in the talk."""

    def __init__(self, triggers: TriggerSet, rule: PlaneRule) -> None:
        self.planes = make_planes(triggers.snr, triggers.mask, triggers.catalogue_id, rule)
        self.label = (triggers.label == TRUE).astype(np.float32)
        self.weight = np.ones(len(triggers), dtype=np.float32)

    def batch(self, index: NDArray[np.intp], rng: np.random.Generator | None) -> Tensor:
        """Images and masks, float32 [B, 2, 56, 56]."""
        real = real_planes(torch.from_numpy(self.planes[index]))
        both = torch.stack([real[:, 0], real[:, 2] - real[:, 1]], dim=1)
        return both.contiguous(memory_format=torch.channels_last)


def fit_handmade(
    fitted: PlaneSource,
    held_out: PlaneSource,
    phase: Phase,
    seed: int,
    progress: Callable[[Progress], None] = lambda _: None,
) -> tuple[HandmadeNet, NDArray[np.float32]]:
    """Train the network in floating point.

    Returns
    -------
    net : HandmadeNet
    score : float32 array [N]
        Of the held-out alerts.
    """
    torch.manual_seed(seed)
    net = HandmadeNet().to(memory_format=torch.channels_last)
    for told in Trainer(net, phase, seed).epochs(0, fitted, held_out, lambda: None, time.monotonic()):
        progress(told)
    return net, predict(net, held_out)


@torch.no_grad()
def quantise_handmade(net: HandmadeNet, planes: NDArray[np.int8], rule: PlaneRule) -> IntegerModel:
    """Quantise the trained network.

    Parameters
    ----------
    net : HandmadeNet
        Trained on :class:`PlaneSource`.
    planes : int8 array [N, 3, 56, 56]
        The calibration sample, whose largest values set the scales.
    rule : PlaneRule
        How planes are made; it becomes part of the model.
    """
    image, mask = net.conv1.weight[:, :1], net.conv1.weight[:, 1:]
    channels = net.conv2.out_channels
    folded = [
        (torch.cat([image, -mask, mask], dim=1), net.conv1.bias),
        (net.conv2.weight, net.conv2.bias),
        (net.dense1.weight.view(-1, channels, SIDE // 4, SIDE // 4), net.dense1.bias),
        (net.dense2.weight.view(1, -1, 1, 1), net.dense2.bias),
    ]
    sample = real_planes(torch.from_numpy(planes))
    return to_integer_model(put_on_grid(HANDMADE, folded, sample, MAX_RECTIFIED), "handmade", rule)
