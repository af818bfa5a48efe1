"""TensorFlow Lite: the integer model as an int8 flatbuffer, and back.

Written directly, table by table, because every converter would quantise again. Tensors are int8 in rows,
columns, channels: the planes and the score with zero point 0, what a rectifier leaves with zero point -128, so
that ``q + 128`` is the model's uint8 value.

TensorFlow Lite's own kernels round twice (gemmlowp): with the multiplier ``scale_x * scale_w / scale_y = 2^-k``,
first ``a = round(acc / 2)``, then ``round(a / 2^(k-1))``. So weights and biases are written doubled: the
accumulator is ``2 acc``, the multiplier 2^-(shift+1), the first step gives back ``acc`` exactly and the second is
the model's own rounding, which never meets a half because ``acc`` is odd. Kernels that round once (XNNPACK) see
``2 acc / 2^(shift+1)``, the same number. See ``docs/arithmetic.md``.

The batch is one sub-image, as on board. What the graph cannot hold (planes, verdict rule, certificate, hash) is
carried as JSON in the metadata buffer ``slewguard``; the layers are read from the graph alone.
Slot numbers are those of TensorFlow Lite's schema, version 3 (tensorflow/lite/schema/schema.fbs).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.export.flatbuffer import Table, put_bytes, put_offsets, put_table
from slewguard.export.model import MAX_LAYERS, MAX_WEIGHT, IntegerModel, Layer, Shape
from slewguard.export.planes import N_PLANES
from slewguard.export.powers import MAX_FILE, MAX_WEIGHTS, Scales, exponents, shifts, weight_scales
from slewguard.subimages.contract import SIDE
from slewguard.subimages.errors import BadInput

METADATA_NAME = "slewguard"
INPUT, OUTPUT = "planes", "score"
IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3

# Numbers of schema.fbs.
_CONV_2D, _DEPTHWISE_CONV_2D, _OPERATOR_VERSION = 3, 4, 3
_CONV_OPTIONS, _DEPTHWISE_OPTIONS = 1, 2
_INT32, _INT8 = 2, 9
_SAME, _VALID = 0, 1
_NONE, _RELU = 0, 1
# Number of slots that we know of each table, and may set.
_MODEL, _OPERATOR_CODE, _SUBGRAPH, _TENSOR, _QUANTISATION, _OPERATOR, _BUFFER, _METADATA = 7, 4, 5, 5, 7, 5, 1, 2
_CONV_SLOTS, _DEPTHWISE_SLOTS = 6, 7


def write_tflite(model: IntegerModel, *, tap: bool = False) -> bytes:
    """Print a model as a TensorFlow Lite file.

    Parameters
    ----------
    model : IntegerModel
    tap : bool
        Make the output of every layer an output of the graph, in order; the shipped file has the score alone.

    Returns
    -------
    bytes
        Input ``planes`` int8 [1, 56, 56, 3]; output ``score`` int8 [1, 1, 1, 1]. The same for the same model.

    Raises
    ------
    BadInput
        If a layer pads otherwise than TensorFlow Lite can, or a scale is beyond float32.
    """
    import flatbuffers

    builder = flatbuffers.Builder(1 << 16)
    buffers = [b""]
    tensors: list[int] = []
    operators: list[int] = []
    outputs: list[int] = []

    def tensor(
        name: str, kind: int, shape: tuple[int, ...], scale: Any, zero_point: int, data: bytes, axis: int = 0
    ) -> int:
        scale = np.atleast_1d(np.asarray(scale, dtype="<f4"))
        fields = {
            2: ("o", int(builder.CreateNumpyVector(scale))),
            3: ("o", int(builder.CreateNumpyVector(np.full(len(scale), zero_point, dtype="<i8")))),
            6: ("i", axis),
        }
        quantisation = put_table(builder, _QUANTISATION, fields)
        buffers.extend([data] if data else [])
        fields = {
            0: ("o", int(builder.CreateNumpyVector(np.array(shape, dtype="<i4")))),
            1: ("b", kind),
            2: ("I", len(buffers) - 1 if data else 0),
            3: ("o", int(builder.CreateString(name))),
            4: ("o", quantisation),
        }
        tensors.append(put_table(builder, _TENSOR, fields))
        return len(tensors) - 1

    in_log2 = model.planes.snr_log2
    shape = model.input_shape
    x = tensor(INPUT, _INT8, (1, SIDE, SIDE, N_PLANES), 2.0**-in_log2, 0, b"")
    for layer, out_shape in zip(model.layers, model.shapes, strict=True):
        channels, rows, columns = out_shape
        padding = _padding(layer, shape)
        scale = weight_scales(layer, in_log2) / 2
        weights = _to_file(layer)
        w = tensor(
            f"{layer.name}.weight", _INT8, weights.shape, scale, 0, weights.tobytes(), axis=3 if layer.depthwise else 0
        )
        doubled = (2 * layer.bias).astype("<i4")
        b = tensor(f"{layer.name}.bias", _INT32, doubled.shape, np.ldexp(scale, -in_log2), 0, doubled.tobytes())
        name = OUTPUT if layer is model.layers[-1] else f"{layer.name}.out"
        out = tensor(name, _INT8, (1, rows, columns, channels), 2.0**-layer.out_log2, _zero_point(layer), b"")
        operators.append(_put_operator(builder, layer, padding, [x, w, b], out))
        if tap or name == OUTPUT:
            outputs.append(out)
        x, in_log2, shape = out, layer.out_log2, out_shape

    fields = {
        0: ("o", put_offsets(builder, tensors)),
        1: ("o", int(builder.CreateNumpyVector(np.array([0], dtype="<i4")))),
        2: ("o", int(builder.CreateNumpyVector(np.array(outputs, dtype="<i4")))),
        3: ("o", put_offsets(builder, operators)),
        4: ("o", int(builder.CreateString("main"))),
    }
    subgraph = put_table(builder, _SUBGRAPH, fields)
    buffers.append(model.header_json().encode())
    buffer_tables = [
        put_table(builder, _BUFFER, {0: ("o", put_bytes(builder, data))} if data else {}) for data in buffers
    ]
    name_offset = int(builder.CreateString(METADATA_NAME))
    metadata = put_table(builder, _METADATA, {0: ("o", name_offset), 1: ("I", len(buffers) - 1)})
    codes = [
        put_table(builder, _OPERATOR_CODE, {0: ("b", code), 2: ("i", _OPERATOR_VERSION), 3: ("i", code)})
        for code in (_CONV_2D, _DEPTHWISE_CONV_2D)
    ]
    fields = {
        0: ("I", SCHEMA_VERSION),
        1: ("o", put_offsets(builder, codes)),
        2: ("o", put_offsets(builder, [subgraph])),
        3: ("o", int(builder.CreateString("slewguard"))),
        4: ("o", put_offsets(builder, buffer_tables)),
        6: ("o", put_offsets(builder, [metadata])),
    }
    builder.Finish(put_table(builder, _MODEL, fields), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def canonical(layer: Layer, output: NDArray[np.int8]) -> NDArray[np.integer]:
    """Output of a layer in a TensorFlow Lite file, int8 [N, rows, columns, channels], as the model has it."""
    return np.moveaxis((output.astype(np.int16) - _zero_point(layer)).astype(layer.dtype), 3, 1)


def read_scales(data: bytes) -> list[Scales]:
    """Scales of every layer of a TensorFlow Lite file that :func:`write_tflite` wrote, as they stand there.

    Raises
    ------
    BadInput
        If it is no such file.
    """
    subgraph = Table.root(data, IDENTIFIER, _MODEL).tables(2, _SUBGRAPH)[0]
    scales = [tensor.table(4, _QUANTISATION).numbers(2, "f4") for tensor in subgraph.tables(0, _TENSOR)]
    layers = []
    for operator in subgraph.tables(3, _OPERATOR):
        x, weights, _ = operator.numbers(1, "i4")
        layers.append(Scales(scales[x][0], scales[weights], scales[operator.numbers(2, "i4")[0]][0]))
    return layers


def _put_operator(builder: Any, layer: Layer, padding: int, inputs: list[int], out: int) -> int:
    relu = _RELU if layer.lo == 0 else _NONE
    stride = ("i", layer.stride)
    if layer.depthwise:
        options = {0: ("b", padding), 1: stride, 2: stride, 3: ("i", 1), 4: ("b", relu), 5: ("i", 1), 6: ("i", 1)}
        table = put_table(builder, _DEPTHWISE_SLOTS, options)
    else:
        options = {0: ("b", padding), 1: stride, 2: stride, 3: ("b", relu), 4: ("i", 1), 5: ("i", 1)}
        table = put_table(builder, _CONV_SLOTS, options)
    fields = {
        0: ("I", int(layer.depthwise)),
        1: ("o", int(builder.CreateNumpyVector(np.array(inputs, dtype="<i4")))),
        2: ("o", int(builder.CreateNumpyVector(np.array([out], dtype="<i4")))),
        3: ("B", _DEPTHWISE_OPTIONS if layer.depthwise else _CONV_OPTIONS),
        4: ("o", table),
    }
    return put_table(builder, _OPERATOR, fields)


def _zero_point(layer: Layer) -> int:
    return -128 if layer.lo == 0 else 0


def _to_file(layer: Layer) -> NDArray[np.int8]:
    """Doubled weights [out, height, width, in], or [1, height, width, channels] of a depthwise layer."""
    doubled = (2 * layer.weights.astype(np.int16)).astype(np.int8)
    return doubled.transpose(1, 2, 3, 0) if layer.depthwise else doubled.transpose(0, 2, 3, 1)


def _same_pad(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """What TensorFlow Lite's SAME adds before and after: the output has ceil(size / stride) points."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _padding(layer: Layer, shape: Shape) -> int:
    _, rows, columns = shape
    if layer.pad == (0, 0, 0, 0):
        return _VALID
    height, width = layer.weights.shape[2:]
    if layer.pad != (*_same_pad(rows, height, layer.stride), *_same_pad(columns, width, layer.stride)):
        raise BadInput(f"layer {layer.name}: TensorFlow Lite cannot pad by {layer.pad}")
    return _SAME


def read_tflite(data: bytes) -> IntegerModel:
    """Read back the model of a TensorFlow Lite file that :func:`write_tflite` wrote, tapped or not.

    Raises
    ------
    BadInput
        If it is anything else, or its layers do not have the hash that the file states.
    """
    from slewguard.export.schema import parse_header

    if len(data) > MAX_FILE:
        raise BadInput(f"larger than {MAX_FILE} bytes, not a slewguard TensorFlow Lite file")
    root = Table.root(data, IDENTIFIER, _MODEL)
    _must(root.scalar(0, "I") == SCHEMA_VERSION and not root.has(5), "not of schema version 3")
    buffers = root.tables(4, _BUFFER)
    headers = [entry for entry in root.tables(6, _METADATA) if entry.text(0) == METADATA_NAME]
    _must(len(headers) == 1 and headers[0].scalar(1, "I") < len(buffers), "carries no slewguard metadata")
    header = buffers[headers[0].scalar(1, "I")].raw(0)
    codes = [
        (code.scalar(0, "b"), code.scalar(3, "i"), code.scalar(2, "i", 1), code.has(1))
        for code in root.tables(1, _OPERATOR_CODE)
    ]
    known = all(code in (_CONV_2D, _DEPTHWISE_CONV_2D) for code, *_ in codes)
    _must(known and all(row == (row[0], row[0], _OPERATOR_VERSION, False) for row in codes), "unknown operator")
    subgraphs = root.tables(2, _SUBGRAPH)
    _must(len(subgraphs) == 1, "has not one subgraph")
    graph = _Graph(subgraphs[0], buffers)
    layers, taps = graph.layers([code for code, *_ in codes])
    outputs = subgraphs[0].numbers(2, "i4").tolist()
    _must(outputs in (taps, taps[-1:]), "outputs are neither the score nor all layers")
    try:
        text = header.decode()
    except UnicodeDecodeError as error:
        raise BadInput("metadata of the TensorFlow Lite file is not UTF-8") from error
    model = parse_header(text, layers)
    _must(model.planes.snr_log2 == graph.in_log2, "input scale is not that of the planes")
    return model


def _must(holds: bool, fault: str) -> None:
    if not holds:
        raise BadInput(f"TensorFlow Lite file: {fault}")


class _Graph:
    """The subgraph of a file: takes one layer after the other and checks all that it says about it."""

    def __init__(self, subgraph: Table, buffers: list[Table]) -> None:
        self.tensors = subgraph.tables(0, _TENSOR)
        self.operators = subgraph.tables(3, _OPERATOR)
        self.buffers = buffers
        _must(len(self.operators) <= MAX_LAYERS, f"more than {MAX_LAYERS} layers")
        inputs = subgraph.numbers(1, "i4").tolist()
        _must(len(inputs) == 1, "has not one input")
        self.x = inputs[0]
        name, self.in_log2, zero_point = self._activation(self.x, (N_PLANES, SIDE, SIDE))
        _must(name == INPUT and zero_point == 0, "input is not the planes")
        self.n_weights = 0

    def layers(self, codes: list[int]) -> tuple[list[Layer], list[int]]:
        """Layers, and the numbers of their output tensors."""
        layers: list[Layer] = []
        outputs: list[int] = []
        x, in_log2, shape = self.x, self.in_log2, (N_PLANES, SIDE, SIDE)
        for operator in self.operators:
            code = operator.scalar(0, "I")
            _must(code < len(codes), "operator without a code")
            inputs, out = operator.numbers(1, "i4").tolist(), operator.numbers(2, "i4").tolist()
            _must(len(inputs) == 3 and len(out) == 1 and inputs[0] == x, "layers do not form a chain")
            layer, shape = self._layer(operator, codes[code] == _DEPTHWISE_CONV_2D, inputs, out[0], in_log2, shape)
            layers.append(layer)
            outputs.append(out[0])
            x, in_log2 = out[0], layer.out_log2
        return layers, outputs

    def _layer(
        self, operator: Table, depthwise: bool, inputs: list[int], out: int, in_log2: int, shape: Shape
    ) -> tuple[Layer, Shape]:
        kind = _DEPTHWISE_OPTIONS if depthwise else _CONV_OPTIONS
        _must(operator.scalar(3, "B") == kind, "operator has not the options of its kind")
        options = operator.table(4, _DEPTHWISE_SLOTS if depthwise else _CONV_SLOTS)
        late = int(depthwise)
        dilations = options.scalar(4 + late, "i", 1), options.scalar(5 + late, "i", 1)
        multiplier = options.scalar(3, "i") if depthwise else 1
        stride = options.scalar(1, "i")
        square = stride == options.scalar(2, "i") and stride > 0
        _must(square and dilations == (1, 1) and multiplier == 1, "a stride, dilation or multiplier we do not have")

        stored, scale, name = self._constant(inputs[1], _INT8, 4, 3 if depthwise else 0)
        _must(name.endswith(".weight"), "weights without their name")
        in_range = bool((np.abs(stored.astype(int)) <= 2 * MAX_WEIGHT).all())
        _must(in_range and not (stored % 4).any(), "weights are not doubled even ones of 6 bits")
        weights = (stored // 2).transpose((3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
        name = name.removesuffix(".weight")
        doubled, bias_scale, bias_name = self._constant(inputs[2], _INT32, 1, 0)
        _must(bias_name == f"{name}.bias" and not (doubled % 2).any(), "biases not doubled or not named")
        exponent = exponents(scale, "weight scale")
        _must(bool((exponents(bias_scale, "bias scale") == exponent - in_log2).all()), "bias scale is not the product")

        _, out_log2, zero_point = self._activation(out, None)
        _must(zero_point in (0, -128), "zero point is neither 0 nor -128")
        relu = options.scalar(3 + late, "b")
        _must(relu == (_RELU if zero_point else _NONE), "activation does not fit the zero point")
        padding = options.scalar(0, "b")
        _must(padding in (_SAME, _VALID), "unknown padding")
        (_, rows, columns), (height, width) = shape, weights.shape[2:]
        same = (*_same_pad(rows, height, stride), *_same_pad(columns, width, stride))
        layer = Layer(
            name=name,
            op="depthwise_conv2d" if depthwise else "conv2d",
            weights=np.ascontiguousarray(weights),
            bias=doubled // 2,
            shift=shifts(exponent + 1, in_log2, out_log2, f"layer {name:.64}"),
            stride=stride,
            pad=same if padding == _SAME else (0, 0, 0, 0),
            lo=0 if zero_point else -128,
            hi=255 if zero_point else 127,
            out_log2=out_log2,
        )
        layer.weights.setflags(write=False)
        out_shape = layer.out_shape(shape)
        self._activation(out, out_shape)
        return layer, out_shape

    def _tensor(self, number: int) -> Table:
        _must(0 <= number < len(self.tensors), "names a tensor that is not there")
        return self.tensors[number]

    def _activation(self, number: int, shape: Shape | None) -> tuple[str, int, int]:
        """Name, log2 of the inverse scale and zero point of a tensor that is computed."""
        tensor = self._tensor(number)
        scale, zero_point = self._quantisation(tensor, 1, 0)
        _must(tensor.scalar(1, "b") == _INT8 and tensor.scalar(2, "I") == 0, "a computed tensor is not int8")
        if shape is not None:
            channels, rows, columns = shape
            _must(tensor.numbers(0, "i4").tolist() == [1, rows, columns, channels], "a tensor has not its shape")
        return tensor.text(3), -int(exponents(scale, "a tensor's scale")[0]), int(zero_point[0])

    def _constant(self, number: int, kind: int, rank: int, axis: int) -> tuple[NDArray[Any], NDArray[np.float32], str]:
        """Values, scales and name of a tensor that the file holds."""
        tensor = self._tensor(number)
        place = tensor.scalar(2, "I")
        _must(tensor.scalar(1, "b") == kind and 0 < place < len(self.buffers), "a constant has not its type")
        shape = tensor.numbers(0, "i4").tolist()
        data, dtype = self.buffers[place].raw(0), np.dtype("<i4" if kind == _INT32 else "i1")
        fits = len(shape) == rank and all(0 < size <= MAX_WEIGHTS for size in shape)
        _must(fits and len(data) == dtype.itemsize * int(np.prod(shape, dtype=object)), "a constant has not its size")
        values = np.frombuffer(data, dtype=dtype).astype(dtype.newbyteorder("="))
        self.n_weights += len(values)
        _must(self.n_weights <= MAX_WEIGHTS, f"more than {MAX_WEIGHTS} weights")
        scale, zero_point = self._quantisation(tensor, shape[axis], axis)
        _must(not zero_point.any(), "a constant has a zero point")
        return values.reshape(shape), scale, tensor.text(3)

    def _quantisation(self, tensor: Table, count: int, axis: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        table = tensor.table(4, _QUANTISATION)
        scale, zero_point = table.numbers(2, "f4"), table.numbers(3, "i8")
        plain = not any(table.has(slot) for slot in (0, 1, 4, 5)) and table.scalar(6, "i") == axis
        _must(plain and len(scale) == len(zero_point) == count, "a tensor is not quantised as slewguard does it")
        return scale, zero_point
