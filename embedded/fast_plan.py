"""The fast style before it is printed: kinds of layers, rows of words, rings of rows, and who is called when.

A map is held as rows of words. Word *i* of a row of *W* pixels holds pixel *i* in its low and pixel *i + h* in its
high lane, *h = ceil(W / 2)*: so every tap of a kernel is a word, and strides of 1 and 2 need no shuffling. Where the
distance of the lanes that a layer wants is not that of the one before, its words are put together from two.

Rows are computed as soon as they are needed and kept only until the last row that needs them: each map is a ring of
as many rows as the next kernel is high. The order of calls is fixed here and printed as a list.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from slewguard.embedded.halved import Halved, halve
from slewguard.embedded.lanes import Channel, Range, place
from slewguard.export.layers import Layer, MaxPool, Shape
from slewguard.export.model import IntegerModel
from slewguard.subimages.errors import BadInput

FIRST, DEPTHWISE, POINTWISE, POOL, DENSE = "first", "depthwise", "pointwise", "pool", "dense"


@dataclass(frozen=True, eq=False)
class Stage:
    """One layer of the fast style.

    Parameters
    ----------
    layer : Layer
    number : int
    kind : str
    halved : Halved
    in_shape, out_shape : (channels, rows, columns)
    channels : tuple of Channel
        Of the first three kinds.
    """

    layer: Layer
    number: int
    kind: str
    halved: Halved
    in_shape: Shape
    out_shape: Shape
    channels: tuple[Channel, ...]

    @property
    def half(self) -> int:
        """Words of an output row of one channel."""
        return ceil(self.out_shape[2] / 2)

    @property
    def row_words(self) -> int:
        """Words of an output row of all channels."""
        return self.out_shape[0] * self.half

    @property
    def tabled(self) -> bool:
        """Whether all channels clamp by the table."""
        return all(channel.table for channel in self.channels)

    @property
    def whole(self) -> bool:
        """Whether no channel is summed in chunks."""
        return all(channel.whole for channel in self.channels)

    def needs(self, row: int) -> list[int]:
        """Input rows of an output row; those outside the image are -1."""
        rows = [row * self.layer.stride - self.layer.pad[0] + y for y in range(self.layer.weights.shape[2])]
        return [y if 0 <= y < self.in_shape[1] else -1 for y in rows]


@dataclass(frozen=True, eq=False)
class Fast:
    """A whole model in the fast style.

    Parameters
    ----------
    model : IntegerModel
    stages : tuple of Stage
    rings : tuple of int
        Rows kept of the planes, then of each stage.
    offsets : dict of str to int
        Words from the start of the scratch: ``packed``, ``sum`` and ``row NAME``.
    scratch_bytes : int
    """

    model: IntegerModel
    stages: tuple[Stage, ...]
    rings: tuple[int, ...]
    offsets: dict[str, int]
    scratch_bytes: int

    @property
    def zeros(self) -> int:
        """Zeros in the table that clamps, before its 0."""
        return max([channel.offset for stage in self.stages for channel in stage.channels if channel.table] or [0])

    @property
    def pooled(self) -> Stage:
        """The stage that sums up a whole map."""
        return next(stage for stage in self.stages if stage.kind == POOL)

    @property
    def snr_words(self) -> int:
        """Words of SNR in a packed row of the planes."""
        first = self.stages[0]
        return (first.half - 1) * first.layer.stride + int(first.layer.weights.shape[3])

    @property
    def packed_words(self) -> int:
        """Words of a packed row of the planes, the indices of the binary planes included."""
        first = self.stages[0]
        stride, kernel = first.layer.stride, int(first.layer.weights.shape[3])
        return first.half * (stride + 1) + max(kernel - stride, 0)

    def schedule(self) -> list[tuple[int, int]]:
        """Calls in their order: (stage, row); stage -1 packs a row of the planes."""
        done = [0] * (len(self.stages) + 1)
        calls: list[tuple[int, int]] = []

        def until(stage: int, row: int) -> None:
            while done[stage + 1] <= row:
                current = done[stage + 1]
                if stage >= 0:
                    until(stage - 1, max(self.stages[stage].needs(current)))
                calls.append((stage, current))
                done[stage + 1] += 1

        for row in range(self.pooled.in_shape[1]):
            until(self.pooled.number - 1, row)
            calls.append((self.pooled.number, row))
        return calls


def _kind(layer: Layer, number: int, in_shape: Shape, out_shape: Shape) -> str:
    _, _, kernel_h, kernel_w = layer.weights.shape
    if number == 0 and not layer.depthwise and kernel_w <= 3 and layer.lo == 0:
        return FIRST
    if in_shape[1:] == (1, 1) and not layer.depthwise and (kernel_h, kernel_w) == (1, 1):
        return DENSE
    if number and layer.lo == 0:
        if layer.depthwise:
            whole = out_shape[1:] == (1, 1) and not any(layer.pad) and in_shape[1:] == (kernel_h, kernel_w)
            return POOL if whole else DEPTHWISE
        if (kernel_h, kernel_w, layer.stride) == (1, 1, 1) and not any(layer.pad):
            return POINTWISE
    raise BadInput(f"the fast style has no form for layer {layer.name:.64} ({layer.op} {kernel_h}x{kernel_w})")


def _ranges(layer: Layer, halved: Halved, kind: str, level: int) -> list[Range]:
    weights = halved.weights.reshape(len(halved.bias), -1).astype(np.int64)
    low, high = np.minimum(255 * weights, 0), np.maximum(255 * weights, 0)
    if kind == FIRST:
        planes = halved.weights.reshape(len(halved.bias), 3, -1).astype(np.int64)
        snr = planes[:, 0]
        low, high = np.minimum(-128 * snr, 127 * snr), np.maximum(-128 * snr, 127 * snr)
        # The binary planes enter with the first tap.
        low[:, 0] += np.minimum(level * planes[:, 1:], 0).sum(axis=(1, 2))
        high[:, 0] += np.maximum(level * planes[:, 1:], 0).sum(axis=(1, 2))
    return [Range(low[c], high[c], int(halved.bias[c]), int(halved.shift[c])) for c in range(len(weights))]


def ranges_of(stage: Stage, level: int) -> list[Range]:
    """Range of each channel of a stage; ``level`` is that of the binary planes."""
    return _ranges(stage.layer, stage.halved, stage.kind, level)


def make_fast(model: IntegerModel) -> Fast:
    """Plan a model.

    Raises
    ------
    BadInput
        If the network is not one that the fast style knows: a convolution over the planes, then depthwise and pointwise
        ones, one learned pooling, then dense ones.
    """
    stages, in_shape = [], model.input_shape
    for number, (layer, out_shape) in enumerate(zip(model.layers, model.shapes, strict=True)):
        if isinstance(layer, MaxPool):
            raise BadInput(f"the fast style has no form for layer {layer.name:.64} ({layer.op})")
        kind, halved = _kind(layer, number, in_shape, out_shape), halve(layer)
        channels: list[Channel] = []
        if kind in (FIRST, DEPTHWISE, POINTWISE):
            channels = place(_ranges(layer, halved, kind, model.planes.level), share=kind != DEPTHWISE)
        stages.append(Stage(layer, number, kind, halved, in_shape, out_shape, tuple(channels)))
        in_shape = out_shape
    kinds = [stage.kind for stage in stages]
    middle = kinds.index(POOL) if POOL in kinds else len(kinds)
    order = [FIRST, *[k for k in kinds[1:middle] if k in (DEPTHWISE, POINTWISE)], POOL]
    if kinds != [*order, *[DENSE] * (len(kinds) - len(order))] or kinds[-1] != DENSE:
        raise BadInput(f"the fast style has no form for a network of {', '.join(kinds)}")

    fast = Fast(model, tuple(stages), (), {}, 0)
    rings = [int(stages[0].layer.weights.shape[2])]
    for after in stages[1 : middle + 1]:
        rings.append(int(after.layer.weights.shape[2]) if after.kind == DEPTHWISE else 1)
    offsets, at = {}, 0
    sizes = {
        "packed": rings[0] * fast.packed_words,
        **{stage.layer.name: rings[stage.number + 1] * stage.row_words for stage in stages[:middle]},
        "sum": stages[middle].in_shape[0],
        **{stage.layer.name: stage.out_shape[0] for stage in stages[middle:]},
    }
    for name, size in sizes.items():
        offsets[f"row {name}" if name not in ("packed", "sum") else name] = at
        at += size
    return Fast(model, tuple(stages), tuple(rings), offsets, 4 * at)
