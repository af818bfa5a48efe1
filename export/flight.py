"""The shape of the flight network, and one with random weights in that shape for whoever tests the arithmetic.

Depthwise-separable convolutions down to 7x7, a learned 7x7 pooling instead of a mean (no two runtimes agree on
the rounding of a mean), one output. Strided layers are padded at the bottom and the right only: their windows
then lie symmetrically about the trigger pixel [28, 28].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from slewguard.export.execute import run_layer
from slewguard.export.layers import MAX_RECTIFIED, Layer, MaxPool
from slewguard.export.model import IntegerModel
from slewguard.export.planes import PlaneRule
from slewguard.export.verdict import VerdictRule
from slewguard.subimages.contract import SIDE


@dataclass(frozen=True)
class LayerShape:
    """One row of an architecture: a convolution, its channels, kernel, stride and padding; or a maximum of blocks."""

    name: str
    op: Literal["conv2d", "depthwise_conv2d", "max_pool2d"]
    inputs: int
    outputs: int
    kernel: int
    stride: int = 1
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)


_SAME, _STRIDED = (1, 1, 1, 1), (0, 1, 0, 1)

FLIGHT = (
    LayerShape("conv0", "conv2d", 3, 8, 3, 2, _STRIDED),
    LayerShape("dw1", "depthwise_conv2d", 8, 8, 3, 2, _STRIDED),
    LayerShape("pw2", "conv2d", 8, 16, 1),
    LayerShape("dw3", "depthwise_conv2d", 16, 16, 3, 1, _SAME),
    LayerShape("pw4", "conv2d", 16, 24, 1),
    LayerShape("dw5", "depthwise_conv2d", 24, 24, 3, 2, _STRIDED),
    LayerShape("pw6", "conv2d", 24, 32, 1),
    LayerShape("pool7", "depthwise_conv2d", 32, 32, 7),
    LayerShape("score", "conv2d", 32, 1, 1),
)
"""3,689 parameters and 361,848 multiply-accumulates."""

HANDMADE = (
    LayerShape("conv0", "conv2d", 3, 32, 3, 1, _SAME),
    LayerShape("pool1", "max_pool2d", 32, 32, 2, 2),
    LayerShape("conv2", "conv2d", 32, 64, 3, 1, _SAME),
    LayerShape("pool3", "max_pool2d", 64, 64, 2, 2),
    LayerShape("dense4", "conv2d", 64, 128, SIDE // 4),
    LayerShape("score", "conv2d", 128, 1, 1),
)
"""The handmade net of Hubert & Schanne (Caen, November 2025). Its mask channel is the known-source plane less the
no-data plane, so that a weight of it stands twice: 1,625,281 parameters here for its 1,624,993."""


def random_model(seed: int, shapes: tuple[LayerShape, ...] = FLIGHT) -> IntegerModel:
    """Build a model with random weights whose activations use their range.

    Parameters
    ----------
    seed : int
    shapes : tuple of LayerShape
        The architecture; the last row has one output.
    """
    rng = np.random.default_rng(seed)
    x: NDArray[Any] = np.clip(rng.normal(0, 16, size=(16, 3, SIDE, SIDE)), -127, 127).astype(np.int8)
    layers: list[Layer | MaxPool] = []
    for shape in shapes:
        if shape.op == "max_pool2d":
            pool = MaxPool(shape.name, shape.kernel, layers[-1].lo, layers[-1].hi, layers[-1].out_log2)
            layers.append(pool)
            x = run_layer(pool, x)
            continue
        inner = 1 if shape.op == "depthwise_conv2d" else shape.inputs
        size = (shape.outputs, inner, shape.kernel, shape.kernel)
        # A dense layer with larger ones would leave the range of its accumulator.
        spread = min(12.0, MAX_RECTIFIED / (510 * inner * shape.kernel**2))
        weights = (2 * np.clip(np.rint(rng.normal(0, spread, size=size)), -31, 31)).astype(np.int8)
        signed = shape is shapes[-1]
        rms = np.sqrt((x.astype(float) ** 2).mean() * (weights.astype(float) ** 2).sum(axis=(1, 2, 3)))
        # Three times the rms fills the range; a shift of at least 2 keeps the layer tie-free.
        shift = np.clip(np.rint(np.log2(3 * rms / (127 if signed else 255))), 2, 20).astype(np.uint8)
        bias = (2 * rng.integers(-1, 2, size=shape.outputs) * (1 << shift.astype(int)) + 1).astype(np.int32)
        lo, hi = (-128, 127) if signed else (0, 255)
        layer = Layer(shape.name, shape.op, weights, bias, shift, shape.stride, shape.pad, lo, hi, out_log2=len(layers))
        x = run_layer(layer, x)
        layers.append(layer)
    rule = VerdictRule(t_veto=-20, t_confirm=20, min_valid=256, min_trigger=8, max_saturated=1000)
    return IntegerModel(f"random-{seed}", PlaneRule(), tuple(layers), rule)
