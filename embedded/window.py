"""The padded rows: how a layer with a zero border reads its input without a branch on the data.

Before each output row the input rows that it needs are copied, with their border, into a small window. A row that
lies outside the image is read from the nearest row inside and masked to zero.
"""

from __future__ import annotations

from slewguard.embedded.ctext import c_type, index, nest, position
from slewguard.embedded.plan import Step
from slewguard.export.layers import Layer

FILL = "/* The input rows of this output row, with their zero border. */"


def fill_window(step: Step, channel: str, slot: str) -> list[str]:
    """Statements that fill the window of one channel for the output row ``row``.

    Parameters
    ----------
    step : Step
        Of a padded layer.
    channel : str
        Index of the input channel.
    slot : str
        Index of the channel within the window, with its brackets, or empty.
    """
    layer = step.layer
    assert isinstance(layer, Layer)
    top, bottom, left, _ = layer.pad
    _, height, width = step.in_shape
    kernel_h, padded = step.window_shape[-2:]
    copied = min(width, padded - left)
    row = position(layer.stride, "row", step.out_shape[1], "y", kernel_h)
    target = f"window{slot}[{index('y', kernel_h)}]"

    body = [f"const int32_t wanted = {row}{f' - {top}' if top else ''};"]
    inside = [test for test, needed in (("wanted >= 0", top), (f"wanted < {height}", bottom)) if needed]
    nearest = "wanted"
    if bottom:
        nearest = f"(wanted < {height}) ? {nearest} : {height - 1}"
    if top:
        nearest = f"(wanted < 0) ? 0 : {f'({nearest})' if bottom else nearest}"
    value = f"input[{channel}][source][{index('x', copied)}]"
    body.append(f"const int32_t source = {nearest};")
    if inside:
        kind = c_type(step.in_dtype)
        test = f"({' && '.join(inside)})" if len(inside) > 1 else f"({inside[0]})"
        body.append(f"const int32_t keep = {test} ? -1 : 0;")
        value = f"({kind})({value} & keep)"
    body += [f"{target}[{x}] = 0;" for x in range(left)]
    shifted = f"x + {left}" if left and copied > 1 else str(left) if left else index("x", copied)
    body += nest([("x", copied)], [f"{target}[{shifted}] = {value};"])
    body += [f"{target}[{x}] = 0;" for x in range(left + copied, padded)]
    if kernel_h == 1:
        return ["{", *("    " + line for line in body), "}"]
    return nest([("y", kernel_h)], body)
