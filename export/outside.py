"""The same network with ordinary scales, as a converter would have written it: the counterexample to tie-free.

Per-channel weights of 8 bits whose largest magnitude is 127, activations whose scale is the largest value seen over
255 (127 for the score), biases rounded to the accumulator's unit: the common int8 scheme (Jacob et al., CVPR 2018,
arXiv:1712.05877). Such a file has no meaning of its own; the runtime's rounding gives it one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from slewguard.export.execute import run_layers
from slewguard.export.layers import Layer, MaxPool, RealScales
from slewguard.export.model import IntegerModel
from slewguard.export.powers import layer_scales


def with_ordinary_scales(model: IntegerModel, planes: NDArray[np.int8], arithmetic: str) -> IntegerModel:
    """Quantise a tie-free model anew, with scales from a sample.

    Parameters
    ----------
    model : IntegerModel
        Tie-free.
    planes : int8 array [N, 3, 56, 56]
        The sample whose largest values set the scales of the activations.
    arithmetic : str
        Under which the result is run, as of :data:`slewguard.export.layers.ARITHMETICS`. The numbers in it are the
        same for all.

    Raises
    ------
    BadInput
        If a scale comes out such that some runtime could not run it.
    """
    outputs = run_layers(model, planes)
    scales = iter(layer_scales(model))
    x = model.planes.scale
    layers: list[Layer | MaxPool] = []
    for layer, output in zip(model.layers, outputs, strict=True):
        if isinstance(layer, MaxPool):
            layers.append(replace(layer, out_log2=0))
            continue
        held = next(scales)
        column = (slice(None), None, None, None)
        real_weights = layer.weights * held.weights.astype(np.float64)[column]
        largest = np.abs(real_weights).max(axis=(1, 2, 3))
        scale = (np.where(largest > 0, largest, 1.0) / 127).astype(np.float32)
        top = max(int(np.abs(output.astype(int)).max()), 1) * float(held.y)
        y = np.float32(top / layer.hi)
        unit = np.float64(x) * scale.astype(np.float64)
        layers.append(
            replace(
                layer,
                weights=np.clip(np.rint(real_weights / scale[column]), -127, 127).astype(np.int8),
                bias=np.rint(layer.bias * (held.weights.astype(np.float64) * float(held.x)) / unit).astype(np.int32),
                shift=np.zeros_like(layer.shift),
                out_log2=0,
                real=RealScales(scale, y),
            )
        )
        x = y
    name = f"{model.name}, ordinary scales"
    return IntegerModel(name, model.planes, tuple(layers), model.verdict, arithmetic=arithmetic)
