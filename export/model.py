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
* ``|acc| < 2^24`` (2^19 where the output is signed), so that a float32 holds it exactly.

``w / 2`` is a 6-bit weight (magnitude at most 31) by default. Writers may scale a layer by two, which changes no
output: TensorFlow Lite gets ``2w`` and ``2b``, whose first rounding is then exact.

**Models from outside** have scales that are no powers of two, and so the name of the one arithmetic under which they
mean something: ``rne``, ``single`` or ``double`` (:mod:`slewguard.export.rounding`). They are compared, never flown.

The file ``model.json`` holds all of it as text, with a SHA-256 over itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from slewguard.export.layers import ARITHMETICS, TIE_FREE, Layer, MaxPool, Shape
from slewguard.export.planes import N_PLANES, PlaneRule
from slewguard.export.verdict import VerdictRule
from slewguard.subimages.contract import SIDE
from slewguard.subimages.errors import BadInput

FORMAT = "slewguard-model"
VERSION = 1
MAX_LAYERS = 100
_MAX_FILE = 16_000_000


@dataclass(frozen=True, eq=False)
class IntegerModel:
    """Planes, layers, verdict rule and certificate.

    Parameters
    ----------
    name : str
        What the model is called in files.
    planes : PlaneRule
    layers : tuple of Layer or MaxPool
        The last one has one output, the score.
    verdict : VerdictRule
    certificate : mapping
        What was promised of the thresholds, on which population; empty if nothing was.
    arithmetic : str
        One of :data:`slewguard.export.layers.ARITHMETICS`.

    Raises
    ------
    BadInput
        If a layer breaks the tie-free construction or the shapes do not chain.
    """

    name: str
    planes: PlaneRule
    layers: tuple[Layer | MaxPool, ...]
    verdict: VerdictRule
    certificate: Mapping[str, Any] = field(default_factory=dict)
    arithmetic: str = TIE_FREE

    def __post_init__(self) -> None:
        if not 1 <= len(self.layers) <= MAX_LAYERS:
            raise BadInput(f"model has {len(self.layers)} layers, expected 1 to {MAX_LAYERS}")
        if len({layer.name for layer in self.layers}) != len(self.layers):
            raise BadInput("two layers have the same name")
        if self.arithmetic not in ARITHMETICS:
            raise BadInput(f"arithmetic {self.arithmetic!r:.80} is not one of {', '.join(ARITHMETICS)}")
        # -128 is no plane value, but a file may hold it: the bounds hold for every int8.
        shape, lo, hi = self.input_shape, -128, 127
        in_scale = self.planes.scale
        before: Layer | MaxPool | None = None
        for layer in self.layers:
            if isinstance(layer, MaxPool):
                layer.check(shape, before)
            elif self.arithmetic == TIE_FREE:
                layer.check(shape, lo, hi)
            else:
                layer.check_real(shape, in_scale)
                in_scale = layer.real.out if layer.real else in_scale
            shape, lo, hi, before = layer.out_shape(shape), layer.lo, layer.hi, layer
        if shape != (1, 1, 1) or (lo, hi) != (-128, 127) or isinstance(before, MaxPool):
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
    def convolutions(self) -> tuple[Layer, ...]:
        """The layers that have weights."""
        return tuple(layer for layer in self.layers if isinstance(layer, Layer))

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum(layer.weights.size + layer.bias.size for layer in self.convolutions)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference, padding counted."""
        return sum(
            layer.weights.size * rows * columns
            for layer, (_, rows, columns) in zip(self.layers, self.shapes, strict=True)
            if isinstance(layer, Layer)
        )

    @property
    def sha256(self) -> str:
        """Hash over everything that the file holds."""
        content = json.dumps(_content(self), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def origin(self) -> str:
        """One line that says where a file comes from, for whoever opens it in a viewer such as Netron."""
        what = "ordinary scales" if self.arithmetic != TIE_FREE else "power-of-two scales"
        return f"slewguard {self.name}: integer network, {what}, {self.arithmetic}; model.json SHA-256 {self.sha256}"

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
        "arithmetic": model.arithmetic,
        "planes": vars(model.planes),
        "layers": [_layer_content(layer) for layer in model.layers],
        "verdict": model.verdict.as_dict(),
        "certificate": dict(model.certificate),
    }


def _layer_content(layer: Layer | MaxPool) -> dict[str, Any]:
    content: dict[str, Any] = {"name": layer.name, "op": layer.op}
    rest = {"clamp": [layer.lo, layer.hi], "out_log2": layer.out_log2}
    if isinstance(layer, MaxPool):
        return {**content, "size": layer.size, **rest}
    content |= {"stride": layer.stride, "pad": list(layer.pad), **rest, "shape": list(layer.weights.shape)}
    if layer.real is None:
        content["shift"] = layer.shift.tolist()
    else:
        # A float32 is a float64, whose shortest decimal form reads back as the same number.
        content["scales"] = {"weights": layer.real.weights.tolist(), "out": float(layer.real.out)}
    return {
        **content,
        "bias": layer.bias.tolist(),
        "weights": layer.weights.reshape(len(layer.weights), -1).tolist(),
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
