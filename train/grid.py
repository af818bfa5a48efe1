"""The network on its integer grid: Brevitas layers with constant scales, which train and give integers.

Brevitas is 5 to 10 times slower than torch when scales are learned and statistics collected. With the scales
constant, the layers channels-last and no quantised tensors passed between layers, it is about twice. The grid is that
of :mod:`slewguard.train.quantise`, which chooses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slewguard.export.flight import LayerShape
from slewguard.export.layers import MAX_ACCUMULATOR, MaxPool
from slewguard.export.planes import PlaneRule
from slewguard.train.nets import pad
from slewguard.train.quantisers import quantisers

WEIGHT_BITS = 6
LANE = 65535
"""Greatest sum of a channel that two pixels in one 32-bit word can hold (:mod:`slewguard.embedded.lanes`)."""
INT8_MAX = 128
BIAS_SHARE = 0.75
"""Of the limit of an accumulator, the most that its bias may take."""


@dataclass(frozen=True)
class Grid:
    """One layer's shape and its integer grid.

    Parameters
    ----------
    shape : LayerShape
    input_max : int
        Largest magnitude of an input.
    in_log2, out_log2 : int
        One unit of the input (output) is 2^-log2 of the network's real number.
    shift : tuple of int
        s of each output channel.
    signed : bool
        int8 output, else uint8.
    limit : int
        Bound of the accumulator.
    bits : int
        Of the weights. 6 or fewer make an integer model; more are for comparison.
    in_lane : bool
        Keep each channel's sums within 16 bits, so that the fast C code needs no second sum.
    """

    shape: LayerShape
    input_max: int
    in_log2: int
    out_log2: int
    shift: tuple[int, ...]
    signed: bool
    limit: int = MAX_ACCUMULATOR
    bits: int = WEIGHT_BITS
    in_lane: bool = False

    @property
    def weight_max(self) -> int:
        """Largest magnitude of a weight, in units of its scale."""
        return int(2 ** (self.bits - 1) - 1)

    @property
    def bias_bits(self) -> int:
        """Of a bias in half units of the accumulator: twice its range is 20 bits, with weights of 6."""
        return 20 + max(self.bits - WEIGHT_BITS, 0)

    @property
    def lane_width(self) -> Tensor:
        """Width of an input's range as a share of 255, float32 [in or 1, 1, 1]; two of the planes are binary."""
        if self.input_max != INT8_MAX:
            return torch.ones(1, 1, 1)
        level = PlaneRule().level / 255
        return torch.tensor([1.0, level, level]).view(3, 1, 1)

    @property
    def lane_room(self) -> Tensor:
        """Largest sum of a channel's weights, by magnitude, times widths, that stays in a lane, float32 [out].

        The range of the sums is as wide as 255 times that, and may have to be moved by less than the divisor of the
        shift.
        """
        moved = torch.ldexp(torch.ones(len(self.shift)), torch.tensor(self.shift) - 1) - 1
        return (LANE - moved).clamp(min=0) / 255

    @property
    def weight_scale(self) -> Tensor:
        """Value of one unit of a weight, float32 [out, 1, 1, 1]."""
        exponent = 1 - torch.tensor(self.shift) - self.out_log2 + self.in_log2
        return torch.ldexp(torch.ones(len(exponent)), exponent).view(-1, 1, 1, 1)

    @property
    def accumulator_scale(self) -> Tensor:
        """Value of one unit of the accumulator, float32 [out]."""
        return self.weight_scale.flatten() * 2.0**-self.in_log2


class QuantLayer(nn.Module):
    """A Brevitas convolution on its grid; the clamp at 0 of the unsigned output is the rectifier."""

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        from brevitas.nn import QuantConv2d

        shape = grid.shape
        self.grid = grid
        self.conv = QuantConv2d(
            shape.inputs,
            shape.outputs,
            shape.kernel,
            shape.stride,
            groups=shape.inputs if shape.op == "depthwise_conv2d" else 1,
            **quantisers(
                grid.weight_scale, grid.bits, grid.accumulator_scale, grid.bias_bits, grid.out_log2, grid.signed
            ),
        )
        for proxy in (self.conv.weight_quant, self.conv.bias_quant, self.conv.output_quant):
            proxy.skip_create_quant_tensor = True

    def forward(self, x: Tensor) -> Tensor:
        """Real output, each an integer of the grid times its scale."""
        out: Tensor = self.conv(pad(x, self.grid.shape))
        return out

    def integers(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Weights and biases of the integer model: int8 [out, in, height, width] even, int32 [out] odd."""
        with torch.no_grad():
            weight = self.conv.weight_quant(self.conv.weight) / self.grid.weight_scale
            bias = self.conv.bias_quant(self.conv.bias) / self.grid.accumulator_scale
        return (2 * weight).numpy().astype(np.int8), (2 * bias).numpy().astype(np.int32)

    @torch.no_grad()
    def bound(self) -> None:
        """Shrink the channels whose accumulator could reach its limit, or leave its lane."""
        grid, weight = self.grid, self.conv.weight
        most = BIAS_SHARE * grid.limit / 2 * grid.accumulator_scale
        self.conv.bias.copy_(torch.minimum(torch.maximum(self.conv.bias, -most), most))
        magnitude = weight.abs() / grid.weight_scale
        bias = 2 * (self.conv.bias / grid.accumulator_scale).abs() + 1
        # Rounding can add half a unit to each weight.
        total, half = magnitude.sum(dim=(1, 2, 3)), weight[0].numel() / 2
        room = ((grid.limit - 1 - bias) / (2 * grid.input_max) - half) / total
        if grid.in_lane:
            width = grid.lane_width.expand_as(weight[0])
            wide, half = (magnitude * width).sum(dim=(1, 2, 3)), float(width.sum() / 2)
            room = torch.minimum(room, (grid.lane_room - half).clamp(min=0) / wide)
        over = room < 1
        if over.any():
            weight[over] *= room[over].view(-1, 1, 1, 1)


class PoolLayer(nn.Module):
    """Maximum of blocks: the numbers stay on the grid of the layer before."""

    def __init__(self, pool: MaxPool) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        """Largest of each block."""
        return F.max_pool2d(x, self.pool.size)


class QuantNet(nn.Module):
    """The network on the integer grid. Input float32 [N, 3, 56, 56] real planes, output float32 [N] scores."""

    def __init__(self, grids: tuple[Grid | MaxPool, ...]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(PoolLayer(g) if isinstance(g, MaxPool) else QuantLayer(g) for g in grids)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """Score of each sub-image, as a real number."""
        return self.outputs(x)[-1].flatten()

    def outputs(self, x: Tensor) -> list[Tensor]:
        """Real outputs of every layer, [N, out, rows, columns]."""
        found = []
        for layer in self.layers:
            x = layer(x)
            found.append(x)
        return found

    def bound(self) -> None:
        """Keep every accumulator under its limit; called after each step of training."""
        for layer in self.convolutions():
            layer.bound()

    def convolutions(self) -> list[QuantLayer]:
        """The layers that have weights."""
        return [layer for layer in self.layers if isinstance(layer, QuantLayer)]
