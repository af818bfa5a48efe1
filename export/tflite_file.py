"""TensorFlow Lite: the integer model as an int8 flatbuffer; :mod:`slewguard.export.tflite_read` reads it back.

Written directly, table by table, because every converter would quantise again. Tensors are int8 in rows,
columns, channels: the planes and the score with zero point 0, what a rectifier leaves with zero point -128, so
that ``q + 128`` is the model's uint8 value.

TensorFlow Lite's own kernels round twice (gemmlowp): with the multiplier ``scale_x * scale_w / scale_y = 2^-k``,
first ``a = round(acc / 2)``, then ``round(a / 2^(k-1))``. So weights and biases are written doubled: the
accumulator is ``2 acc``, the multiplier 2^-(shift+1), the first step gives back ``acc`` exactly and the second is
the model's own rounding, which never meets a half because ``acc`` is odd. Kernels that round once (XNNPACK) see
``2 acc / 2^(shift+1)``, the same number. See ``docs/arithmetic.md``. Models that are not tie-free are written as they
stand, with their own scales.

The batch is one sub-image, as on board. What the graph cannot hold (planes, verdict rule, certificate, hash) is
carried as JSON in the metadata buffer ``slewguard``; the layers are read from the graph alone.
Slot numbers are those of TensorFlow Lite's schema, version 3 (tensorflow/lite/schema/schema.fbs).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.export.flatbuffer import Table, put_bytes, put_offsets, put_table
from slewguard.export.layers import Layer, MaxPool, Shape
from slewguard.export.model import IntegerModel
from slewguard.export.planes import N_PLANES
from slewguard.export.powers import Scales, layer_scales
from slewguard.subimages.contract import SIDE
from slewguard.subimages.errors import BadInput

METADATA_NAME = "slewguard"
INPUT, OUTPUT = "planes", "score"
IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3

# Numbers of schema.fbs.
CONV_2D, DEPTHWISE_CONV_2D, MAX_POOL_2D = 3, 4, 17
OPERATOR_VERSIONS = {CONV_2D: 3, DEPTHWISE_CONV_2D: 3, MAX_POOL_2D: 2}
OPTIONS = {CONV_2D: 1, DEPTHWISE_CONV_2D: 2, MAX_POOL_2D: 5}
"""Which kind of options an operator has."""
OPTION_SLOTS = {CONV_2D: 6, DEPTHWISE_CONV_2D: 7, MAX_POOL_2D: 6}
INT32, INT8 = 2, 9
SAME, VALID = 0, 1
NONE, RELU = 0, 1
# Number of slots that we know of each table, and may set.
MODEL, OPERATOR_CODE, SUBGRAPH, TENSOR, QUANTISATION, OPERATOR, BUFFER, METADATA = 7, 4, 5, 5, 7, 5, 1, 2


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
        quantisation = put_table(builder, QUANTISATION, fields)
        buffers.extend([data] if data else [])
        fields = {
            0: ("o", int(builder.CreateNumpyVector(np.array(shape, dtype="<i4")))),
            1: ("b", kind),
            2: ("I", len(buffers) - 1 if data else 0),
            3: ("o", int(builder.CreateString(name))),
            4: ("o", quantisation),
        }
        tensors.append(put_table(builder, TENSOR, fields))
        return len(tensors) - 1

    shape = model.input_shape
    x = tensor(INPUT, INT8, (1, SIDE, SIDE, N_PLANES), model.planes.scale, 0, b"")
    y = model.planes.scale
    scales = iter(layer_scales(model))
    codes = [CONV_2D, DEPTHWISE_CONV_2D]
    codes += [MAX_POOL_2D] * any(isinstance(layer, MaxPool) for layer in model.layers)
    for layer, out_shape in zip(model.layers, model.shapes, strict=True):
        channels, rows, columns = out_shape
        inputs = [x]
        if isinstance(layer, Layer):
            held = next(scales)
            y = held.y
            factor = _factor(layer)
            weights = _to_file(layer)
            scale = held.weights / np.float32(factor)
            axis = 3 if layer.depthwise else 0
            inputs.append(tensor(f"{layer.name}.weight", INT8, weights.shape, scale, 0, weights.tobytes(), axis))
            bias = (factor * layer.bias).astype("<i4")
            inputs.append(tensor(f"{layer.name}.bias", INT32, bias.shape, scale * held.x, 0, bias.tobytes()))
        name = OUTPUT if layer is model.layers[-1] else f"{layer.name}.out"
        out = tensor(name, INT8, (1, rows, columns, channels), y, _zero_point(layer), b"")
        operators.append(_put_operator(builder, codes, layer, shape, inputs, out))
        if tap or name == OUTPUT:
            outputs.append(out)
        x, shape = out, out_shape

    fields = {
        0: ("o", put_offsets(builder, tensors)),
        1: ("o", int(builder.CreateNumpyVector(np.array([0], dtype="<i4")))),
        2: ("o", int(builder.CreateNumpyVector(np.array(outputs, dtype="<i4")))),
        3: ("o", put_offsets(builder, operators)),
        4: ("o", int(builder.CreateString("main"))),
    }
    subgraph = put_table(builder, SUBGRAPH, fields)
    buffers.append(model.header_json().encode())
    buffer_tables = [
        put_table(builder, BUFFER, {0: ("o", put_bytes(builder, data))} if data else {}) for data in buffers
    ]
    name_offset = int(builder.CreateString(METADATA_NAME))
    metadata = put_table(builder, METADATA, {0: ("o", name_offset), 1: ("I", len(buffers) - 1)})
    code_tables = [
        put_table(builder, OPERATOR_CODE, {0: ("b", code), 2: ("i", OPERATOR_VERSIONS[code]), 3: ("i", code)})
        for code in codes
    ]
    fields = {
        0: ("I", SCHEMA_VERSION),
        1: ("o", put_offsets(builder, code_tables)),
        2: ("o", put_offsets(builder, [subgraph])),
        3: ("o", int(builder.CreateString(model.origin))),
        4: ("o", put_offsets(builder, buffer_tables)),
        6: ("o", put_offsets(builder, [metadata])),
    }
    builder.Finish(put_table(builder, MODEL, fields), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def canonical(layer: Layer | MaxPool, output: NDArray[np.int8]) -> NDArray[np.integer]:
    """Output of a layer in a TensorFlow Lite file, int8 [N, rows, columns, channels], as the model has it."""
    return np.moveaxis((output.astype(np.int16) - _zero_point(layer)).astype(layer.dtype), 3, 1)


def read_scales(data: bytes) -> list[Scales]:
    """Scales of every convolution of a TensorFlow Lite file that :func:`write_tflite` wrote, as they stand there.

    Raises
    ------
    BadInput
        If it is no such file.
    """
    subgraph = Table.root(data, IDENTIFIER, MODEL).tables(2, SUBGRAPH)[0]
    scales = [tensor.table(4, QUANTISATION).numbers(2, "f4") for tensor in subgraph.tables(0, TENSOR)]
    layers = []
    for operator in subgraph.tables(3, OPERATOR):
        x, *constants = operator.numbers(1, "i4")
        if constants:
            layers.append(Scales(scales[x][0], scales[constants[0]], scales[operator.numbers(2, "i4")[0]][0]))
    return layers


def same_pad(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """What TensorFlow Lite's SAME adds before and after: the output has ceil(size / stride) points."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _put_operator(
    builder: Any, codes: list[int], layer: Layer | MaxPool, shape: Shape, inputs: list[int], out: int
) -> int:
    fields: dict[int, int]
    if isinstance(layer, MaxPool):
        code, size = MAX_POOL_2D, layer.size
        fields = {0: VALID, 1: size, 2: size, 3: size, 4: size, 5: NONE}
    else:
        padding, stride, relu = _padding(layer, shape), layer.stride, RELU if layer.lo == 0 else NONE
        if layer.depthwise:
            code, fields = DEPTHWISE_CONV_2D, {0: padding, 1: stride, 2: stride, 3: 1, 4: relu, 5: 1, 6: 1}
        else:
            code, fields = CONV_2D, {0: padding, 1: stride, 2: stride, 3: relu, 4: 1, 5: 1}
    bytes_at = {0, 5} if code == MAX_POOL_2D else {0, 4} if code == DEPTHWISE_CONV_2D else {0, 3}
    options = {slot: ("b" if slot in bytes_at else "i", value) for slot, value in fields.items()}
    table = put_table(builder, OPTION_SLOTS[code], options)
    parts = {
        0: ("I", codes.index(code)),
        1: ("o", int(builder.CreateNumpyVector(np.array(inputs, dtype="<i4")))),
        2: ("o", int(builder.CreateNumpyVector(np.array([out], dtype="<i4")))),
        3: ("B", OPTIONS[code]),
        4: ("o", table),
    }
    return put_table(builder, OPERATOR, parts)


def _padding(layer: Layer, shape: Shape) -> int:
    if layer.pad == (0, 0, 0, 0):
        return VALID
    (_, rows, columns), (height, width) = shape, layer.weights.shape[2:]
    if layer.pad != (*same_pad(rows, height, layer.stride), *same_pad(columns, width, layer.stride)):
        raise BadInput(f"layer {layer.name}: TensorFlow Lite cannot pad by {layer.pad}")
    return SAME


def _zero_point(layer: Layer | MaxPool) -> int:
    return -128 if layer.lo == 0 else 0


def _factor(layer: Layer) -> int:
    """By how much weights and biases are multiplied in the file: 2 for a tie-free layer."""
    return 2 if layer.real is None else 1


def _to_file(layer: Layer) -> NDArray[np.int8]:
    """Weights [out, height, width, in], or [1, height, width, channels] of a depthwise layer."""
    multiplied = (_factor(layer) * layer.weights.astype(np.int16)).astype(np.int8)
    return multiplied.transpose(1, 2, 3, 0) if layer.depthwise else multiplied.transpose(0, 2, 3, 1)
