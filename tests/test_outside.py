"""Models with ordinary scales, and the operators that the flight network does not use."""

import json
from dataclasses import replace

import numpy as np
import pytest

from slewguard.export import backends
from slewguard.export.backends import ARITHMETIC_OF, ENGINES, open_backends, saturates_pairs
from slewguard.export.conformance import adversarial_planes, conformance
from slewguard.export.execute import largest, run_layers
from slewguard.export.flight import FLIGHT, HANDMADE, LayerShape, random_model
from slewguard.export.layers import ARITHMETICS, MaxPool
from slewguard.export.model import model_from_json
from slewguard.export.onnx_file import read_onnx, write_onnx
from slewguard.export.outside import with_ordinary_scales
from slewguard.export.package import write_package
from slewguard.export.proof import prove
from slewguard.export.tflite_file import write_tflite
from slewguard.export.tflite_read import read_tflite
from slewguard.subimages import BadInput

SMALL_HANDMADE = (
    LayerShape("conv0", "conv2d", 3, 6, 3, 1, (1, 1, 1, 1)),
    LayerShape("pool1", "max_pool2d", 6, 6, 3, 3),
    LayerShape("conv2", "conv2d", 6, 5, 3, 1, (1, 1, 1, 1)),
    LayerShape("pool3", "max_pool2d", 5, 5, 2, 2),
    LayerShape("dense4", "conv2d", 5, 8, 9),
    LayerShape("score", "conv2d", 8, 1, 1),
)
OUTSIDE = ARITHMETICS[1:]


def noise(n=12):
    rng = np.random.default_rng(0)
    planes = np.clip(rng.normal(0, 20, size=(n, 3, 56, 56)), -127, 127).astype(np.int8)
    planes[:, 1:] = np.where(rng.random((n, 2, 56, 56)) < 0.1, 16, 0)
    return planes


@pytest.mark.parametrize("shapes", [FLIGHT, SMALL_HANDMADE], ids=["flight", "handmade"])
@pytest.mark.parametrize("arithmetic", OUTSIDE)
def test_each_engine_equals_its_arithmetic_at_every_layer(shapes, arithmetic):
    model = with_ordinary_scales(random_model(2, shapes), noise(), arithmetic)
    opened = open_backends(model)
    report = conformance(model, noise(), opened)
    expected = {"numpy", *(name for name, own in ARITHMETIC_OF.items() if own == arithmetic)}
    if saturates_pairs():
        expected -= {"ort"}
    assert {row.engine for row in report.rows if row.ran} == expected
    for row in report.rows:
        assert row.bytes_different == row.verdict_flips == 0
        assert row.ran or "does not compute" in row.reason
    assert report.equal is (len(expected) > 1)


@pytest.mark.parametrize("saturates", [False, True])
def test_onnxruntime_is_asked_only_where_it_has_the_arithmetic(monkeypatch, saturates):
    monkeypatch.setattr(backends, "saturates_pairs", lambda: saturates)
    for arithmetic in ("tie_free", "rne"):
        model = random_model(2)
        if arithmetic == "rne":
            model = with_ordinary_scales(model, noise(), arithmetic)
        ((_, opened),) = open_backends(model, ["ort"])
        left_out = isinstance(opened, str)
        assert left_out is (saturates and arithmetic == "rne")
        assert not left_out or "saturates sums of two products" in opened


def test_engines_of_different_arithmetics_differ():
    # Else the test above would say nothing.
    model = with_ordinary_scales(random_model(2), noise(), "rne")
    planes = np.concatenate([noise(), adversarial_planes(0)])
    outputs = {name: ENGINES[name](model).layers(planes) for name in ("ort", "tflite-ref")}
    assert all((a != b).any() for a, b in zip(*outputs.values(), strict=True))


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("shapes", [FLIGHT, SMALL_HANDMADE], ids=["flight", "handmade"])
def test_every_file_reads_back_as_the_same_model(arithmetic, shapes):
    model = random_model(1, shapes)
    if arithmetic != "tie_free":
        model = with_ordinary_scales(model, noise(), arithmetic)
    assert model_from_json(model.to_json()) == model
    for tap in (False, True):
        assert read_onnx(write_onnx(model, tap=tap)) == model
        assert read_tflite(write_tflite(model, tap=tap)) == model


def test_scales_use_the_range():
    model = with_ordinary_scales(random_model(2), noise(), "double")
    for layer, output in zip(model.layers, run_layers(model, noise()), strict=True):
        assert (np.abs(layer.weights.astype(int)).reshape(len(layer.weights), -1).max(axis=1) == 127).all()
        assert np.abs(output.astype(int)).max() >= layer.hi - 2


def test_maximum_of_blocks_against_loops():
    rng = np.random.default_rng(0)
    x = rng.integers(-128, 128, size=(2, 3, 7, 10)).astype(np.int8)
    found = largest(MaxPool("p", 3, -128, 127, 0), x)
    assert found.shape == (2, 3, 2, 3)
    for n, c, i, j in np.ndindex(*found.shape):
        assert found[n, c, i, j] == x[n, c, 3 * i : 3 * i + 3, 3 * j : 3 * j + 3].max()


def test_handmade_shape_is_proved_and_gives_the_same_bytes_everywhere():
    model = random_model(0, HANDMADE)
    assert model.parameters == 1_624_993 + 32 * 9
    assert prove(model).equal
    report = conformance(model, noise(3), open_backends(model))
    assert report.equal
    assert all(row.ran for row in report.rows)


def test_only_a_tie_free_model_is_proved_and_packed(tmp_path):
    model = with_ordinary_scales(random_model(2), noise(), "rne")
    with pytest.raises(BadInput, match="not tie-free: only the arithmetic 'rne'"):
        write_package(model, tmp_path / "flight", run={})
    assert not (tmp_path / "flight").exists()


def content(arithmetic="rne"):
    model = random_model(1, SMALL_HANDMADE)
    return json.loads((with_ordinary_scales(model, noise(), arithmetic) if arithmetic else model).to_json())


def at(path, value):
    def change(content):
        *way, last = path
        place = content
        for step in way:
            place = place[step]
        if value is None:
            del place[last]
        else:
            place[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (at(["arithmetic"], "half up"), "arithmetic"),
        (at(["arithmetic"], "tie_free"), "shifts, no scales"),
        (at(["layers", 0, "scales", "out"], 0.0), "scales.out"),
        (at(["layers", 0, "scales", "out"], 1e-42), "not a positive normal"),
        (at(["layers", 0, "scales", "out"], 1e-9), "not in 2\\^-30..1"),
        (at(["layers", 0, "scales", "weights"], [1.0]), "one weight scale a channel"),
        (at(["layers", 0, "scales"], None), "either shifts or scales"),
        (at(["layers", 0, "shift"], [2] * 6), "either shifts or scales"),
        (at(["layers", 0, "out_log2"], 1), "shifts beside scales"),
        (at(["layers", 0, "weights", 0, 0], -128), "a weight is -128"),
        (at(["layers", 4, "bias", 0], 2**31 - 1), "leave int32"),
        (at(["layers", 1, "size"], 5), "not 2, 3 or 4"),
        (at(["layers", 1, "size"], 1), "not 2, 3 or 4"),
        (at(["layers", 1, "clamp"], [-128, 127]), "range and the scale"),
        (at(["layers", 1, "out_log2"], 3), "range and the scale"),
        (at(["layers", 1, "name"], "a b"), "identifier"),
        (at(["layers", 1, "op"], "mean"), "op"),
        (at(["layers", 0], None), "range and the scale"),
        (at(["layers", 5], None), "expected one score"),
    ],
)
def test_odd_models_are_refused(change, fault):
    changed = content()
    change(changed)
    with pytest.raises(BadInput, match=fault):
        model_from_json(json.dumps(changed))


def test_a_block_at_the_end_is_refused():
    layers = random_model(1, SMALL_HANDMADE).layers
    pools = (*layers, MaxPool("p", 2, -128, 127, layers[-1].out_log2))
    with pytest.raises(BadInput, match="larger than its input"):
        replace(random_model(1), layers=pools)


def test_a_maximum_as_the_last_layer_is_refused():
    model = random_model(1, SMALL_HANDMADE)
    last = replace(model.layers[-2], weights=model.layers[-2].weights[:1, :, :8, :8], lo=-128, hi=127)
    last = replace(last, weights=last.weights * 0, bias=last.bias[:1], shift=last.shift[:1])
    with pytest.raises(BadInput, match="expected one score"):
        replace(model, layers=(*model.layers[:-2], last, MaxPool("p", 2, -128, 127, last.out_log2)))
