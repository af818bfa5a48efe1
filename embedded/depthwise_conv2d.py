"""Convolution with one filter a channel, as plain loops."""

from __future__ import annotations

from slewguard.embedded.ctext import index, nest, position
from slewguard.embedded.plan import Step
from slewguard.embedded.requantise import store
from slewguard.embedded.window import FILL, fill_window
from slewguard.export.layers import Layer


def body(step: Step) -> list[str]:
    """Statements of the layer's function.

    Parameters
    ----------
    step : Step
    """
    layer = step.layer
    assert isinstance(layer, Layer)
    channels, rows, columns = step.out_shape
    kernel_h, kernel_w = layer.weights.shape[2:]
    channel = index("channel", channels)
    taps = "" if kernel_h == kernel_w == 1 else f"[{index('y', kernel_h)}][{index('x', kernel_w)}]"
    column = position(layer.stride, "column", columns, "x", kernel_w)
    if step.window_shape:
        source = f"window[{index('y', kernel_h)}][{column}]"
        fill = [FILL, *fill_window(step, channel, "")]
    else:
        source = f"input[{channel}][{position(layer.stride, 'row', rows, 'y', kernel_h)}][{column}]"
        fill = []
    weight = f"weights->weights_{layer.name}[{channel}]{taps}"
    pixel = [
        f"int32_t acc = weights->bias_{layer.name}[{channel}];",
        *nest(
            [("y", kernel_h), ("x", kernel_w)],
            [f"acc += (int32_t){weight}", f"     * (int32_t){source};"],
            unroll=True,
        ),
        store(step, f"output[{channel}][{index('row', rows)}][{index('column', columns)}]", channel),
    ]
    return nest([("channel", channels), ("row", rows)], [*fill, *nest([("column", columns)], pixel)])
