from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest

from slewguard.export.execute import run, run_layers
from slewguard.export.flight import LayerShape, random_model
from slewguard.export.layers import MAX_WEIGHT
from slewguard.export.onnx_file import METADATA_KEY, read_onnx, write_onnx
from slewguard.export.planes import PlaneRule
from slewguard.export.verdict import VerdictRule
from slewguard.subimages import BadInput

# One channel, where a group of one is both operators; names that the graph uses itself; a pad that is not SAME.
NARROW = (
    LayerShape("planes", "conv2d", 3, 1, 4, 4, (0, 0, 0, 0)),
    LayerShape("score", "depthwise_conv2d", 1, 1, 3, 2, (1, 0, 0, 1)),
    LayerShape("out", "conv2d", 1, 1, 7),
)


def some_model(seed=0):
    model = replace(random_model(seed), planes=PlaneRule(3, 20, 3))
    return model.with_verdict(VerdictRule(-3, 5, min_valid=9), {"n": 299, "text": "größer", "level": 0.01})


def session(data, **entries):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    for key, value in entries.items():
        setattr(options, key, value)
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("tap", [False, True])
@pytest.mark.parametrize("model", [some_model(), random_model(1), random_model(0, NARROW)], ids=lambda m: m.name)
def test_read_back_is_equal(model, tap):
    data = write_onnx(model, tap=tap)
    assert read_onnx(data) == model
    assert write_onnx(read_onnx(data), tap=tap) == data


def test_file_passes_the_checker_and_names_its_parts():
    model = some_model()
    proto = onnx.load_from_string(write_onnx(model))
    onnx.checker.check_model(proto, full_check=True)
    assert (proto.ir_version, proto.opset_import[0].version, proto.producer_name) == (7, 13, "slewguard")
    assert [i.name for i in proto.graph.input] == ["planes"]
    assert [o.name for o in proto.graph.output] == ["score"]
    assert [n.name for n in proto.graph.node if n.op_type == "Conv"] == [layer.name for layer in model.layers]
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    assert model.sha256 in proto.doc_string
    assert proto.metadata_props[0].value == model.sha256
    assert model.sha256 in proto.metadata_props[1].value


@pytest.mark.parametrize("tap", [False, True])
def test_onnxruntime_fuses_every_convolution(tmp_path, tap):
    model = random_model(0)
    place = str(tmp_path / "optimised.onnx")
    session(write_onnx(model, tap=tap), optimized_model_filepath=place)
    operators = [node.op_type for node in onnx.load(place).graph.node]
    assert operators.count("QLinearConv") == len(model.layers)
    assert "Conv" not in operators
    assert "FusedConv" not in operators


@pytest.mark.parametrize("level", ["ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL"])
def test_bytes_do_not_depend_on_the_optimiser_or_the_batch(level):
    model = random_model(2)
    planes = np.random.default_rng(0).integers(-127, 128, size=(5, 3, 56, 56)).astype(np.int8)
    level = getattr(onnxruntime.GraphOptimizationLevel, level)
    tapped = session(write_onnx(model, tap=True), graph_optimization_level=level)
    for found, expected in zip(tapped.run(None, {"planes": planes}), run_layers(model, planes), strict=True):
        assert found.dtype == expected.dtype
        assert np.array_equal(found, expected)
    shipped = session(write_onnx(model), graph_optimization_level=level)
    for n in (1, 5):
        score = shipped.run(["score"], {"planes": planes[:n]})[0]
        assert np.array_equal(score[:, 0, 0, 0], run(model, planes[:n]))


def test_narrow_model_gives_the_same_bytes():
    model = random_model(0, NARROW)
    planes = np.random.default_rng(0).integers(-127, 128, size=(5, 3, 56, 56)).astype(np.int8)
    found = session(write_onnx(model, tap=True)).run(None, {"planes": planes})
    assert all(np.array_equal(a, b) for a, b in zip(found, run_layers(model, planes), strict=True))


def test_pair_of_products_fits_sixteen_bits():
    # vpmaddubsw adds two products of an unsigned and a signed byte with saturation.
    assert 2 * 255 * MAX_WEIGHT < 2**15


def changed(edit):
    proto = onnx.load_from_string(write_onnx(some_model()))
    edit(proto)
    return proto.SerializeToString()


def tensor(proto, name):
    return next(t for t in proto.graph.initializer if t.name == name)


def set_array(proto, name, edit):
    found = tensor(proto, name)
    array = onnx.numpy_helper.to_array(found).copy()
    edit(array)
    found.CopyFrom(onnx.numpy_helper.from_array(array, name))


def add(array):
    array.reshape(-1)[0] += 2 if array.reshape(-1)[0] < 60 else -2


def double(array):
    array *= 2


def tenth(array):
    array *= np.float32(1.1)


def conv(proto):
    return next(n for n in proto.graph.node if n.op_type == "Conv")


def header(proto, old, new):
    entry = next(e for e in proto.metadata_props if e.key == METADATA_KEY)
    assert old in entry.value
    entry.value = entry.value.replace(old, new)


@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        (lambda p: set_array(p, "pw4.weight", add), "SHA-256"),
        (lambda p: set_array(p, "pw4.bias", add), "SHA-256"),
        (lambda p: set_array(p, "pw4.weight_scale", double), "SHA-256"),
        (lambda p: set_array(p, "pw4.weight_scale", tenth), "power of two"),
        (lambda p: set_array(p, "pw4.bias_scale", double), "not the one"),
        (lambda p: set_array(p, "pw4.weight_zero_point", add), "not the one"),
        (lambda p: set_array(p, "planes.unsigned_zero_point", add), "has not|not the one"),
        (lambda p: set_array(p, "score.zero_point", lambda a: a.fill(1)), "not the one"),
        (lambda p: header(p, '"t_veto":-3', '"t_veto":-2'), "SHA-256"),
        (lambda p: header(p, '"n":299', '"n":300'), "SHA-256"),
        (lambda p: p.metadata_props.pop(), "no slewguard metadata"),
        (lambda p: p.graph.node.pop(), "not the one"),
        (lambda p: p.graph.initializer.remove(tensor(p, "dw5.bias")), "no tensor dw5.bias"),
        (lambda p: tensor(p, "dw5.bias").ClearField("raw_data"), "dw5.bias has not"),
        (lambda p: setattr(conv(p).attribute[0], "name", "dilations"), "not the one"),
        (lambda p: conv(p).input.reverse(), "not the one"),
        (lambda p: setattr(p.graph.output[0], "name", "else"), "not the one"),
        (lambda p: setattr(p.opset_import[0], "version", 14), "operator set"),
        (lambda p: p.functions.add(), "operator set"),
    ],
)
def test_edited_file_is_refused(edit, fault):
    with pytest.raises(BadInput, match=fault):
        read_onnx(changed(edit))


def test_unknown_other_metadata_is_no_fault():
    assert read_onnx(changed(lambda p: p.metadata_props.add(key="source", value="someone"))) == some_model()


def test_external_data_is_not_followed(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(8 * 27))

    def outside(proto):
        found = tensor(proto, "conv0.weight")
        found.ClearField("raw_data")
        found.data_location = onnx.TensorProto.EXTERNAL
        found.external_data.add(key="location", value=str(secret))

    with pytest.raises(BadInput, match=r"conv0\.weight"):
        read_onnx(changed(outside))


@pytest.mark.parametrize("data", [b"", b"\x08", b"model", bytes(100), b"\xff" * 1000, bytes(4_000_001)], ids=len)
def test_other_bytes_are_refused(data):
    with pytest.raises(BadInput):
        read_onnx(data)
