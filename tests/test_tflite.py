from dataclasses import replace

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from slewguard.export.flight import LayerShape, random_model
from slewguard.export.planes import PlaneRule
from slewguard.export.tflite_file import write_tflite
from slewguard.export.tflite_read import read_tflite
from slewguard.export.verdict import VerdictRule
from slewguard.subimages import BadInput

NARROW = (
    LayerShape("planes", "conv2d", 3, 1, 4, 4),
    LayerShape("score", "depthwise_conv2d", 1, 1, 3, 2, (0, 1, 0, 1)),
    LayerShape("out", "conv2d", 1, 1, 7),
)


def some_model(seed=0):
    model = replace(random_model(seed), planes=PlaneRule(3, 20, 3))
    return model.with_verdict(VerdictRule(-3, 5, min_valid=9), {"n": 299, "text": "größer", "level": 0.01})


@pytest.mark.parametrize("tap", [False, True])
@pytest.mark.parametrize("model", [some_model(), random_model(1), random_model(0, NARROW)], ids=lambda m: m.name)
def test_read_back_is_equal(model, tap):
    data = write_tflite(model, tap=tap)
    assert read_tflite(data) == model
    assert write_tflite(read_tflite(data), tap=tap) == data


def test_the_schema_of_the_runtime_reads_what_was_meant():
    model = some_model()
    parsed = schema.ModelT.InitFromPackedBuf(write_tflite(model, tap=True), 0)
    assert (parsed.version, len(parsed.subgraphs)) == (3, 1)
    graph = parsed.subgraphs[0]
    names = [t.name.decode() for t in graph.tensors]
    assert names[0] == "planes"
    assert [names[i] for i in graph.outputs] == [f"{layer.name}.out" for layer in model.layers[:-1]] + ["score"]
    in_scale = 2.0**-model.planes.snr_log2
    for layer, operator in zip(model.layers, graph.operators, strict=True):
        code = parsed.operatorCodes[operator.opcodeIndex]
        assert code.builtinCode == code.deprecatedBuiltinCode == (4 if layer.depthwise else 3)
        assert code.version == 3
        options = operator.builtinOptions
        assert type(options).__name__ == ("DepthwiseConv2DOptionsT" if layer.depthwise else "Conv2DOptionsT")
        assert (options.strideW, options.strideH) == (layer.stride, layer.stride)
        assert (options.dilationWFactor, options.dilationHFactor) == (1, 1)
        assert options.fusedActivationFunction == (1 if layer.lo == 0 else 0)
        _, w, b = (graph.tensors[i] for i in operator.inputs)
        out = graph.tensors[operator.outputs[0]]
        weights = np.asarray(parsed.buffers[w.buffer].data, dtype=np.uint8).view(np.int8).reshape(w.shape)
        axes = (3, 0, 1, 2) if layer.depthwise else (0, 3, 1, 2)
        assert np.array_equal(weights.transpose(axes), 2 * layer.weights)
        assert not (weights % 4).any()
        bias = np.asarray(parsed.buffers[b.buffer].data, dtype=np.uint8).view(np.int32)
        assert np.array_equal(bias, 2 * layer.bias)
        assert w.quantization.quantizedDimension == (3 if layer.depthwise else 0)
        multiplier = in_scale * np.asarray(w.quantization.scale, dtype=float) / out.quantization.scale[0]
        assert np.array_equal(multiplier, 2.0 ** -(layer.shift.astype(int) + 1))
        assert np.array_equal(b.quantization.scale, in_scale * np.asarray(w.quantization.scale))
        assert list(out.quantization.zeroPoint) == [-128 if layer.lo == 0 else 0]
        in_scale = float(out.quantization.scale[0])
    assert [m.name for m in parsed.metadata] == [b"slewguard"]


def test_weights_are_aligned():
    data = write_tflite(some_model())
    for layer in some_model().layers:
        axes = (1, 2, 3, 0) if layer.depthwise else (0, 2, 3, 1)
        for constant in ((2 * layer.weights).transpose(axes), 2 * layer.bias):
            if constant.size >= 8:
                stored = np.ascontiguousarray(constant).tobytes()
                assert data.count(stored) == 1
                assert data.index(stored) % 16 == 0


def test_interpreter_names_the_tensors():
    interpreter = Interpreter(model_content=write_tflite(some_model()))
    source, score = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    assert (source["name"], source["shape"].tolist(), source["dtype"]) == ("planes", [1, 56, 56, 3], np.int8)
    assert (score["name"], score["shape"].tolist(), score["dtype"]) == ("score", [1, 1, 1, 1], np.int8)


@pytest.mark.parametrize("pad", [(1, 0, 1, 0), (1, 1, 1, 1), (1, 0, 0, 1)])
def test_padding_that_the_format_cannot_say_is_refused(pad):
    model = random_model(0, (NARROW[0], replace(NARROW[1], pad=pad), NARROW[2]))
    with pytest.raises(BadInput, match="layer score: TensorFlow Lite cannot pad"):
        write_tflite(model)


def edited(edit):
    parsed = schema.ModelT.InitFromPackedBuf(write_tflite(some_model()), 0)
    edit(parsed)
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(parsed.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def tensor(parsed, name):
    return next(t for t in parsed.subgraphs[0].tensors if t.name == name.encode())


def weight(parsed, name, value):
    found = parsed.buffers[tensor(parsed, name).buffer]
    data = np.array(found.data, dtype=np.uint8)
    data[0] = (int(data[0]) + value) % 256
    found.data = data


def header(parsed, old, new):
    found = parsed.buffers[parsed.metadata[0].buffer]
    text = bytes(bytearray(found.data))
    assert old in text
    found.data = np.frombuffer(text.replace(old, new), dtype=np.uint8)


def operator(parsed, i=0):
    return parsed.subgraphs[0].operators[i]


def scale(parsed, name, factor):
    found = tensor(parsed, name).quantization
    found.scale = np.asarray(found.scale, dtype=np.float32) * np.float32(factor)


def test_a_file_packed_by_somebody_else_is_read():
    assert read_tflite(edited(lambda p: None)) == some_model()


@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        (lambda p: weight(p, "pw4.weight", 4), "SHA-256|doubled"),
        (lambda p: weight(p, "pw4.weight", 2), "not doubled"),
        (lambda p: weight(p, "pw4.bias", 4), "SHA-256"),
        (lambda p: weight(p, "pw4.bias", 1), "not doubled"),
        (lambda p: scale(p, "pw4.weight", 2), "bias scale"),
        (lambda p: scale(p, "pw4.weight", 1.1), "power of two"),
        (lambda p: (scale(p, "pw4.weight", 2), scale(p, "pw4.bias", 2)), "SHA-256"),
        (lambda p: (scale(p, "planes", 2), scale(p, "conv0.weight", 0.5)), "input scale"),
        (lambda p: setattr(tensor(p, "pw4.weight").quantization, "quantizedDimension", 1), "not quantised"),
        (lambda p: setattr(tensor(p, "pw4.out").quantization, "zeroPoint", [-127]), "zero point"),
        (lambda p: setattr(tensor(p, "pw4.out").quantization, "zeroPoint", [0]), "activation"),
        (lambda p: setattr(tensor(p, "planes").quantization, "zeroPoint", [1]), "not the planes"),
        (lambda p: setattr(tensor(p, "pw4.out"), "shape", [1, 14, 14, 23]), "shape"),
        (lambda p: setattr(tensor(p, "pw4.out"), "type", 3), "int8"),
        (lambda p: setattr(tensor(p, "pw4.out"), "isVariable", True), "does not write"),
        (lambda p: setattr(tensor(p, "pw4.weight"), "name", "pw4.w"), "name"),
        (lambda p: header(p, b'"t_veto":-3', b'"t_veto":-2'), "SHA-256"),
        (lambda p: header(p, b'"snr_log2":3', b'"snr_log2":2'), "SHA-256"),
        (lambda p: header(p, b'"n":299', b'"n":\xff99'), "UTF-8"),
        (lambda p: setattr(p.metadata[0], "name", b"other"), "metadata"),
        (lambda p: setattr(p.metadata[0], "buffer", 9999), "metadata"),
        (lambda p: setattr(p, "version", 4), "version"),
        (lambda p: setattr(p.operatorCodes[0], "version", 4), "unknown operator"),
        (lambda p: setattr(p.operatorCodes[0], "builtinCode", 9), "unknown operator"),
        (lambda p: setattr(operator(p).builtinOptions, "strideW", 1), "stride"),
        (lambda p: setattr(operator(p).builtinOptions, "dilationWFactor", 2), "dilation"),
        (lambda p: setattr(operator(p).builtinOptions, "padding", 1), "shape"),
        (lambda p: setattr(operator(p, 1).builtinOptions, "depthMultiplier", 2), "multiplier"),
        (lambda p: setattr(operator(p).builtinOptions, "fusedActivationFunction", 0), "activation"),
        (lambda p: setattr(operator(p, 3), "inputs", operator(p, 2).inputs), "chain"),
        (lambda p: setattr(operator(p), "inputs", [0, 1]), "chain"),
        (lambda p: setattr(operator(p), "inputs", [0, 9999, 2]), "not there"),
        (lambda p: setattr(operator(p), "opcodeIndex", 1), "options"),
        (lambda p: setattr(operator(p), "opcodeIndex", 7), "without a code"),
        (lambda p: p.subgraphs[0].operators.pop(), "outputs"),
        (lambda p: setattr(p.subgraphs[0], "outputs", [0]), "outputs"),
        (lambda p: p.subgraphs.append(p.subgraphs[0]), "one subgraph"),
    ],
)
def test_edited_file_is_refused(edit, fault):
    with pytest.raises(BadInput, match=fault):
        read_tflite(edited(edit))


@pytest.mark.parametrize(
    "data", [b"", b"TFL3", bytes(100), b"\0\0\0\0TFL3", b"\xff" * 4 + b"TFL3" + bytes(50), bytes(4_000_001)], ids=len
)
def test_other_bytes_are_refused(data):
    with pytest.raises(BadInput):
        read_tflite(data)
