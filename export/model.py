"""The integer model: the whole classifier as data, and the one truth about a network.

Every tensor is an integer with zero point 0 and a power-of-two scale: the planes and the score are int8, what a
rectifier leaves is uint8. A layer computes, for each output channel *c*,

    acc  = sum(w * x) + b[c]                                 int32
    out  = clamp((acc + 2^(s[c] - 1)) >> s[c], lo, hi)       one rounding, half up

**Tie-free.** Runtimes round differently: onnxruntime and XNNPACK half to even after one float32 product,
TensorFlow Lite's own kernels twice (a doubling high multiplication, then a shift, half away from zero). They
agree where no accumulator ever lands on a half or is rounded in the first of two steps, and that is built in:

* weights are even, so that ``acc`` has the parity of the bias;
* biases are odd, so that ``acc`` is odd and, with ``s >= 2``, never half of a unit;
* ``|acc| < 2^19``, so that a float32 holds it exactly.

``w / 2`` is a 6-bit weight (magnitude at most 31) by default. Writers may scale a layer by two, which changes no
output: TensorFlow Lite gets ``2w`` and ``2b``, whose first rounding is then exact.

The file ``model.json`` holds all of it as text, with a SHA-256 over itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.export.planes import N_PLANES, PlaneRule
from slewguard.export.verdict import VerdictRule
from slewguard.subimages.contract import SIDE
from slewguard.subimages.errors import BadInput

FORMAT = "slewguard-model"
VERSION = 1
OPERATORS = ("conv2d", "depthwise_conv2d")
MAX_WEIGHT = 62
"""Largest magnitude of a weight: 6 bits, doubled to be even."""
MAX_ACCUMULATOR = 2**19
SHIFTS = (2, 20)
MAX_LAYERS = 100
_MAX_FILE = 16_000_000

Shape = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Layer:
    """One convolution with its requantisation.

    Parameters
    ----------
    name : str
        Used in every file and in the C function names: a C identifier.
    op : str
        ``conv2d`` or ``depthwise_conv2d`` (one filter a channel).
    weights : int8 array [out, in, height, width]
        Even; ``in`` is 1 for a depthwise layer.
    bias : int32 array [out]
        Odd, in units of the accumulator.
    shift : uint8 array [out]
        s of the formula.
    stride : int
    pad : tuple of four int
        Zeros added at top, bottom, left and right.
    lo, hi : int
        The clamp: 0 and 255 after a rectifier (uint8), -128 and 127 for the score (int8).
    out_log2 : int
        One unit of the output is 2^-out_log2 of the network's real number; it enters no verdict.
    """

    name: str
    op: str
    weights: NDArray[np.int8]
    bias: NDArray[np.int32]
    shift: NDArray[np.uint8]
    stride: int
    pad: tuple[int, int, int, int]
    lo: int
    hi: int
    out_log2: int

    @property
    def depthwise(self) -> bool:
        """Whether each channel has one filter of its own."""
        return self.op == "depthwise_conv2d"

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the output: uint8 or int8."""
        return np.dtype(np.uint8 if self.lo >= 0 else np.int8)

    def out_shape(self, shape: Shape) -> Shape:
        """Channels, height and width of the output for those of the input.

        Raises
        ------
        BadInput
            If the weights do not fit the input.
        """
        channels, height, width = shape
        out, inner, kernel_h, kernel_w = self.weights.shape
        expected = (channels, 1) if self.depthwise else (out, channels)
        if (out, inner) != expected:
            raise BadInput(f"layer {self.name:.64}: weights {self.weights.shape} do not fit {channels} channels")
        top, bottom, left, right = self.pad
        rows = (height + top + bottom - kernel_h) // self.stride + 1
        columns = (width + left + right - kernel_w) // self.stride + 1
        if rows < 1 or columns < 1:
            raise BadInput(f"layer {self.name:.64}: kernel is larger than its input {shape}")
        return out, rows, columns

    def accumulator_bounds(self, lo: int, hi: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Least and greatest accumulator of each channel for inputs from ``lo`` to ``hi`` (padding is 0).

        Returns
        -------
        two int64 arrays [out]
        """
        lo, hi = min(lo, 0), max(hi, 0)
        weights = self.weights.reshape(len(self.weights), -1).astype(np.int64)
        positive, negative = np.maximum(weights, 0).sum(axis=1), np.minimum(weights, 0).sum(axis=1)
        return positive * lo + negative * hi + self.bias, positive * hi + negative * lo + self.bias

    def check(self, shape: Shape, lo: int, hi: int) -> None:
        """Refuse a layer that breaks the tie-free construction.

        Parameters
        ----------
        shape : (channels, height, width)
            Of the input.
        lo, hi : int
            Range of the input.

        Raises
        ------
        BadInput
        """

        def must(holds: bool, fault: str) -> None:
            if not holds:
                raise BadInput(f"layer {self.name:.64}: {fault}")

        must(self.name.isidentifier() and self.name.isascii(), "name is not an identifier")
        must(len(self.name) <= 64, "name is longer than 64 characters")
        must(self.op in OPERATORS, f"operator {self.op!r} is not one of {', '.join(OPERATORS)}")
        must(self.weights.ndim == 4 and self.weights.size > 0, "weights are not [out, in, height, width]")
        out = len(self.weights)
        must(self.bias.shape == (out,) and self.shift.shape == (out,), "one bias and one shift a channel")
        must(self.stride in (1, 2, 4), f"stride {self.stride} is not 1, 2 or 4")
        must(len(self.pad) == 4 and all(0 <= p < max(self.weights.shape[2:]) for p in self.pad), "bad padding")
        must((self.lo, self.hi) in ((0, 255), (-128, 127)), "clamp is neither 0..255 nor -128..127")
        must(not (self.weights % 2).any(), "a weight is odd")
        must(bool((np.abs(self.weights.astype(int)) <= MAX_WEIGHT).all()), f"a weight exceeds {MAX_WEIGHT}")
        must(bool((self.bias % 2 == 1).all()), "a bias is even")
        must(bool(((self.shift >= SHIFTS[0]) & (self.shift <= SHIFTS[1])).all()), f"shift not in {SHIFTS}")
        must(-64 <= self.out_log2 <= 64, f"out_log2 {self.out_log2} not in -64..64")
        self.out_shape(shape)
        least, greatest = self.accumulator_bounds(lo, hi)
        must(bool((np.maximum(-least, greatest) < MAX_ACCUMULATOR).all()), "an accumulator can reach 2^19")


@dataclass(frozen=True, eq=False)
class IntegerModel:
    """Planes, layers, verdict rule and certificate.

    Parameters
    ----------
    name : str
        What the model is called in files.
    planes : PlaneRule
    layers : tuple of Layer
        The last one has one output, the score.
    verdict : VerdictRule
    certificate : mapping
        What was promised of the thresholds, on which population; empty if nothing was.

    Raises
    ------
    BadInput
        If a layer breaks the tie-free construction or the shapes do not chain.
    """

    name: str
    planes: PlaneRule
    layers: tuple[Layer, ...]
    verdict: VerdictRule
    certificate: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= len(self.layers) <= MAX_LAYERS:
            raise BadInput(f"model has {len(self.layers)} layers, expected 1 to {MAX_LAYERS}")
        if len({layer.name for layer in self.layers}) != len(self.layers):
            raise BadInput("two layers have the same name")
        # -128 is no plane value, but a file may hold it: the bounds hold for every int8.
        shape, lo, hi = self.input_shape, -128, 127
        for layer in self.layers:
            layer.check(shape, lo, hi)
            shape, lo, hi = layer.out_shape(shape), layer.lo, layer.hi
        if shape != (1, 1, 1) or (lo, hi) != (-128, 127):
            raise BadInput(f"last layer gives {shape} in {lo}..{hi}, expected one score in -128..127")
        try:
            certificate = json.loads(json.dumps(dict(self.certificate), allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise BadInput(f"certificate is not JSON: {error}") from error
        object.__setattr__(self, "certificate", certificate)

    @property
    def input_shape(self) -> Shape:
        """Planes, rows, columns."""
        return N_PLANES, SIDE, SIDE

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Output shape of every layer: (channels, rows, columns)."""
        shapes, shape = [], self.input_shape
        for layer in self.layers:
            shape = layer.out_shape(shape)
            shapes.append(shape)
        return tuple(shapes)

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum(layer.weights.size + layer.bias.size for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference, padding counted."""
        return sum(
            layer.weights.size * rows * columns
            for layer, (_, rows, columns) in zip(self.layers, self.shapes, strict=True)
        )

    @property
    def sha256(self) -> str:
        """Hash over everything that the file holds."""
        content = json.dumps(_content(self), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(content.encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IntegerModel) and self.sha256 == other.sha256

    def __hash__(self) -> int:
        return hash(self.sha256)

    def with_verdict(self, verdict: VerdictRule, certificate: Mapping[str, Any]) -> IntegerModel:
        """Return the same network under other thresholds."""
        return replace(self, verdict=verdict, certificate=certificate)

    def header_json(self) -> str:
        """All but the layers, with the hash over all: what a graph cannot hold and its file carries as text."""
        content = {key: value for key, value in _content(self).items() if key != "layers"}
        return json.dumps({**content, "sha256": self.sha256}, sort_keys=True, separators=(",", ":"))

    def to_json(self) -> str:
        """Text of ``model.json``: a line for each output channel, and the hash."""
        return json_text({**_content(self), "sha256": self.sha256}) + "\n"

    def save(self, path: str | Path) -> None:
        """Write ``model.json``, whole or not at all."""
        from slewguard.subimages.atomic import atomic_output

        with atomic_output(path) as beside:
            beside.write_text(self.to_json(), encoding="utf-8", newline="\n")


def load_model(path: str | Path) -> IntegerModel:
    """Read a ``model.json``.

    Raises
    ------
    BadInput
        With the file and the fault, if it is not a model, breaks a rule or does not match its own hash.
    """
    from slewguard.subimages.paths import read_bytes

    try:
        text = read_bytes(path, _MAX_FILE).decode()
    except UnicodeDecodeError as error:
        raise BadInput("not a text file", path) from error
    try:
        return model_from_json(text)
    except BadInput as error:
        raise error.within(path) from error


def model_from_json(text: str) -> IntegerModel:
    """Build a model from the text of ``model.json``; see :func:`load_model`."""
    from slewguard.export.schema import parse_model

    return parse_model(text)


def _content(model: IntegerModel) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": model.name,
        "arithmetic": "tie_free",
        "planes": vars(model.planes),
        "layers": [
            {
                "name": layer.name,
                "op": layer.op,
                "stride": layer.stride,
                "pad": list(layer.pad),
                "clamp": [layer.lo, layer.hi],
                "out_log2": layer.out_log2,
                "shape": list(layer.weights.shape),
                "shift": layer.shift.tolist(),
                "bias": layer.bias.tolist(),
                "weights": layer.weights.reshape(len(layer.weights), -1).tolist(),
            }
            for layer in model.layers
        ],
        "verdict": model.verdict.as_dict(),
        "certificate": dict(model.certificate),
    }


def json_text(value: Any, indent: str = "") -> str:
    """JSON with one line for a flat list, so that a filter is a line and a diff is readable."""
    inner = indent + "  "
    if isinstance(value, Mapping) and value:
        rows = [f"{inner}{json.dumps(key)}: {json_text(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(item, list | Mapping) for item in value):
        return "[\n" + ",\n".join(inner + json_text(item, inner) for item in value) + f"\n{indent}]"
    return json.dumps(value, allow_nan=False)
