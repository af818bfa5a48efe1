"""Proof that every arithmetic gives the byte of the specification, for every accumulator that can occur.

**Why the steps suffice.** Each arithmetic of :mod:`slewguard.export.rounding` is a chain of functions that never fall
when their argument rises: an addition, a shift or a division that rounds (up, down, to even or away from zero: a
rounding to a grid never swaps two numbers), a conversion to float32, a float32 product with a positive scale (IEEE 754
rounds correctly, hence monotonically), a clamp. So is the chain: the output, as a function of the accumulator, is a
staircase from ``lo`` to ``hi`` with at most ``hi - lo = 255`` steps. Two staircases are equal everywhere if each
output value *y* is first reached at the same accumulator, and bisection finds that place in at most 24 evaluations, as
the function is monotone. That follows from the argument above, not from samples; a slip in it would show where the
ends of each tread and 256 accumulators spread evenly do not give the tread's value, and in the tests, which go through
every accumulator.

**Which accumulators.** A channel's accumulator is ``b + sum(w x)`` with every x in the range of its input or 0
(padding). It lies between the two bounds that the signs of the weights give, and differs from each by a multiple of
the greatest common divisor of the weights (2 in a sound model, unless all weights of a channel share more). The proof
is about every number of that kind: all accumulators that any input can give, and perhaps some that none does.

The maximum of a block is no arithmetic: it gives one of the bytes that it takes.

**What else.** That int32 holds every partial sum of every runtime, that a float32 holds the accumulator and its double,
and what a channel needs if two accumulators are to share a 32-bit word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slewguard.export import onnx_file, tflite_file
from slewguard.export.layers import TIE_FREE, Layer
from slewguard.export.model import IntegerModel, json_text
from slewguard.export.powers import Scales
from slewguard.export.rounding import Integers, c, double, double_up, quantise_multiplier, rne, specification
from slewguard.subimages.errors import BadInput

FORMAT = "slewguard-proof"
VERSION = 1
ARITHMETICS = ("c", "onnx_rne", "tflite_rne", "tflite_double", "tflite_double_up")
"""What is compared with the specification: the C code; onnxruntime on the ONNX file; XNNPACK (LiteRT's default), and
TensorFlow Lite's own reference and optimised kernels, on the TensorFlow Lite file."""
LANE = 2**16 - 1
_PROBES = 256

Arithmetic = Callable[[Integers], Integers]


@dataclass(frozen=True, eq=False)
class Lattice:
    """The accumulators ``least + i * step``, ``0 <= i < count``, of C channels.

    Parameters
    ----------
    least, step, count : int64 arrays [C]
        ``step`` and ``count`` at least 1.
    """

    least: Integers
    step: Integers
    count: Integers

    def at(self, index: Integers) -> Integers:
        """Accumulators [C, K] of indices [C, K]."""
        return self.least[:, None] + self.step[:, None] * index


@dataclass(frozen=True)
class ChannelProof:
    """What is proved of one output channel.

    Parameters
    ----------
    layer : str
    channel : int
    least, greatest, step : int
        Its accumulators: ``least, least + step, ..., greatest``.
    steps : int
        How many times the output of the specification rises on them.
    int32 : bool
        Whether int32 holds every partial sum, in any order of summation, also doubled, also with a zero point of 128
        taken off the input or folded into the bias: ``2 (|b| + 383 sum|w|) < 2^31``.
    float32 : bool
        Whether a float32 holds the accumulator and its double: ``|a| < 2^24``.
    lane_width : int
        Width of the range of ``sum(w x) / 2`` for inputs of 8 bits: ``255 sum|w/2|``.
    monotone : bool
        Whether no arithmetic was seen to fall.
    differs : mapping of str to int or None
        For each of :data:`ARITHMETICS` the least accumulator at which it gives another value than the specification.
    """

    layer: str
    channel: int
    least: int
    greatest: int
    step: int
    steps: int
    int32: bool
    float32: bool
    lane_width: int
    monotone: bool
    differs: Mapping[str, int | None]

    @property
    def accumulators(self) -> int:
        """How many there are."""
        return (self.greatest - self.least) // self.step + 1

    @property
    def lane(self) -> bool:
        """Whether the range of ``sum(w x) / 2`` is no wider than a 16-bit lane.

        A lane whose offset has to be a multiple of 2^(s-1) needs up to 2^(s-1) - 1 more.
        """
        return self.lane_width <= LANE

    @property
    def equal(self) -> bool:
        """Whether every arithmetic is proved equal to the specification, and nothing overflows on the way."""
        return self.int32 and self.monotone and all(first is None for first in self.differs.values())


@dataclass(frozen=True)
class Proof:
    """What is proved of a model.

    Parameters
    ----------
    model_sha256 : str
    rows : tuple of ChannelProof
        Layer by layer.
    """

    model_sha256: str
    rows: tuple[ChannelProof, ...]

    @property
    def equal(self) -> bool:
        """Whether every channel is proved."""
        return all(row.equal for row in self.rows)

    @property
    def accumulators(self) -> int:
        """Over how many accumulators the proof goes, each counted in its channel."""
        return sum(row.accumulators for row in self.rows)

    @property
    def lanes(self) -> int:
        """How many channels are no wider than a 16-bit lane."""
        return sum(row.lane for row in self.rows)

    def to_json(self) -> str:
        """Text of ``proof.json``: a line for each channel; null where an arithmetic is equal everywhere."""
        facts = ("layer", "channel", "least", "greatest", "step", "steps", "int32", "float32", "lane_width")
        content = {
            "format": FORMAT,
            "version": VERSION,
            "model_sha256": self.model_sha256,
            "equal": self.equal,
            "channels": len(self.rows),
            "accumulators": self.accumulators,
            "channels_within_lane": self.lanes,
            "columns": [*facts, "monotone", *(f"first_difference_{name}" for name in ARITHMETICS)],
            "rows": [
                [*(getattr(row, fact) for fact in facts), row.monotone, *(row.differs[name] for name in ARITHMETICS)]
                for row in self.rows
            ],
        }
        return json_text(content) + "\n"


def prove(model: IntegerModel) -> Proof:
    """Compare all arithmetics over all accumulators of a model, with the scales that its files hold.

    Parameters
    ----------
    model : IntegerModel

    Returns
    -------
    Proof

    Raises
    ------
    BadInput
        If the model is not tie-free, or cannot be written as ONNX or TensorFlow Lite.
    """
    if model.arithmetic != TIE_FREE:
        raise BadInput(f"model is not tie-free: only the arithmetic {model.arithmetic!r} gives its bytes")
    onnx = onnx_file.read_scales(onnx_file.write_onnx(model))
    tflite = tflite_file.read_scales(tflite_file.write_tflite(model))
    # -128 is no plane value, but a file may hold it.
    lo, hi = -128, 127
    rows: list[ChannelProof] = []
    for layer, *scales in zip(model.convolutions, onnx, tflite, strict=True):
        rows += prove_layer(layer, lo, hi, *scales)
        lo, hi = layer.lo, layer.hi
    return Proof(model.sha256, tuple(rows))


def prove_layer(layer: Layer, lo: int, hi: int, onnx: Scales, tflite: Scales) -> list[ChannelProof]:
    """Compare all arithmetics over all accumulators of a layer, which need not be tie-free.

    Parameters
    ----------
    layer : Layer
    lo, hi : int
        Range of its input.
    onnx, tflite : Scales
        Of the layer in the ONNX file, and in the TensorFlow Lite file for doubled weights.
    """
    weights = np.abs(layer.weights.reshape(len(layer.weights), -1).astype(np.int64))
    least, greatest = layer.accumulator_bounds(lo, hi)
    step = np.maximum(np.gcd.reduce(weights, axis=1), 1)
    lattice = Lattice(least, step, (greatest - least) // step + 1)
    arithmetics = dict(_arithmetics(layer, onnx, tflite))
    expected, monotone = step_positions(arithmetics.pop("specification"), lattice, layer.lo, layer.hi)
    differs = {}
    for name, arithmetic in arithmetics.items():
        found, rises = step_positions(arithmetic, lattice, layer.lo, layer.hi)
        differs[name] = first_differences(expected, found, lattice)
        monotone &= rises
    inside = (expected > 0) & (expected < lattice.count[:, None])
    partial = np.abs(layer.bias.astype(np.int64)) + 383 * weights.sum(axis=1)
    return [
        ChannelProof(
            layer=layer.name,
            channel=k,
            least=int(least[k]),
            greatest=int(greatest[k]),
            step=int(step[k]),
            steps=len(np.unique(expected[k, inside[k]])),
            int32=bool(2 * partial[k] < 2**31),
            float32=bool(max(-least[k], greatest[k]) < 2**24),
            lane_width=255 * int(weights[k].sum()) // 2,
            monotone=bool(monotone[k]),
            differs={name: differs[name][k] for name in ARITHMETICS},
        )
        for k in range(len(weights))
    ]


def _arithmetics(layer: Layer, onnx: Scales, tflite: Scales) -> Iterator[tuple[str, Arithmetic]]:
    """Functions from accumulators [C, K] of the specification to outputs [C, K]."""
    lo, hi, shift = layer.lo, layer.hi, layer.shift.astype(np.int64)[:, None]
    q, e = (part[:, None] for part in quantise_multiplier(tflite.real()))
    onnx_scale, tflite_scale = onnx.single()[:, None], tflite.single()[:, None]
    yield "specification", lambda acc: specification(acc, shift, lo, hi)
    yield "c", lambda acc: c(acc, shift, lo, hi)
    yield "onnx_rne", lambda acc: rne(acc, onnx_scale, lo, hi)
    yield "tflite_rne", lambda acc: rne(2 * acc, tflite_scale, lo, hi)
    yield "tflite_double", lambda acc: double(2 * acc, q, e, lo, hi)
    yield "tflite_double_up", lambda acc: double_up(2 * acc, q, e, lo, hi)


def step_positions(arithmetic: Arithmetic, lattice: Lattice, lo: int, hi: int) -> tuple[Integers, NDArray[np.bool_]]:
    """Find where each output value is first reached, by bisection.

    Parameters
    ----------
    arithmetic : callable
        From accumulators [C, K] to outputs [C, K] in ``lo..hi``, never falling with the accumulator.
    lattice : Lattice
        Of C channels.
    lo, hi : int

    Returns
    -------
    int64 array [C, hi - lo]
        Least index in the lattice at which the output is at least lo + 1, lo + 2, ..., hi; ``count`` if at none.
    bool array [C]
        False where the outputs at both ends of each tread, or at 256 accumulators spread evenly, show that the
        arithmetic falls somewhere.
    """
    value = np.arange(lo + 1, hi + 1)
    count = lattice.count[:, None]
    low = np.zeros((len(count), len(value)), dtype=np.int64)
    high = np.broadcast_to(count, low.shape)
    while (active := low < high).any():
        middle = (low + high) // 2
        reached = arithmetic(lattice.at(middle)) >= value
        high = np.where(active & reached, middle, high)
        low = np.where(active & ~reached, middle + 1, low)
    spread = (count - 1) * np.arange(_PROBES) // (_PROBES - 1)
    probes = np.concatenate([low, low - 1, spread], axis=1).clip(0, count - 1)
    tread = lo + np.stack([np.searchsorted(row, at, side="right") for row, at in zip(low, probes, strict=True)])
    rises = (np.diff(low, axis=1) >= 0).all(axis=1) & (arithmetic(lattice.at(probes)) == tread).all(axis=1)
    return low, rises


def first_differences(expected: Integers, found: Integers, lattice: Lattice) -> list[int | None]:
    """Least accumulator of each channel at which two monotone arithmetics differ; None where they are equal.

    At the earliest place at which one of them reaches a value and the other does not, they differ; before it they
    have taken all steps together.

    Parameters
    ----------
    expected, found : int64 arrays [C, hi - lo]
        Of :func:`step_positions`.
    lattice : Lattice
    """
    earlier = np.where(expected != found, np.minimum(expected, found), lattice.count[:, None]).min(axis=1)
    accumulator = lattice.at(earlier[:, None])[:, 0]
    return [int(a) if i < n else None for a, i, n in zip(accumulator, earlier, lattice.count, strict=True)]
