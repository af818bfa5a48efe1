"""The frame common to all layers: prototype, comment and output; the operators print what stands between.

An operator is one module with a function ``body(step) -> list of lines``. To add one: write the module, enter it in
``PRINTERS``, and add a model that holds it to ``tests/test_c.py``.
"""

from __future__ import annotations

from collections.abc import Callable

from slewguard.embedded import conv2d, depthwise_conv2d, max_pool2d
from slewguard.embedded.ctext import c_type, comment, dimensions, indent
from slewguard.embedded.plan import Step
from slewguard.export.layers import Layer, MaxPool

PRINTERS: dict[str, Callable[[Step], list[str]]] = {
    "conv2d": conv2d.body,
    "depthwise_conv2d": depthwise_conv2d.body,
    "max_pool2d": max_pool2d.body,
}


def prototype(step: Step) -> list[str]:
    """Declaration of the layer's function, without the semicolon."""
    arguments = [
        *(["const slewguard_weights_t *weights"] if isinstance(step.layer, Layer) else []),
        f"const {c_type(step.in_dtype)} input{dimensions(step.in_shape)}",
        f"{c_type(step.layer.dtype)} output{dimensions(step.out_shape)}",
    ]
    if step.window_shape:
        arguments.append(f"{c_type(step.in_dtype)} window{dimensions(step.window_shape)}")
    head = f"void slewguard_layer_{step.layer.name}("
    return [head, *indent([a + "," for a in arguments[:-1]]), f"    {arguments[-1]})"]


def _describe(step: Step, count: int) -> list[str]:
    layer = step.layer
    if isinstance(layer, MaxPool):
        return [
            "/*",
            f" * Layer {step.number + 1} of {count}: {comment(layer.name)}, {layer.op} {layer.size}x{layer.size}.",
            " *",
            f" *   input   {step.in_dtype.name:5}  {dimensions(step.in_shape)}",
            f" *   output  {layer.dtype.name:5}  {dimensions(step.out_shape)}",
            " */",
        ]
    kernel_h, kernel_w = layer.weights.shape[2:]
    sides = [f"{side} {n}" for side, n in zip(("top", "bottom", "left", "right"), layer.pad, strict=True) if n]
    border = f"zero border {', '.join(sides)}" if sides else "no border"
    channel = "o" if layer.depthwise else "i"
    tap = f"[{channel}][{layer.stride} r + y - {layer.pad[0]}][{layer.stride} c + x - {layer.pad[2]}]"
    tap = tap.replace(" - 0]", "]").replace("[1 ", "[")
    summed = "over y, x" if layer.depthwise else "over i, y, x"
    if (kernel_h, kernel_w) == (1, 1):
        tap = tap.replace(" + y", "").replace(" + x", "")
        summed = "" if layer.depthwise else "over i"
    weight = f"weights[o]{'' if layer.depthwise else '[i]'}{'' if (kernel_h, kernel_w) == (1, 1) else '[y][x]'}"
    least, greatest = step.accumulator_range
    return [
        "/*",
        f" * Layer {step.number + 1} of {count}: {comment(layer.name)}, {layer.op} {kernel_h}x{kernel_w}, "
        f"stride {layer.stride}, {border}.",
        " *",
        f" *   input   {step.in_dtype.name:5}  {dimensions(step.in_shape)}",
        f" *   output  {layer.dtype.name:5}  {dimensions(step.out_shape)}",
        " *",
        " *   acc             = bias[o] + sum " + f"{summed}  of  {weight} * input{tap}".strip(),
        f" *   output[o][r][c] = clamp(acc >> shift[o], {layer.lo}, {layer.hi})",
        " *",
        f" * Whatever the input, acc lies in {least} .. {greatest}.",
        " */",
    ]


def function(step: Step, count: int) -> list[str]:
    """Definition of the layer's function with its comment.

    Parameters
    ----------
    step : Step
    count : int
        Number of layers of the model.
    """
    return [*_describe(step, count), *prototype(step), "{", *indent(PRINTERS[step.layer.op](step)), "}"]
