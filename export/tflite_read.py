"""Reading back the TensorFlow Lite files that :mod:`slewguard.export.tflite_file` writes; they may be hostile.

The layers are read from the graph alone, the rest from the metadata, and the hash must be that of both together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.export.flatbuffer import Table
from slewguard.export.layers import MAX_WEIGHT, TIE_FREE, Layer, MaxPool, RealScales, Shape
from slewguard.export.model import MAX_LAYERS, IntegerModel
from slewguard.export.planes import N_PLANES
from slewguard.export.powers import MAX_FILE, MAX_WEIGHTS, exponents, shifts
from slewguard.export.tflite_file import (
    BUFFER,
    DEPTHWISE_CONV_2D,
    IDENTIFIER,
    INPUT,
    INT8,
    INT32,
    MAX_POOL_2D,
    METADATA,
    METADATA_NAME,
    MODEL,
    NONE,
    OPERATOR,
    OPERATOR_CODE,
    OPERATOR_VERSIONS,
    OPTION_SLOTS,
    OPTIONS,
    QUANTISATION,
    RELU,
    SAME,
    SCHEMA_VERSION,
    SUBGRAPH,
    TENSOR,
    VALID,
    same_pad,
)
from slewguard.subimages.contract import SIDE
from slewguard.subimages.errors import BadInput


def read_tflite(data: bytes) -> IntegerModel:
    """Read back the model of a TensorFlow Lite file that ``write_tflite`` wrote, tapped or not.

    Raises
    ------
    BadInput
        If it is anything else, or its layers do not have the hash that the file states.
    """
    from slewguard.export.schema import parse_header

    if len(data) > MAX_FILE:
        raise BadInput(f"larger than {MAX_FILE} bytes, not a slewguard TensorFlow Lite file")
    root = Table.root(data, IDENTIFIER, MODEL)
    _must(root.scalar(0, "I") == SCHEMA_VERSION and not root.has(5), "not of schema version 3")
    buffers = root.tables(4, BUFFER)
    headers = [entry for entry in root.tables(6, METADATA) if entry.text(0) == METADATA_NAME]
    _must(len(headers) == 1 and headers[0].scalar(1, "I") < len(buffers), "carries no slewguard metadata")
    try:
        header = parse_header(buffers[headers[0].scalar(1, "I")].raw(0).decode())
    except UnicodeDecodeError as error:
        raise BadInput("metadata of the TensorFlow Lite file is not UTF-8") from error
    codes = []
    for table in root.tables(1, OPERATOR_CODE):
        code = table.scalar(3, "i")
        stated = code, OPERATOR_VERSIONS.get(code), False
        _must((table.scalar(0, "b"), table.scalar(2, "i", 1), table.has(1)) == stated, "unknown operator")
        codes.append(code)
    subgraphs = root.tables(2, SUBGRAPH)
    _must(len(subgraphs) == 1, "has not one subgraph")
    graph = _Graph(subgraphs[0], buffers, tie_free=header.arithmetic == TIE_FREE)
    layers, taps = graph.layers(codes)
    outputs = subgraphs[0].numbers(2, "i4").tolist()
    _must(outputs in (taps, taps[-1:]), "outputs are neither the score nor all layers")
    model = header.build(layers)
    _must(model.planes.snr_log2 == graph.in_log2, "input scale is not that of the planes")
    return model


def _must(holds: bool, fault: str) -> None:
    if not holds:
        raise BadInput(f"TensorFlow Lite file: {fault}")


class _Graph:
    """The subgraph of a file: takes one layer after the other and checks all that it says about it."""

    def __init__(self, subgraph: Table, buffers: list[Table], *, tie_free: bool) -> None:
        self.tensors = subgraph.tables(0, TENSOR)
        self.operators = subgraph.tables(3, OPERATOR)
        self.buffers = buffers
        self.tie_free = tie_free
        _must(len(self.operators) <= MAX_LAYERS, f"more than {MAX_LAYERS} layers")
        inputs = subgraph.numbers(1, "i4").tolist()
        _must(len(inputs) == 1, "has not one input")
        self.x = inputs[0]
        name, scale, zero_point = self._activation(self.x, (N_PLANES, SIDE, SIDE))
        self.in_log2 = -int(exponents(scale, "the input's scale"))
        _must(name == INPUT and zero_point == 0, "input is not the planes")
        self.n_weights = 0

    def layers(self, codes: list[int]) -> tuple[list[Layer | MaxPool], list[int]]:
        """Layers, and the numbers of their output tensors."""
        layers: list[Layer | MaxPool] = []
        outputs: list[int] = []
        x, shape = self.x, (N_PLANES, SIDE, SIDE)
        for operator in self.operators:
            number = operator.scalar(0, "I")
            _must(number < len(codes), "operator without a code")
            code = codes[number]
            inputs, out = operator.numbers(1, "i4").tolist(), operator.numbers(2, "i4").tolist()
            chained = len(inputs) == (1 if code == MAX_POOL_2D else 3) and len(out) == 1 and inputs[0] == x
            _must(chained, "layers do not form a chain")
            _must(operator.scalar(3, "B") == OPTIONS[code], "operator has not the options of its kind")
            options = operator.table(4, OPTION_SLOTS[code])
            layer: Layer | MaxPool
            if code == MAX_POOL_2D:
                layer = self._pool(options, inputs[0], out[0], layers)
            else:
                layer = self._layer(options, code == DEPTHWISE_CONV_2D, inputs, out[0], shape)
            shape = layer.out_shape(shape)
            self._activation(out[0], shape)
            layers.append(layer)
            outputs.append(out[0])
            x = out[0]
        return layers, outputs

    def _pool(self, options: Table, x: int, out: int, before: list[Layer | MaxPool]) -> MaxPool:
        sizes = [options.scalar(slot, "i") for slot in (1, 2, 3, 4)]
        plain = options.scalar(0, "b") == VALID and options.scalar(5, "b") == NONE
        _must(plain and len(set(sizes)) == 1 and sizes[0] > 0 and bool(before), "a maximum that we do not have")
        name, *form = self._activation(out, None)
        _must(
            name.endswith(".out") and tuple(form) == self._activation(x, None)[1:],
            "a maximum changes its input's scale",
        )
        return MaxPool(name.removesuffix(".out"), sizes[0], before[-1].lo, before[-1].hi, before[-1].out_log2)

    def _layer(self, options: Table, depthwise: bool, inputs: list[int], out: int, shape: Shape) -> Layer:
        late = int(depthwise)
        dilations = options.scalar(4 + late, "i", 1), options.scalar(5 + late, "i", 1)
        multiplier = options.scalar(3, "i") if depthwise else 1
        stride = options.scalar(1, "i")
        square = stride == options.scalar(2, "i") and stride > 0
        _must(square and dilations == (1, 1) and multiplier == 1, "a stride, dilation or multiplier we do not have")

        stored, scale, name = self._constant(inputs[1], INT8, 4, 3 if depthwise else 0)
        _must(name.endswith(".weight"), "weights without their name")
        name = name.removesuffix(".weight")
        bias, bias_scale, bias_name = self._constant(inputs[2], INT32, 1, 0)
        _must(bias_name == f"{name}.bias", "biases without their name")
        _, in_scale, _ = self._activation(inputs[0], None)
        _, out_scale, zero_point = self._activation(out, None)
        out_log2, real = 0, None
        if self.tie_free:
            magnitude = np.abs(stored.astype(int))
            _must(bool((magnitude <= 2 * MAX_WEIGHT).all()), "a weight is not of 6 bits")
            _must(not (stored % 4).any() and not (bias % 2).any(), "weights or biases are not doubled")
            stored, bias = stored // 2, bias // 2
            in_log2 = -int(exponents(in_scale, "a tensor's scale"))
            out_log2 = -int(exponents(out_scale, "a tensor's scale"))
            exponent = exponents(scale, "weight scale") + 1
            shift = shifts(exponent, in_log2, out_log2, f"layer {name:.64}")
        else:
            shift, real = np.zeros(len(bias), dtype=np.uint8), RealScales(scale, out_scale)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            _must(bool((bias_scale == scale * in_scale).all()), "bias scale is not the product")
        weights = np.ascontiguousarray(stored.transpose((3, 0, 1, 2) if depthwise else (0, 3, 1, 2)))
        weights.setflags(write=False)

        _must(zero_point in (0, -128), "zero point is neither 0 nor -128")
        relu = options.scalar(3 + late, "b")
        _must(relu == (RELU if zero_point else NONE), "activation does not fit the zero point")
        padding = options.scalar(0, "b")
        _must(padding in (SAME, VALID), "unknown padding")
        (_, rows, columns), (height, width) = shape, weights.shape[2:]
        same = (*same_pad(rows, height, stride), *same_pad(columns, width, stride))
        return Layer(
            name=name,
            op="depthwise_conv2d" if depthwise else "conv2d",
            weights=weights,
            bias=bias,
            shift=shift,
            stride=stride,
            pad=same if padding == SAME else (0, 0, 0, 0),
            lo=0 if zero_point else -128,
            hi=255 if zero_point else 127,
            out_log2=out_log2,
            real=real,
        )

    def _tensor(self, number: int) -> Table:
        _must(0 <= number < len(self.tensors), "names a tensor that is not there")
        return self.tensors[number]

    def _activation(self, number: int, shape: Shape | None) -> tuple[str, np.float32, int]:
        """Name, scale and zero point of a tensor that is computed."""
        tensor = self._tensor(number)
        scale, zero_point = self._quantisation(tensor, 1, 0)
        _must(tensor.scalar(1, "b") == INT8 and tensor.scalar(2, "I") == 0, "a computed tensor is not int8")
        if shape is not None:
            channels, rows, columns = shape
            _must(tensor.numbers(0, "i4").tolist() == [1, rows, columns, channels], "a tensor has not its shape")
        return tensor.text(3), np.float32(scale[0]), int(zero_point[0])

    def _constant(self, number: int, kind: int, rank: int, axis: int) -> tuple[NDArray[Any], NDArray[np.float32], str]:
        """Values, scales and name of a tensor that the file holds."""
        tensor = self._tensor(number)
        place = tensor.scalar(2, "I")
        _must(tensor.scalar(1, "b") == kind and 0 < place < len(self.buffers), "a constant has not its type")
        shape = tensor.numbers(0, "i4").tolist()
        data, dtype = self.buffers[place].raw(0), np.dtype("<i4" if kind == INT32 else "i1")
        fits = len(shape) == rank and all(0 < size <= MAX_WEIGHTS for size in shape)
        _must(fits and len(data) == dtype.itemsize * int(np.prod(shape, dtype=object)), "a constant has not its size")
        values = np.frombuffer(data, dtype=dtype).astype(dtype.newbyteorder("="))
        self.n_weights += len(values)
        _must(self.n_weights <= MAX_WEIGHTS, f"more than {MAX_WEIGHTS} weights")
        scale, zero_point = self._quantisation(tensor, shape[axis], axis)
        _must(not zero_point.any(), "a constant has a zero point")
        return values.reshape(shape), scale, tensor.text(3)

    def _quantisation(self, tensor: Table, count: int, axis: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        table = tensor.table(4, QUANTISATION)
        scale, zero_point = table.numbers(2, "f4"), table.numbers(3, "i8")
        plain = not any(table.has(slot) for slot in (0, 1, 4, 5)) and table.scalar(6, "i") == axis
        _must(plain and len(scale) == len(zero_point) == count, "a tensor is not quantised as slewguard does it")
        return scale, zero_point
