"""The numpy executor: the integer model as a dozen lines of arithmetic, which is the specification.

Numbers are kept in int32 throughout; the accumulator bounds of :class:`slewguard.export.model.Layer` prove that
nothing overflows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.export.model import IntegerModel, Layer
from slewguard.export.planes import make_planes
from slewguard.subimages.contract import TriggerSet
from slewguard.subimages.verdict import Judgement

_CHUNK = 64


def run_layer(layer: Layer, x: NDArray[Any]) -> NDArray[Any]:
    """Output of one layer.

    Parameters
    ----------
    layer : Layer
    x : int8 or uint8 array [N, in, rows, columns]

    Returns
    -------
    int8 or uint8 array [N, out, rows, columns]
    """
    out, rows, columns = layer.out_shape((x.shape[1], x.shape[2], x.shape[3]))
    top, bottom, left, right = layer.pad
    padded = np.pad(x.astype(np.int32), ((0, 0), (0, 0), (top, bottom), (left, right)))
    acc = np.zeros((len(padded), out, rows, columns), dtype=np.int32)
    weights = layer.weights.astype(np.int32)
    for i, j in np.ndindex(*layer.weights.shape[2:]):
        tap = padded[:, :, i :: layer.stride, j :: layer.stride][:, :, :rows, :columns]
        acc += weights[:, 0, i, j, None, None] * tap if layer.depthwise else _mix(weights[:, :, i, j], tap)
    acc += layer.bias[:, None, None]
    shift = layer.shift.astype(np.int32)[:, None, None]
    rounded = (acc + (1 << (shift - 1))) >> shift
    return np.clip(rounded, layer.lo, layer.hi).astype(layer.dtype)


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
    for layer in model.layers:
        x = run_layer(layer, x)
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
        return Judgement(score, rule.decide_looks(score, reason, triggers.sequence), reason)
