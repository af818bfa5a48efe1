"""From the trained network to integers: folding, scales, the network on its grid, IntegerModel, and back.

All scales are powers of two and fixed before quantisation-aware training starts, so that a real number of the
network is an integer times a known power of two, exactly, in float32 (see :mod:`slewguard.export.model`):

* activations: from each alert's *maximum* over a calibration sample, such that nine tenths of the alerts saturate
  nowhere. The few largest values of an alert are the trigger peak; clipping all of them costs the rejection. The
  score alone may saturate, for 1 % of the sample;
* weights: 6 bits, one scale a channel, from the folded weights' maximum (other widths are there to be compared);
* biases: n + 1/2 in units of the accumulator, inside the training loop, so that no accumulator is ever a tie.

In the model's own integers weights and biases are doubled (even weights, odd biases): for 6-bit weights ``w6`` and
scales ``sx``, ``sw``, ``sy`` the shift is ``s = 1 - log2(sx sw / sy)``, and ``s >= 2`` bounds ``sx sw / sy`` by 1/2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from slewguard.export.flight import LayerShape
from slewguard.export.layers import MAX_ACCUMULATOR, SHIFTS, TIE_FREE, Layer, MaxPool
from slewguard.export.model import IntegerModel
from slewguard.export.planes import PlaneRule
from slewguard.export.verdict import VerdictRule
from slewguard.subimages.errors import BadInput
from slewguard.train.grid import BIAS_SHARE, INT8_MAX, LANE, WEIGHT_BITS, Grid, PoolLayer, QuantNet
from slewguard.train.nets import INPUT_LOG2, FlightNet, pad

SATURATED = 0.01
"""Share of the calibration alerts whose score may lie beyond the scale."""
_ORDINARY = 0.9
"""Share of the calibration alerts of which no activation saturates.

The brightest tenth may: a scale that holds their peaks too leaves two bits less to all others (measured, before
training on the grid: AUC 0.953 instead of 0.992).
"""

# Weights may grow in training; a quarter above what they need at its start is left free.
_ROOM = 1.25


def fold(net: FlightNet) -> list[tuple[Tensor, Tensor]]:
    """Fold batch normalisation into the convolutions.

    Returns
    -------
    list of (weight [out, in, height, width], bias [out])
    """
    folded = []
    with torch.no_grad():
        for conv, norm in zip(net.convs, net.norms, strict=False):
            gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            folded.append((conv.weight * gain.view(-1, 1, 1, 1), norm.bias - norm.running_mean * gain))
        last = net.convs[-1]
        folded.append((last.weight.clone(), last.bias.clone()))
    return folded


@torch.no_grad()
def quantise(net: FlightNet, sample: Tensor, *, bits: int = WEIGHT_BITS, in_lane: bool = False) -> QuantNet:
    """Put a trained float network on the integer grid, ready for quantisation-aware training.

    Parameters
    ----------
    net : FlightNet
    sample : float32 tensor [N, 3, 56, 56]
        Real planes of the calibration sample.
    bits : int
        Of the weights, 2 to 8. Wider ones than 6 are trained and run like any, but no integer model holds them.
    in_lane : bool
        Keep the sums of every channel that the fast C code sums in a lane of 16 bits within it.
    """
    if not 2 <= bits <= 8:
        raise ValueError(f"weights of {bits} bits, expected 2 to 8")
    limit = MAX_ACCUMULATOR << max(bits - WEIGHT_BITS, 0)
    return put_on_grid(net.shapes, fold(net), sample, limit, bits=bits, in_lane=in_lane)


@torch.no_grad()
def put_on_grid(
    shapes: tuple[LayerShape, ...],
    folded: list[tuple[Tensor, Tensor]],
    sample: Tensor,
    limit: int = MAX_ACCUMULATOR,
    *,
    bits: int = WEIGHT_BITS,
    in_lane: bool = False,
) -> QuantNet:
    """Choose scales by the maxima of a sample's alerts, and put weights and biases on their grids.

    Parameters
    ----------
    shapes : tuple of LayerShape
    folded : list of (weight [out, in, height, width], bias [out])
        Of each convolution.
    sample : float32 tensor [N, 3, 56, 56]
        Real planes.
    limit : int
        Bound of the accumulators of the rectified layers.
    bits, in_lane :
        As of :func:`quantise`.
    """
    grids: list[Grid | MaxPool] = []
    constants = iter(folded)
    x, in_log2, input_max = sample, INPUT_LOG2, INT8_MAX
    for shape in shapes:
        if shape.op == "max_pool2d":
            grids.append(MaxPool(shape.name, shape.kernel, 0, 255, in_log2))
            x = F.max_pool2d(x, shape.kernel)
            continue
        weight, bias = next(constants)
        groups = shape.inputs if shape.op == "depthwise_conv2d" else 1
        x = F.conv2d(pad(x, shape), weight, bias, shape.stride, groups=groups)
        last = shape is shapes[-1]
        x = x if last else F.relu(x)
        top = _score_top(x) if last else float(torch.quantile(x.flatten(1).amax(1), _ORDINARY))
        out_log2 = _log2_of(top, 127 if last else 255)
        # Layers without rows and columns to pair are summed in 32 bits.
        paired = in_lane and x.shape[2:] != (1, 1)
        grid = Grid(shape, input_max, in_log2, out_log2, (), last, MAX_ACCUMULATOR if last else limit, bits, paired)
        grid = _with_shifts(grid, weight, bias)
        grids.append(grid)
        in_log2, input_max = grid.out_log2, 255
    quantised = QuantNet(tuple(grids))
    for layer, (weight, bias) in zip(quantised.convolutions(), folded, strict=True):
        layer.conv.weight.copy_(weight)
        layer.conv.bias.copy_(bias)
    quantised.bound()
    return quantised


@torch.no_grad()
def rescale_score(net: QuantNet, sample: Tensor) -> QuantNet:
    """Give the trained network's score the scale at which at most 1 % of the sample saturates.

    Only the shift of the last layer follows; no weight and no bias changes.
    """
    *before, last = net.layers
    x = sample
    for layer in before:
        x = layer(x)
    conv = last.conv
    weight, bias = conv.weight_quant(conv.weight), conv.bias_quant(conv.bias)
    free = F.conv2d(pad(x, last.grid.shape), weight, bias, last.grid.shape.stride)
    # The weights' scale stays, so a coarser score takes a larger shift.
    step = max(
        min(_log2_of(_score_top(free), 127) - last.grid.out_log2, last.grid.shift[0] - SHIFTS[0]),
        last.grid.shift[0] - SHIFTS[1],
    )
    grid = replace(last.grid, out_log2=last.grid.out_log2 + step, shift=tuple(s - step for s in last.grid.shift))
    kept = (layer.pool if isinstance(layer, PoolLayer) else layer.grid for layer in before)
    rescaled = QuantNet((*kept, grid))
    for to, of in zip(rescaled.convolutions(), net.convolutions(), strict=True):
        to.conv.weight.copy_(of.conv.weight)
        to.conv.bias.copy_(of.conv.bias)
    return rescaled


def to_integer_model(
    net: QuantNet,
    name: str,
    planes: PlaneRule,
    verdict: VerdictRule | None = None,
    certificate: Mapping[str, Any] | None = None,
) -> IntegerModel:
    """Read the integers off the network.

    Raises
    ------
    BadInput
        If a layer breaks the tie-free construction (:meth:`QuantNet.bound` in the loop prevents it), or its weights
        have more than 6 bits.
    """
    layers: list[Layer | MaxPool] = []
    for layer in net.layers:
        if isinstance(layer, PoolLayer):
            layers.append(layer.pool)
            continue
        grid, shape = layer.grid, layer.grid.shape
        weights, bias = layer.integers()
        lo, hi = (-128, 127) if grid.signed else (0, 255)
        shift = np.array(grid.shift, dtype=np.uint8)
        layers.append(Layer(shape.name, shape.op, weights, bias, shift, shape.stride, shape.pad, lo, hi, grid.out_log2))
    return IntegerModel(name, planes, tuple(layers), verdict or VerdictRule(), certificate or {})


@torch.no_grad()
def from_integer_model(model: IntegerModel) -> QuantNet:
    """Rebuild the Brevitas network from the integers.

    Raises
    ------
    BadInput
        If a kernel is not square, or the model not tie-free.
    """
    if model.arithmetic != TIE_FREE:
        raise BadInput(f"the training network is tie-free, this model is rounded {model.arithmetic!r}")
    grids: list[Grid | MaxPool] = []
    in_log2 = INPUT_LOG2
    for layer in model.layers:
        if isinstance(layer, MaxPool):
            grids.append(layer)
            continue
        out, inner, height, width = layer.weights.shape
        if height != width:
            raise BadInput(f"layer {layer.name}: kernel of {height}x{width} is not square")
        op: Any = layer.op
        inputs = out if layer.depthwise else inner
        shape = LayerShape(layer.name, op, inputs, out, height, layer.stride, layer.pad)
        shift = tuple(int(s) for s in layer.shift)
        input_max = 255 if grids else INT8_MAX
        grids.append(Grid(shape, input_max, in_log2, layer.out_log2, shift, layer.lo < 0))
        in_log2 = layer.out_log2
    net = QuantNet(tuple(grids))
    for own, layer in zip(net.convolutions(), model.convolutions, strict=True):
        grid = own.grid
        own.conv.weight.copy_(torch.from_numpy(layer.weights / 2).float() * grid.weight_scale)
        own.conv.bias.copy_(torch.from_numpy(layer.bias / 2).float() * grid.accumulator_scale)
    return net.eval()


def _log2_of(top: float, steps: int) -> int:
    """Finest power of two at which ``top`` still fits into ``steps``."""
    return math.floor(math.log2(steps / max(top, 2.0**-20)))


def _score_top(score: Tensor) -> float:
    return float(torch.quantile(score.flatten().abs(), 1 - SATURATED, interpolation="higher"))


def _with_shifts(grid: Grid, weight: Tensor, bias: Tensor) -> Grid:
    """Finest weight scales that hold the weights and bound the accumulator; a coarser output where s < 2."""
    flat = weight.flatten(1).abs()
    most = grid.limit / (2 * grid.input_max * _ROOM)
    unit = torch.maximum(flat.amax(1) / grid.weight_max, flat.sum(1) / most).clamp(min=2.0**-30)
    # A channel that is nearly dead has a bias all the same.
    unit = torch.maximum(unit, bias.abs() * 2.0**grid.in_log2 * 2 * _ROOM / (BIAS_SHARE * grid.limit))
    if grid.in_lane:
        # A channel that is too wide gets a coarser unit, which costs it less than smaller weights would.
        wide = (weight.abs() * grid.lane_width).sum(dim=(1, 2, 3))
        unit = torch.maximum(unit, wide * 255 * _ROOM / LANE)
    finest = torch.floor(1 - torch.log2(unit)).int() + grid.in_log2 - grid.out_log2
    lack = max(SHIFTS[0] - int(finest.min()), 0)
    shift = tuple(int(s) for s in (finest + lack).clamp(max=SHIFTS[1]))
    return replace(grid, out_log2=grid.out_log2 - lack, shift=shift)
