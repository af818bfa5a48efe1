"""The two networks in floating point: the flight net, and the talk's handmade net as a baseline."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slewguard.export.flight import FLIGHT, LayerShape
from slewguard.subimages.contract import SIDE

_LEAST_VARIANCE = 1e-2
"""Added to the variance of a batch (torch's default is 1e-5).

It bounds what the normalisation multiplies a channel with, once folded, by 10. A channel that hardly ever answers was
multiplied by 250, and took the bits of all others with it (measured: AUC 0.9982 became 0.9495 on the grid).
"""

INPUT_LOG2 = 4
"""One unit of the integer planes is 2^-4 of the network's real number: 1 is 4 sigma."""


class FlightNet(nn.Module):
    """Convolutions, each with batch normalisation and rectifier but the last.

    Input float32 [N, 3, 56, 56] (planes times 2^-INPUT_LOG2), output float32 [N], a log-odds.
    """

    def __init__(self, shapes: tuple[LayerShape, ...] = FLIGHT) -> None:
        super().__init__()
        self.shapes = shapes
        self.convs = nn.ModuleList(convolution(shape, bias=shape is shapes[-1]) for shape in shapes)
        self.norms = nn.ModuleList(nn.BatchNorm2d(shape.outputs, eps=_LEAST_VARIANCE) for shape in shapes[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """Score of each sub-image."""
        for shape, conv, norm in zip(self.shapes, self.convs, [*self.norms, None], strict=True):
            x = conv(pad(x, shape))
            if norm is not None:
                x = F.relu(norm(x))
        return x.flatten()


class HandmadeNet(nn.Module):
    """The handmade net of Hubert & Schanne (Caen, November 2025): 1,624,993 parameters.

    Image and mask as two channels, two 3x3 convolutions with rectifier and 2x2 max pooling, two dense layers.
    Input float32 [N, 2, 56, 56], output float32 [N], a log-odds.
    """

    def __init__(self, dropout: float = 0.5) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.dense1 = nn.Linear(64 * (SIDE // 4) ** 2, 128)
        self.dropout = nn.Dropout(dropout)
        self.dense2 = nn.Linear(128, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Score of each sub-image."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = self.dropout(F.relu(self.dense1(x.flatten(1))))
        scores: Tensor = self.dense2(x).flatten()
        return scores


def convolution(shape: LayerShape, *, bias: bool) -> nn.Conv2d:
    """Return an unpadded convolution of the given shape."""
    groups = shape.inputs if shape.op == "depthwise_conv2d" else 1
    return nn.Conv2d(shape.inputs, shape.outputs, shape.kernel, shape.stride, groups=groups, bias=bias)


def pad(x: Tensor, shape: LayerShape) -> Tensor:
    """Pad with zeros as the layer asks: top, bottom, left, right may differ."""
    top, bottom, left, right = shape.pad
    return F.pad(x, (left, right, top, bottom)) if any(shape.pad) else x


def parameters(net: nn.Module) -> int:
    """Count trainable numbers."""
    return sum(p.numel() for p in net.parameters())


def real_planes(planes: Tensor) -> Tensor:
    """Integer planes as the network's real numbers, channels last (twice as fast on a CPU here)."""
    real = planes.to(torch.float32) * 2.0**-INPUT_LOG2
    return real.contiguous(memory_format=torch.channels_last)
