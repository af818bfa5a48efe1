"""ONNX: the integer model as a graph of QuantizeLinear, DequantizeLinear and Conv, and back.

This form (QDQ, operator set 13) says in standard operators what is computed: each Conv stands between the
dequantised input, weights and bias and the quantisation of its output. onnxruntime fuses every such group into
one integer QLinearConv, which multiplies the int32 accumulator by ``scale_x * scale_w / scale_y = 2^-shift``
and rounds half to even; the accumulators are odd, so there is no half. On x86 it fuses only groups of uint8, so
the planes (int8, zero point 0) are first requantised to uint8 with zero point 128, and the score back at the end:
the same numbers, 128 apart. The rectifier is the saturation of a uint8 output at its zero point 0.

Weights are written as they stand in the model, not doubled: with even weights of magnitude at most 62 a pair
of products is at most 2 * 255 * 62 = 31,620 < 2^15, so that the ``vpmaddubsw`` kernels that onnxruntime uses on
AVX2 machines without VNNI, which saturate a pair sum at 16 bits, compute the exact sum.

A maximum of blocks works on the quantised bytes as they are. Models that are not tie-free are written in the same form,
with their own scales.

What a graph cannot hold (planes, verdict rule, certificate, hash) is carried as JSON in the metadata under the
key ``slewguard``; the layers are read from the graph alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slewguard.export.layers import TIE_FREE, Layer, MaxPool, RealScales
from slewguard.export.model import MAX_LAYERS, IntegerModel
from slewguard.export.planes import N_PLANES
from slewguard.export.powers import MAX_FILE, MAX_WEIGHTS, Scales, exponents, layer_scales, shifts
from slewguard.subimages.contract import SIDE
from slewguard.subimages.errors import BadInput

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

METADATA_KEY = "slewguard"
PRODUCER = "slewguard"
IR_VERSION = 7
OPSET = 13
INPUT, OUTPUT = "planes", "score"


def write_onnx(model: IntegerModel, *, tap: bool = False) -> bytes:
    """Print a model as an ONNX file.

    Parameters
    ----------
    model : IntegerModel
    tap : bool
        Make the output of every layer an output of the graph, in order; the shipped file has the score alone.

    Returns
    -------
    bytes
        Input ``planes`` int8 [N, 3, 56, 56]; output ``score`` int8 [N, 1, 1, 1]. The same for the same model.

    Raises
    ------
    BadInput
        If a scale is beyond float32.
    """
    import onnx

    proto = onnx.ModelProto(
        ir_version=IR_VERSION,
        producer_name=PRODUCER,
        doc_string=model.origin,
        graph=_graph(model, tap),
        opset_import=[onnx.OperatorSetIdProto(domain="", version=OPSET)],
        metadata_props=[
            onnx.StringStringEntryProto(key="sha256", value=model.sha256),
            onnx.StringStringEntryProto(key=METADATA_KEY, value=model.header_json()),
        ],
    )
    return proto.SerializeToString(deterministic=True)


def read_onnx(data: bytes) -> IntegerModel:
    """Read back the model of an ONNX file that :func:`write_onnx` wrote, tapped or not.

    Raises
    ------
    BadInput
        If it is anything else, or its layers do not have the hash that the file states.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    if len(data) > MAX_FILE:
        raise BadInput(f"larger than {MAX_FILE} bytes, not a slewguard ONNX file")
    try:
        proto = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise BadInput("not an ONNX file, or a damaged one") from error
    try:
        return _read(proto)
    except UnicodeDecodeError as error:
        raise BadInput("a name in the ONNX file is not UTF-8") from error


def canonical(layer: Layer | MaxPool, output: NDArray[Any]) -> NDArray[np.integer]:
    """Output of a layer in a graph as the model has it: without a rectifier, uint8 with zero point 128 is int8."""
    if output.dtype == np.uint8 and layer.lo != 0:
        return (output.astype(np.int16) - 128).astype(np.int8)
    return output


def read_scales(data: bytes) -> list[Scales]:
    """Scales of every convolution of an ONNX file that :func:`write_onnx` wrote, as they stand there.

    Raises
    ------
    BadInput
        If it is no such file.
    """
    import onnx

    graph = onnx.ModelProto.FromString(data).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    x = np.float32(_array(constants, f"{INPUT}.scale", np.float32, 0))
    layers = []
    for name in (node.name for node in graph.node if node.op_type == "Conv"):
        y = np.float32(_array(constants, f"{name}.out_scale", np.float32, 0))
        layers.append(Scales(x, _array(constants, f"{name}.weight_scale", np.float32, 1), y))
        x = y
    return layers


def _graph(model: IntegerModel, tap: bool) -> GraphProto:
    import onnx

    nodes: list[NodeProto] = []
    constants: list[TensorProto] = []
    outputs = []

    def constant(name: str, values: NDArray[Any]) -> str:
        constants.append(
            onnx.TensorProto(
                name=name,
                data_type=onnx.helper.np_dtype_to_tensor_dtype(values.dtype),
                dims=values.shape,
                raw_data=values.astype(values.dtype.newbyteorder("<")).tobytes(),
            )
        )
        return name

    def node(op: str, name: str, inputs: list[str], output: str, **attributes: int | list[int]) -> str:
        protos = [_attribute(key, value) for key, value in attributes.items()]
        nodes.append(onnx.NodeProto(op_type=op, name=name, input=inputs, output=[output], attribute=protos))
        return output

    def requantise(x: str, name: str, old: list[str], new: list[str], output: str) -> str:
        real = node("DequantizeLinear", f"{name}.to_real", [x, *old], f"{name}.as_real")
        return node("QuantizeLinear", f"{name}.to_integer", [real, *new], output)

    scale = constant(f"{INPUT}.scale", np.array(model.planes.scale))
    signed = constant(f"{INPUT}.zero_point", np.array(0, dtype=np.int8))
    step = [scale, constant(f"{INPUT}.unsigned_zero_point", np.array(128, dtype=np.uint8))]
    x = requantise(INPUT, INPUT, [scale, signed], step, f"{INPUT}.unsigned")
    every_scale = iter(layer_scales(model))
    for layer, shape in zip(model.layers, model.shapes, strict=True):
        name = layer.name
        if isinstance(layer, MaxPool):
            size = [layer.size, layer.size]
            x = node("MaxPool", name, [x], f"{name}.out", kernel_shape=size, strides=size)
        else:
            scales, out = next(every_scale), len(layer.weights)
            real = node("DequantizeLinear", f"{name}.dequantise_input", [x, *step], f"{name}.in")
            rest: dict[str, NDArray[Any]] = {"scale": scales.weights, "zero_point": np.zeros(out, dtype=np.int8)}
            weights = _constant_group(constant, f"{name}.weight", layer.weights, rest)
            rest = {"scale": scales.weights * scales.x, "zero_point": np.zeros(out, dtype=np.int32)}
            bias = _constant_group(constant, f"{name}.bias", layer.bias, rest)
            weights_real = node("DequantizeLinear", f"{name}.dequantise_weight", weights, f"{name}.weight_real", axis=0)
            bias_real = node("DequantizeLinear", f"{name}.dequantise_bias", bias, f"{name}.bias_real", axis=0)
            top, bottom, left, right = layer.pad
            group = {"group": out} if layer.depthwise else {}
            conv = node(
                "Conv",
                name,
                [real, weights_real, bias_real],
                f"{name}.real",
                kernel_shape=list(layer.weights.shape[2:]),
                strides=[layer.stride, layer.stride],
                pads=[top, left, bottom, right],
                **group,
            )
            step = [
                constant(f"{name}.out_scale", np.array(scales.y)),
                constant(f"{name}.out_zero_point", np.array(0 if layer.lo == 0 else 128, dtype=np.uint8)),
            ]
            x = node("QuantizeLinear", f"{name}.quantise", [conv, *step], f"{name}.out")
        if tap and layer is not model.layers[-1]:
            outputs.append(_value(x, np.uint8, shape))
    signed = constant(f"{OUTPUT}.zero_point", np.array(0, dtype=np.int8))
    requantise(x, OUTPUT, step, [step[0], signed], OUTPUT)
    outputs.append(_value(OUTPUT, np.int8, model.shapes[-1]))
    planes = _value(INPUT, np.int8, (N_PLANES, SIDE, SIDE))
    return onnx.GraphProto(name=PRODUCER, node=nodes, initializer=constants, input=[planes], output=outputs)


def _constant_group(constant: Any, name: str, values: NDArray[Any], rest: dict[str, NDArray[Any]]) -> list[str]:
    return [constant(name, values), *(constant(f"{name}_{key}", array) for key, array in rest.items())]


def _attribute(name: str, value: int | list[int]) -> Any:
    from onnx import AttributeProto

    if isinstance(value, int):
        return AttributeProto(name=name, type=AttributeProto.INT, i=value)
    return AttributeProto(name=name, type=AttributeProto.INTS, ints=value)


def _value(name: str, dtype: Any, shape: tuple[int, int, int]) -> Any:
    import onnx

    dims = [onnx.TensorShapeProto.Dimension(dim_param="N")]
    dims += [onnx.TensorShapeProto.Dimension(dim_value=size) for size in shape]
    tensor = onnx.TypeProto.Tensor(elem_type=_code(dtype), shape=onnx.TensorShapeProto(dim=dims))
    return onnx.ValueInfoProto(name=name, type=onnx.TypeProto(tensor_type=tensor))


def _read(proto: ModelProto) -> IntegerModel:
    """Take the layers from the graph; then the graph must be the very one that they print."""
    from slewguard.export.schema import parse_header

    headers = [entry.value for entry in proto.metadata_props if entry.key == METADATA_KEY]
    if len(headers) != 1:
        raise BadInput("ONNX file carries no slewguard metadata")
    versions = [(entry.domain, entry.version) for entry in proto.opset_import]
    if versions != [("", OPSET)] or len(proto.functions):
        raise BadInput(f"ONNX file does not use operator set {OPSET} alone")
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    if sum(len(tensor.raw_data) for tensor in constants.values()) > MAX_WEIGHTS:
        raise BadInput(f"ONNX file holds more than {MAX_WEIGHTS} bytes of weights")
    nodes = [node for node in proto.graph.node if node.op_type in ("Conv", "MaxPool")]
    if len(nodes) > MAX_LAYERS:
        raise BadInput(f"ONNX file has more than {MAX_LAYERS} layers")
    header = parse_header(headers[0])
    in_log2 = -int(exponents(_array(constants, f"{INPUT}.scale", np.float32, 0), f"{INPUT}.scale"))
    layers: list[Layer | MaxPool] = []
    for node in nodes:
        if node.op_type == "MaxPool":
            layers.append(_pool(node, layers))
        elif header.arithmetic == TIE_FREE:
            layers.append(_layer(node, constants, in_log2))
        else:
            layers.append(_layer(node, constants, None))
        in_log2 = layers[-1].out_log2
    model = header.build(layers)
    tap = len(model.layers) > 1 and len(proto.graph.output) == len(model.layers)
    if proto.graph != _graph(model, tap):
        raise BadInput("ONNX graph is not the one that slewguard writes for its layers")
    return model


def _layer(node: NodeProto, constants: dict[str, TensorProto], in_log2: int | None) -> Layer:
    """One convolution; with real scales where there is no log2 of the inverse scale of its input."""
    name = node.name
    attributes = _attributes(node)
    pads, strides = attributes.get("pads", []), attributes.get("strides", [])
    if len(pads) != 4 or len(strides) != 2:
        raise BadInput(f"layer {name:.64}: Conv lacks its pads or strides")
    out_scale = _array(constants, f"{name}.out_scale", np.float32, 0)
    scale = _array(constants, f"{name}.weight_scale", np.float32, 1)
    if in_log2 is None:
        out_log2, shift, real = 0, np.zeros(len(scale), dtype=np.uint8), RealScales(scale, np.float32(out_scale))
    else:
        out_log2, real = -int(exponents(out_scale, f"{name:.64}.out_scale")), None
        exponent = exponents(scale, f"{name:.64}.weight_scale")
        shift = shifts(exponent, in_log2, out_log2, f"layer {name:.64}")
    rectified = int(_array(constants, f"{name}.out_zero_point", np.uint8, 0)) == 0
    return Layer(
        name=name,
        op="depthwise_conv2d" if "group" in attributes else "conv2d",
        weights=_array(constants, f"{name}.weight", np.int8, 4),
        bias=_array(constants, f"{name}.bias", np.int32, 1),
        shift=shift,
        stride=int(strides[0]),
        pad=(int(pads[0]), int(pads[2]), int(pads[1]), int(pads[3])),
        lo=0 if rectified else -128,
        hi=255 if rectified else 127,
        out_log2=out_log2,
        real=real,
    )


def _pool(node: NodeProto, before: list[Layer | MaxPool]) -> MaxPool:
    size = _attributes(node).get("kernel_shape", [])
    if not size or not before:
        raise BadInput(f"layer {node.name:.64}: MaxPool lacks its size or its input")
    return MaxPool(node.name, int(size[0]), before[-1].lo, before[-1].hi, before[-1].out_log2)


def _attributes(node: NodeProto) -> dict[str, list[int]]:
    return {a.name: list(a.ints) or [a.i] for a in node.attribute}


def _code(dtype: Any) -> int:
    import onnx

    return int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _array(constants: dict[str, TensorProto], name: str, dtype: Any, rank: int) -> NDArray[Any]:
    """Values of a constant; only such as stand in the file itself are read, never another file that it names."""
    tensor = constants.get(name)
    if tensor is None:
        raise BadInput(f"ONNX file has no tensor {name:.80}")
    shape = tuple(int(size) for size in tensor.dims)
    right = tensor.data_type == _code(dtype) and len(shape) == rank and all(0 < size <= MAX_FILE for size in shape)
    stored = np.dtype(dtype).newbyteorder("<")
    if not right or len(tensor.raw_data) != stored.itemsize * int(np.prod([*shape], dtype=object)):
        raise BadInput(f"tensor {name:.80} has not the type or the size that it needs")
    array = np.frombuffer(tensor.raw_data, dtype=stored).astype(dtype).reshape(shape)
    array.setflags(write=False)
    return array
