"""Planes and models on which generated C is tried."""

from __future__ import annotations

import numpy as np

from slewguard.export.model import IntegerModel, Layer
from slewguard.export.planes import PlaneRule
from slewguard.export.verdict import VerdictRule


def adversarial_planes(seed=0):
    """Constant extremes, no data, single pixels at every corner, dense and sparse noise."""
    rng = np.random.default_rng(seed)
    constant = [np.full((3, 56, 56), value) for value in (0, 1, 127, -127)]
    no_data = np.zeros((3, 56, 56))
    no_data[1] = 16
    known = np.zeros((3, 56, 56))
    known[2] = 16
    checker = np.where(np.indices((3, 56, 56)).sum(axis=0) % 2, 127, -127)
    points = []
    for row, column in ((0, 0), (0, 55), (55, 0), (55, 55), (28, 28)):
        point = np.zeros((3, 56, 56))
        point[:, row, column] = 127
        points.append(point)
    dense = list(rng.integers(-127, 128, size=(6, 3, 56, 56)))
    likely = rng.normal(0, 12, size=(8, 3, 56, 56)).clip(-127, 127)
    likely[:, 1:] = 16 * (rng.random((8, 2, 56, 56)) < 0.1)
    likely[:, 0, 28, 28] = rng.integers(0, 128, size=8)
    return np.array([*constant, no_data, known, checker, *points, *dense, *likely]).astype(np.int8)


PLANES = adversarial_planes()


def odd_model(seed):
    """A model of random layers: any kernel, stride, padding and clamp that the integer model allows."""
    rng = np.random.default_rng(seed)
    shape, lo, hi = (3, 56, 56), -127, 127
    layers = []
    for i in range(4):
        last = i == 3
        depthwise = not last and bool(rng.integers(2))
        kernel = shape[1:] if last else tuple(rng.integers(1, 5, size=2).tolist())
        out = 1 if last else shape[0] if depthwise else int(rng.integers(1, 6))
        weights = 2 * rng.integers(-4, 5, size=(out, 1 if depthwise else shape[0], *kernel))
        if last:
            weights *= rng.random(weights.shape) < 500 / weights.size
        signed = last or bool(rng.integers(2))
        layer = Layer(
            name=f"layer{i}",
            op="depthwise_conv2d" if depthwise else "conv2d",
            weights=weights.astype(np.int8),
            bias=(2 * rng.integers(-500, 500, size=out) + 1).astype(np.int32),
            shift=rng.integers(2, 8, size=out).astype(np.uint8),
            stride=1 if last else int(rng.choice([1, 2, 4], p=[0.2, 0.4, 0.4])),
            pad=(0, 0, 0, 0) if last else tuple(rng.integers(0, max(kernel), size=4).tolist()),
            lo=-128 if signed else 0,
            hi=127 if signed else 255,
            out_log2=0,
        )
        layer.check(shape, lo, hi)
        layers.append(layer)
        shape, lo, hi = layer.out_shape(shape), layer.lo, layer.hi
    return IntegerModel(f"odd-{seed}", PlaneRule(), tuple(layers), VerdictRule())
