import importlib
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from slewguard.export import onnx_file, tflite_file
from slewguard.export.backends import (
    ENGINES,
    EngineUnavailable,
    ModelRefused,
    NumpyBackend,
    Refusal,
    open_backends,
)
from slewguard.export.conformance import SHIPPED, adversarial_alerts, adversarial_planes, conformance
from slewguard.export.execute import run_layers
from slewguard.export.flight import FLIGHT, LayerShape, random_model
from slewguard.export.model import IntegerModel
from slewguard.export.planes import PlaneRule
from slewguard.subimages import BadInput, Verdict

PACKAGES = {"ort": "onnxruntime", "tflite": "tflite_runtime", "litert": "ai_edge_litert"}
WIDE = (
    LayerShape("stem", "conv2d", 3, 12, 5, 4, (0, 1, 0, 1)),
    LayerShape("mix", "conv2d", 12, 7, 1),
    LayerShape("spread", "depthwise_conv2d", 7, 7, 5, 2, (1, 2, 1, 2)),
    LayerShape("pool", "depthwise_conv2d", 7, 7, 7),
    LayerShape("score", "conv2d", 7, 1, 1),
)


def signed_hidden_layer():
    """A model of which one hidden layer has no rectifier."""
    model = random_model(5)
    layers = list(model.layers)
    layers[2] = replace(layers[2], lo=-128, hi=127)
    return replace(model, layers=tuple(layers))


def noise(n=20):
    rng = np.random.default_rng(0)
    planes = np.clip(rng.normal(0, 20, size=(n, 3, 56, 56)), -127, 127).astype(np.int8)
    planes[:, 1:] = np.where(rng.random((n, 2, 56, 56)) < 0.1, 16, 0)
    planes[:, 0, 28, 28] = 100
    return planes


@pytest.mark.parametrize(
    "model",
    [*(random_model(seed) for seed in range(4)), random_model(4, WIDE), signed_hidden_layer()],
    ids=["flight-0", "flight-1", "flight-2", "flight-3", "wide", "signed"],
)
def test_every_engine_gives_the_same_bytes(model):
    report = conformance(model, noise(), open_backends(model))
    assert report.equal
    ran = [row for row in report.rows if row.ran]
    assert [row.engine for row in report.rows] == list(ENGINES)
    # What is installed must run.
    for row in report.rows:
        package = PACKAGES.get(row.engine.split("-")[0])
        assert row.ran == (package is None or find_spec(package) is not None), row.reason
    outputs = run_layers(model, np.zeros((1, 3, 56, 56), dtype=np.int8))
    per_input = sum(output.size for output in outputs) + 1
    for row in ran:
        assert row.bytes_compared == report.n * per_input
        assert row.layers == dict.fromkeys([*(layer.name for layer in model.layers), SHIPPED], 0)
        assert (row.bytes_different, row.verdict_flips) == (0, 0)
        assert row.version[0].isdigit()


def test_random_models_use_the_range_of_every_layer():
    # Else equality would say little.
    for output in run_layers(random_model(0), noise()):
        values = np.unique(output)
        assert len(values) > 15
        assert np.ptp(values.astype(int)) > 60


def planted(model, layer, field):
    layers = list(model.layers)
    array = getattr(layers[layer], field).copy()
    flat = array.reshape(-1)
    flat[0] += (1 if flat[0] < 20 else -1) if field == "shift" else 2 if flat[0] <= 60 else -2
    layers[layer] = replace(layers[layer], **{field: array})
    return replace(model, layers=tuple(layers))


@pytest.mark.parametrize("engine", ["numpy", "ort", "tflite-ref" if find_spec("tflite_runtime") else "litert-ref"])
@pytest.mark.parametrize("field", ["weights", "bias", "shift"])
@pytest.mark.parametrize("layer", [0, 3, 8])
def test_planted_error_is_found(engine, field, layer):
    model = random_model(0)
    wrong = planted(model, layer, field)
    (row,) = conformance(model, noise(), open_backends(wrong, [engine])).rows
    assert row.ran
    assert not row.equal
    assert row.bytes_different > 0
    names = [layer.name for layer in model.layers]
    assert row.layers[names[layer]] > 0
    assert all(row.layers[name] == 0 for name in names[:layer])


def test_engine_that_is_not_here_has_not_run():
    def absent(model: IntegerModel):
        raise EngineUnavailable("no such processor")

    def not_installed(model: IntegerModel):
        raise ModuleNotFoundError("No module named 'ghost'", name="ghost")

    model = random_model(0)
    extra = {"leon3": absent, "ghost": not_installed}
    report = conformance(model, noise(2), open_backends(model, ["numpy", *extra], extra))
    assert [row.ran for row in report.rows] == [True, False, False]
    assert [row.reason for row in report.rows[1:]] == ["no such processor", "ghost is not installed"]
    for row in report.rows[1:]:
        assert not row.equal
        assert not row.refused
        assert row.bytes_compared == 0
    # Only the specification ran: nothing was shown.
    assert not report.equal


@pytest.mark.parametrize("error", [ModelRefused("unknown operator"), BadInput("generated C does not compile")])
def test_engine_that_is_here_and_refuses_the_model_breaks_the_promise(error):
    def refusing(model: IntegerModel):
        raise error

    report = conformance(random_model(0), noise(1), open_backends(random_model(0), ["ort", "c"], {"c": refusing}))
    assert [row.ran for row in report.rows] == [True, False]
    assert report.rows[1].refused
    assert report.rows[0].equal
    assert not report.equal


def test_runtimes_refuse_what_they_cannot_load(monkeypatch):
    monkeypatch.setattr(onnx_file, "write_onnx", lambda model, tap=False: b"no graph")
    monkeypatch.setattr(tflite_file, "write_tflite", lambda model, tap=False: b"no flatbuffer")
    for name, reason in open_backends(random_model(0), ["ort", "litert-ref"]):
        assert isinstance(reason, Refusal), name


def test_packages_that_do_not_build_an_interpreter_are_not_available(monkeypatch):
    module = importlib.import_module("ai_edge_litert.interpreter")

    def broken(*args, **kwargs):
        raise SystemError("initialisation failed: _ARRAY_API not found")

    monkeypatch.setattr(module, "Interpreter", broken)
    assert open_backends(random_model(0), ["litert"]) == [("litert", "initialisation failed: _ARRAY_API not found")]


def test_unknown_engine_is_refused():
    with pytest.raises(BadInput, match="unknown engine 'tensorrt'"):
        open_backends(random_model(0), ["tensorrt"])


class Odd(NumpyBackend):
    """Right layers, wrong score of the shipped file."""

    name = "odd"

    def score(self, planes):
        return np.where(super().score(planes) < -20, 100, -100).astype(np.int8)


class WrongType(NumpyBackend):
    name = "wrong-type"

    def layers(self, planes):
        return [output.astype(np.int16) for output in super().layers(planes)]


class Decides(NumpyBackend):
    """Right scores, and a verdict of its own that is always a veto."""

    name = "decides"

    def verdicts(self, planes):
        return np.full(len(planes), Verdict.VETO, dtype=np.uint8)


def test_each_way_to_be_wrong_is_counted():
    model = random_model(0)
    planes = noise(70)
    extra = {"odd": Odd, "wrong-type": WrongType, "decides": Decides}
    done = []
    report = conformance(model, planes, open_backends(model, list(extra), extra), lambda i, n: done.append((i, n)))
    odd, wrong_type, decides = report.rows
    assert odd.layers[SHIPPED] == odd.bytes_different > 0
    assert 0 < odd.verdict_flips <= 2 * report.n
    assert wrong_type.bytes_different == wrong_type.bytes_compared - report.n
    assert wrong_type.verdict_flips == 0
    assert (decides.bytes_different, decides.equal) == (0, False)
    all_planes = np.concatenate([planes, adversarial_planes(0), adversarial_alerts(model.planes)])
    score = NumpyBackend(model).score(all_planes)
    verdict, _ = model.verdict.verdicts(all_planes, score)
    # The looks of a sequence are judged by the specification's rule on its scores, which are right.
    assert decides.verdict_flips == (verdict != Verdict.VETO).sum()
    assert done == [(64, report.n), (report.n, report.n)]
    rows = report.to_json()
    assert {"engine", "version", "bytes_compared", "bytes_different", "verdict_flips", "ran"} <= set(rows[0])


def test_adversarial_planes_hold_the_extremes():
    planes = adversarial_planes(1, level=20)
    assert planes.dtype == np.int8
    assert planes.shape[1:] == (3, 56, 56)
    assert planes.min() == -128  # no plane value, but an int8
    constants = {(int(p.min()), int(p.max())) for p in planes}
    assert {(0, 0), (127, 127), (-127, -127), (0, 20), (-127, 127)} <= constants
    assert np.array_equal(planes, adversarial_planes(1, level=20))
    assert not np.array_equal(planes, adversarial_planes(2, level=20))


@pytest.mark.parametrize("k", [0, 2, 6])
def test_adversarial_alerts_stand_about_every_step(k):
    planes = adversarial_alerts(PlaneRule(snr_log2=k))
    assert set(planes[0, 0].ravel().tolist()) == set(range(-127, 128))
    # Half up: with a half more, no tie is rounded down.
    assert set(planes[1, 0, 1:, 1:].ravel().tolist()) >= set(range(-127, 128))
    assert {-127, 0, 127} <= set(planes[2, 0].ravel().tolist())
    assert (planes[3, 1] == 0).sum() == 1
    assert planes[3, 0, 28, 28] == min(9 * 2**k, 127)
    assert (planes[4, 2, 24:33, 24:33] == 16).any()
    assert planes.shape == (5, 3, 56, 56)


def test_flight_shape_covers_both_operators():
    assert {shape.op for shape in FLIGHT} == {"conv2d", "depthwise_conv2d"}
