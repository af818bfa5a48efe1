"""Scales: what ONNX and TensorFlow Lite hold in place of a shift.

Both describe a layer by three real scales with ``2^-shift = scale_x * scale_w[c] / scale_y``. All of them are
powers of two in a tie-free model, so the float32 product and quotient are exact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slewguard.export.layers import Layer
from slewguard.export.model import IntegerModel
from slewguard.subimages.errors import BadInput

MAX_FILE = 16_000_000
"""Largest file of a package that is read, in bytes; the flight network as a graph has some 12,000."""
MAX_WEIGHTS = 2_000_000
"""Most weights that are read from a graph, so that many tensors on one buffer cannot exhaust the memory."""

_EXPONENTS = (-125, 127)


@dataclass(frozen=True, eq=False)
class Scales:
    """Real scales of a layer as a file holds them.

    Parameters
    ----------
    x, y : float32
        Of the input and of the output.
    weights : float32 array [out]
    """

    x: np.float32
    weights: NDArray[np.float32]
    y: np.float32

    def single(self) -> NDArray[np.float32]:
        """Requantisation scale of each channel, computed in float32 as onnxruntime and XNNPACK do."""
        return self.x * self.weights / self.y

    def real(self) -> NDArray[np.float64]:
        """Requantisation scale of each channel, computed in float64 as TensorFlow Lite does."""
        return np.float64(self.x) * self.weights.astype(np.float64) / np.float64(self.y)


def layer_scales(model: IntegerModel) -> list[Scales]:
    """Scales of every convolution of a model, for weights as they stand in it.

    Raises
    ------
    BadInput
        If one is no normal float32.
    """
    x, in_log2 = model.planes.scale, model.planes.snr_log2
    found = []
    for layer in model.convolutions:
        if layer.real is None:
            scales = Scales(x, weight_scales(layer, in_log2), np.ldexp(np.float32(1), -layer.out_log2))
            in_log2 = layer.out_log2
        else:
            scales = Scales(x, layer.real.weights, layer.real.out)
        found.append(scales)
        x = scales.y
    return found


def weight_scales(layer: Layer, in_log2: int) -> NDArray[np.float32]:
    """Scale of each channel's weights, for inputs of scale 2^-in_log2.

    Returns
    -------
    float32 array [out]

    Raises
    ------
    BadInput
        If one is no normal float32.
    """
    exponent = in_log2 - layer.out_log2 - layer.shift.astype(int)
    if exponent.min() < _EXPONENTS[0] or exponent.max() > _EXPONENTS[1]:
        raise BadInput(f"layer {layer.name}: a weight scale of 2^{exponent.min()} is beyond float32")
    return np.ldexp(np.float32(1), exponent).astype(np.float32)


def exponents(scales: NDArray[np.float32] | np.float32, what: str) -> NDArray[np.int64]:
    """Base-2 logarithms of scales.

    Raises
    ------
    BadInput
        If one is no power of two.
    """
    if not (np.isfinite(scales).all() and (np.frexp(scales)[0] == 0.5).all()):
        raise BadInput(f"{what} is not a power of two")
    return np.frexp(scales)[1].astype(np.int64) - 1


def shifts(weight_exponent: NDArray[np.int64], in_log2: int, out_log2: int, what: str) -> NDArray[np.uint8]:
    """Shift of each channel from the scales; the inverse of :func:`weight_scales`.

    Raises
    ------
    BadInput
        If one is no shift of a layer.
    """
    shift = in_log2 - out_log2 - weight_exponent
    if shift.min(initial=0) < 0 or shift.max(initial=0) > 255:
        raise BadInput(f"{what}: scales do not give a right shift")
    return shift.astype(np.uint8)
