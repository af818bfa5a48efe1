"""Plant one error in a model and see which checks find it.

An error is a weight two off, a bias two off, or a shift one off: each leaves a sound tie-free model, so that only a
comparison can find it. A *breaking* error is one off in a weight or a bias, or a shift of 1: it leaves no sound model.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slewguard.cli.engines import open_engines
from slewguard.export.conformance import conformance
from slewguard.export.golden import golden_files, golden_inputs
from slewguard.export.layers import Layer
from slewguard.export.model import IntegerModel, model_from_json
from slewguard.export.onnx_file import write_onnx
from slewguard.export.package import verify_package, write_package
from slewguard.export.powers import layer_scales
from slewguard.export.proof import prove, prove_layer
from slewguard.export.tflite_file import write_tflite
from slewguard.subimages import BadInput

FIELDS = ("weights", "bias", "shift")
LAYER = 2


def changed(layer: Layer, field: str, by: int) -> Layer:
    """The layer with the first number of a field moved, towards 0 where that keeps it in range."""
    array = getattr(layer, field).copy()
    flat = array.reshape(-1)
    flat[0] += by if flat[0] <= 10 else -by
    return replace(layer, **{field: array})


def wrong_model(model: IntegerModel, field: str) -> IntegerModel:
    """The model with one number of one layer wrong, but sound."""
    layers = list(model.layers)
    layers[LAYER] = changed(model.convolutions[LAYER], field, 1 if field == "shift" else 2)
    return replace(model, layers=tuple(layers))


def checks(model: IntegerModel, planes: NDArray[np.int8]) -> Iterator[tuple[str, Callable[[str], bool]]]:
    """Name of each check, and whether it finds the error in a field.

    Parameters
    ----------
    model : IntegerModel
        Of the flight shape, tie-free.
    planes : int8 array [N, 3, 56, 56]
        Inputs on which engines are compared.
    """

    def refused(work: Callable[[], object]) -> bool:
        try:
            work()
        except BadInput:
            return True
        return False

    def hash_of_model(field: str) -> bool:
        content = json.loads(wrong_model(model, field).to_json())
        content["sha256"] = model.sha256
        return refused(lambda: model_from_json(json.dumps(content)))

    def construction(field: str) -> bool:
        layer = model.convolutions[LAYER]
        bad = replace(layer, shift=np.ones_like(layer.shift)) if field == "shift" else changed(layer, field, 1)
        shape, before = model.shapes[LAYER - 1], model.layers[LAYER - 1]
        return refused(lambda: bad.check(shape, before.lo, before.hi))

    def proof_of_layer(field: str) -> bool:
        layer, scales = model.convolutions[LAYER], layer_scales(model)[LAYER]
        bad = replace(layer, shift=np.ones_like(layer.shift)) if field == "shift" else changed(layer, field, 1)
        doubled = replace(scales, weights=scales.weights / 2)
        return not all(row.equal for row in prove_layer(bad, 0, 255, scales, doubled))

    def proof_file(field: str) -> bool:
        return prove(wrong_model(model, field)).to_json() != prove(model).to_json()

    def golden(field: str) -> bool:
        inputs = golden_inputs()
        name = f"layer_{model.layers[LAYER].name}.npy"
        return golden_files(wrong_model(model, field), inputs)[name] != golden_files(model, inputs)[name]

    def verified(name: str, write: Callable[[IntegerModel], bytes]) -> Callable[[str], bool]:
        def found(field: str) -> bool:
            with tempfile.TemporaryDirectory() as folder:
                package = write_package(model, Path(folder) / "flight", run={})
                (package / name).write_bytes(write(wrong_model(model, field)))
                return any(fault.startswith(f"{name}:") for fault in verify_package(package))

        return found

    def engine(name: str) -> Callable[[str], bool]:
        def found(field: str) -> bool:
            (row,) = conformance(model, planes, open_engines(wrong_model(model, field), [name])).rows
            layers = [layer.name for layer in model.layers]
            earlier = sum(row.layers[layer] for layer in layers[:LAYER])
            return row.ran and row.layers[layers[LAYER]] > 0 and earlier == 0

        return found

    yield "SHA-256 of model.json", hash_of_model
    yield "tie-free construction (breaking error)", construction
    yield "proof over all accumulators (breaking error)", proof_of_layer
    yield "proof.json computed again", proof_file
    yield "golden vectors", golden
    yield "verify: model.onnx read back", verified("model.onnx", write_onnx)
    yield "verify: model.tflite read back", verified("model.tflite", write_tflite)
    yield "verify: model.json", verified("model.json", lambda wrong: wrong.to_json().encode())
    for name, backend in open_engines(model):
        if not isinstance(backend, str):
            yield f"conformance: {name}", engine(name)


def found_by(model: IntegerModel, planes: NDArray[np.int8]) -> dict[str, dict[str, bool]]:
    """For each check and each field whether the error is found."""
    return {name: {field: check(field) for field in FIELDS} for name, check in checks(model, planes)}
