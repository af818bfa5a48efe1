"""The model's arithmetic with the factor of two taken out, as the C code computes it.

A layer of the integer model has even weights *w = 2v*, an odd bias *b* and a shift *s >= 2*:

    out = clamp((sum(w x) + b + 2^(s-1)) >> s)

Put *b = 2k + 1*. The bracket is *2 (sum(v x) + k + 2^(s-2)) + 1 = 2m + 1*, and for every integer *m*

    floor((2m + 1) / 2^s) = floor(floor((2m + 1) / 2) / 2^(s-1)) = floor(m / 2^(s-1)).

So the 6-bit weights *v*, the bias *k + 2^(s-2)* and the shift *s - 1* give the same output exactly, rounding
included. As *\\|sum(w x) + b\\| < 2^19* and *s <= 20*, *\\|m\\| < 2^19*: the accumulator plus 2^19 is never negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.export.layers import Layer


@dataclass(frozen=True, eq=False)
class Halved:
    """Tables of one layer as they stand in the C file.

    Parameters
    ----------
    weights : int8 array
        [out, in, height, width]; without ``in`` if depthwise, without height and width if 1x1.
    bias : int32 array [out]
        With the rounding constant.
    shift : uint8 array [out]
    """

    weights: NDArray[np.int8]
    bias: NDArray[np.int32]
    shift: NDArray[np.uint8]


def halve(layer: Layer) -> Halved:
    """Tables of a layer for the C code."""
    weights: NDArray[Any] = layer.weights // 2
    if layer.depthwise:
        weights = weights[:, 0]
    if layer.weights.shape[2:] == (1, 1):
        weights = weights.reshape(weights.shape[:-2])
    shift = layer.shift.astype(np.int32)
    bias = (layer.bias - 1) // 2 + (1 << (shift - 2))
    return Halved(weights.astype(np.int8), bias.astype(np.int32), (shift - 1).astype(np.uint8))
