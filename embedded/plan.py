"""Where everything lies in the caller's scratch memory, planned before the C is printed.

A layer needs its input, its output and, if it is padded, a small window of padded rows; the planes stay with the
caller. Outputs lie alternately at the bottom and at the top of the scratch, the window between them. The size is
the greatest need of any one layer, which no other placing can undercut.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from slewguard.export.layers import Layer, MaxPool, Shape
from slewguard.export.model import IntegerModel

ALIGNMENT = 4


@dataclass(frozen=True)
class Step:
    """One layer with its shapes and its places in the scratch memory.

    Parameters
    ----------
    layer : Layer or MaxPool
    number : int
        From 0.
    in_dtype : dtype
        int8 or uint8.
    in_shape, out_shape : (channels, rows, columns)
    window_shape : tuple of int
        Padded rows that one output row needs; empty where the layer is not padded.
    in_offset, out_offset, window_offset : int
        Bytes from the start of the scratch; the input of the first layer is the caller's.
    """

    layer: Layer | MaxPool
    number: int
    in_dtype: np.dtype[Any]
    in_shape: Shape
    out_shape: Shape
    window_shape: tuple[int, ...]
    in_offset: int
    out_offset: int
    window_offset: int

    @property
    def accumulator_range(self) -> tuple[int, int]:
        """Least and greatest accumulator of the C code over all channels and inputs."""
        values = np.iinfo(self.in_dtype)
        assert isinstance(self.layer, Layer)
        least, greatest = self.layer.accumulator_bounds(values.min, values.max)
        half = 1 << (self.layer.shift.astype(np.int64) - 2)
        return int(((least - 1) // 2 + half).min()), int(((greatest - 1) // 2 + half).max())


@dataclass(frozen=True)
class Plan:
    """All steps and the bytes of scratch memory that they share."""

    steps: tuple[Step, ...]
    scratch_bytes: int


def window_shape(layer: Layer | MaxPool, shape: Shape) -> tuple[int, ...]:
    """Shape of the padded rows for one output row: [in][height][columns], without ``in`` if depthwise.

    Parameters
    ----------
    layer : Layer or MaxPool
    shape : (channels, rows, columns)
        Of the input.
    """
    if isinstance(layer, MaxPool) or not any(layer.pad):
        return ()
    columns = layer.out_shape(shape)[2]
    kernel_h, kernel_w = layer.weights.shape[2:]
    rows = (kernel_h, (columns - 1) * layer.stride + kernel_w)
    return rows if layer.depthwise else (shape[0], *rows)


def make_plan(model: IntegerModel) -> Plan:
    """Plan the scratch memory of a model."""
    in_shapes = (model.input_shape, *model.shapes[:-1])
    windows = [window_shape(layer, shape) for layer, shape in zip(model.layers, in_shapes, strict=True)]
    window_bytes = [_aligned(prod(shape)) if shape else 0 for shape in windows]
    out_bytes = [_aligned(prod(shape)) for shape in model.shapes]
    in_bytes = [0, *out_bytes[:-1]]
    size = max(map(sum, zip(in_bytes, window_bytes, out_bytes, strict=True)))

    steps = []
    in_offset, in_dtype = 0, np.dtype(np.int8)
    for i, layer in enumerate(model.layers):
        bottom = i % 2 == 0
        out_offset = 0 if bottom else size - out_bytes[i]
        steps.append(
            Step(
                layer=layer,
                number=i,
                in_dtype=in_dtype,
                in_shape=in_shapes[i],
                out_shape=model.shapes[i],
                window_shape=windows[i],
                in_offset=in_offset,
                out_offset=out_offset,
                window_offset=out_bytes[i] if bottom else in_bytes[i],
            )
        )
        in_offset, in_dtype = out_offset, layer.dtype
    return Plan(tuple(steps), size)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
