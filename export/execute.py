"""The numpy executor: the integer model as a dozen lines of arithmetic, which is the specification.

Accumulators are int32; the bounds of :class:`slewguard.export.layers.Layer` prove that nothing overflows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.export import rounding
from slewguard.export.layers import TIE_FREE, Layer, MaxPool
from slewguard.export.model import IntegerModel
from slewguard.export.planes import make_planes
from slewguard.export.powers import Scales, layer_scales
from slewguard.subimages.contract import TriggerSet
from slewguard.subimages.places import places
from slewguard.subimages.verdict import Judgement

_CHUNK = 64


def run_layer(layer: Layer | MaxPool, x: NDArray[Any]) -> NDArray[Any]:
    """Output of one layer of a tie-free model.

    Parameters
    ----------
    layer : Layer or MaxPool
    x : int8 or uint8 array [N, in, rows, columns]

    Returns
    -------
    int8 or uint8 array [N, out, rows, columns]
    """
    if isinstance(layer, MaxPool):
        return largest(layer, x)
    acc, shift = accumulate(layer, x), layer.shift.astype(np.int32)[:, None, None]
    return np.clip((acc + (1 << (shift - 1))) >> shift, layer.lo, layer.hi).astype(layer.dtype)


def accumulate(layer: Layer, x: NDArray[Any]) -> NDArray[np.int32]:
    """Accumulators of a convolution, int32 [N, out, rows, columns]."""
    out, rows, columns = layer.out_shape((x.shape[1], x.shape[2], x.shape[3]))
    top, bottom, left, right = layer.pad
    padded = np.pad(x.astype(np.int32), ((0, 0), (0, 0), (top, bottom), (left, right)))
    acc = np.zeros((len(padded), out, rows, columns), dtype=np.int32)
    weights = layer.weights.astype(np.int32)
    for i, j in np.ndindex(*layer.weights.shape[2:]):
        tap = padded[:, :, i :: layer.stride, j :: layer.stride][:, :, :rows, :columns]
        acc += weights[:, 0, i, j, None, None] * tap if layer.depthwise else _mix(weights[:, :, i, j], tap)
    acc += layer.bias[:, None, None]
    return acc


def largest(layer: MaxPool, x: NDArray[Any]) -> NDArray[Any]:
    """Largest value of each block."""
    channels, rows, columns = layer.out_shape((x.shape[1], x.shape[2], x.shape[3]))
    size = layer.size
    blocks = x[:, :, : rows * size, : columns * size].reshape(len(x), channels, rows, size, columns, size)
    return np.asarray(blocks.max(axis=(3, 5)))


def requantiser(layer: Layer, scales: Scales, arithmetic: str) -> Callable[[NDArray[np.int32]], NDArray[Any]]:
    """Function from accumulators [N, out, rows, columns] to outputs, for a model that is not tie-free.

    Parameters
    ----------
    layer : Layer
    scales : Scales
        Of the layer.
    arithmetic : str
        One of :data:`slewguard.export.layers.ARITHMETICS`, but not ``tie_free``.
    """
    if arithmetic == "rne":
        scale = scales.single()[:, None, None]
        return lambda acc: rounding.rne(acc.astype(np.int64), scale, layer.lo, layer.hi).astype(layer.dtype)
    q, e = (part[:, None, None] for part in rounding.quantise_multiplier(scales.real()))
    if arithmetic == "double_mixed":
        arithmetic = "double" if layer.depthwise else "double_up"
    rounded = {"single": rounding.single, "double": rounding.double, "double_up": rounding.double_up}[arithmetic]
    return lambda acc: rounded(acc.astype(np.int64), q, e, layer.lo, layer.hi).astype(layer.dtype)


def _mix(weights: NDArray[np.int32], x: NDArray[np.int32]) -> NDArray[np.int32]:
    """Sum over input channels: [out, in] times [N, in, rows, columns].

    In float64, because that is where numpy has a fast product: every partial sum is an integer far below 2^53,
    so it is exact in any order of summation.
    """
    n, inner, rows, columns = x.shape
    product = weights.astype(np.float64) @ x.reshape(n, inner, rows * columns).astype(np.float64)
    return product.astype(np.int32).reshape(n, len(weights), rows, columns)


def run_layers(model: IntegerModel, planes: NDArray[np.int8]) -> list[NDArray[Any]]:
    """Outputs of every layer for N sub-images.

    Parameters
    ----------
    model : IntegerModel
    planes : int8 array [N, 3, 56, 56]

    Returns
    -------
    list of int8 or uint8 arrays [N, out, rows, columns]
    """
    outputs: list[NDArray[Any]] = []
    x: NDArray[Any] = planes
    scales = iter(layer_scales(model)) if model.arithmetic != TIE_FREE else iter(())
    for layer in model.layers:
        if isinstance(layer, MaxPool) or model.arithmetic == TIE_FREE:
            x = run_layer(layer, x)
        else:
            x = requantiser(layer, next(scales), model.arithmetic)(accumulate(layer, x))
        outputs.append(x)
    return outputs


def run(model: IntegerModel, planes: NDArray[np.int8]) -> NDArray[np.int8]:
    """Scores of N sub-images.

    Parameters
    ----------
    model : IntegerModel
    planes : int8 array [N, 3, 56, 56]

    Returns
    -------
    int8 array [N]
    """
    score = np.empty(len(planes), dtype=np.int8)
    for start in range(0, len(planes), _CHUNK):
        part = slice(start, start + _CHUNK)
        score[part] = run_layers(model, planes[part])[-1][:, 0, 0, 0]
    return score


class NumpyClassifier:
    """The specification as a :class:`slewguard.subimages.Classifier`."""

    def __init__(self, model: IntegerModel) -> None:
        self.model = model

    def judge(self, triggers: TriggerSet) -> Judgement:
        """Judge each alert, those of one sequence as looks in the order in which they stand.

        A sub-image that breaks the contract gets ``ABSTAIN`` and score 0.
        """
        rule = self.model.verdict
        score = np.zeros(len(triggers), dtype=np.int8)
        reason = triggers.rejected.copy()
        good = np.nonzero(reason == 0)[0]
        for start in range(0, len(good), _CHUNK):
            part = good[start : start + _CHUNK]
            planes = make_planes(
                triggers.snr[part], triggers.mask[part], triggers.catalogue_id[part], self.model.planes
            )
            score[part] = run(self.model, planes)
            reason[part] = rule.reasons(rule.count(planes))
        return Judgement(score, rule.decide_looks(score, reason, places(triggers)), reason)
