"""Largest value of each block, as plain loops without a branch."""

from __future__ import annotations

from slewguard.embedded.ctext import index, nest
from slewguard.embedded.plan import Step
from slewguard.export.layers import MaxPool

HELPER = """
/* The greater one; |a|, |b| < 2^30. */
static int32_t greater(int32_t a, int32_t b)
{
    const uint32_t below = ((uint32_t)a - (uint32_t)b) >> 31;
    return a + (int32_t)below * (b - a);
}
"""


def body(step: Step) -> list[str]:
    """Statements of the layer's function.

    Parameters
    ----------
    step : Step
    """
    layer = step.layer
    assert isinstance(layer, MaxPool)
    channels, rows, columns = step.out_shape
    channel, row, column = index("channel", channels), index("row", rows), index("column", columns)
    target = f"output[{channel}][{row}][{column}]"
    source = f"input[{channel}][{layer.size} * {row} + y][{layer.size} * {column} + x]"
    block = [
        f"int32_t largest = {layer.lo};",
        *nest([("y", layer.size), ("x", layer.size)], [f"largest = greater(largest, {source});"]),
        f"{target} = ({layer.dtype.name}_t)largest;",
    ]
    return nest([("channel", channels), ("row", rows), ("column", columns)], block)
