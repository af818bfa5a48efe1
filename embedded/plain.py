"""The plain style: ``slewguard_network.c`` of readable loops, one function a layer, for review and static analysis."""

from __future__ import annotations

from math import prod
from string import Template

import numpy as np

from slewguard.embedded.api import title
from slewguard.embedded.blob import Member
from slewguard.embedded.ctext import comment, dimensions, indent, pointer
from slewguard.embedded.halved import halve
from slewguard.embedded.harness import timed
from slewguard.embedded.layers import function, prototype
from slewguard.embedded.plan import Plan, Step
from slewguard.embedded.requantise import helpers
from slewguard.export.layers import Layer, MaxPool
from slewguard.export.model import IntegerModel

_SOURCE = Template("""\
/* $title
 *
 * Every layer is one function with literal bounds; arrays are [channel][row][column]. Nothing branches on
 * data, so that a call takes the same path whatever the sub-image shows. As written, calls are at most five
 * deep: slewguard_judge, slewguard_score, a layer, its requantisation, a clamp.
 */
#include "slewguard.h"

$helpers
$functions

/*
 * Scratch memory, $scratch_bytes bytes:
 *
$memory
 */
int8_t slewguard_score(
    const slewguard_weights_t *weights,
    const int8_t planes[SLEWGUARD_PLANES_BYTES],
    uint32_t scratch[SLEWGUARD_SCRATCH_WORDS])
{
$declarations

$calls

    return out_$last[0][0][0];
}
""")

_PROTOTYPES = Template("""\
/* A window is working memory. The first layer takes the planes as ((const slewguard_planes_t *)planes)->plane. */
typedef struct {
    int8_t plane$planes_shape;
} slewguard_planes_t;

$prototypes""")


def members(model: IntegerModel) -> list[Member]:
    """Tables of the layers: weights of 6 bits, biases that hold the rounding constant, shifts."""
    found = []
    for layer in model.layers:
        if isinstance(layer, MaxPool):
            continue
        halved = halve(layer)
        height, width = layer.weights.shape[2:]
        axes = "[channel]" if layer.depthwise else "[out][in]"
        axes += "" if height == width == 1 else "[row][column]"
        note = f"{comment(layer.name)}, {layer.op} {height}x{width}: {axes}"
        found += [
            Member(f"weights_{layer.name}", halved.weights, note),
            Member(f"bias_{layer.name}", halved.bias.astype(np.int32)),
            Member(f"shift_{layer.name}", halved.shift),
        ]
    return found


def declarations(plan: Plan) -> list[str]:
    """Local pointers to the outputs and windows within ``scratch``."""
    lines = []
    for step in plan.steps:
        name, dtype = step.layer.name, step.layer.dtype
        for kind, shape, offset, held in (
            ("out", step.out_shape, step.out_offset, dtype),
            ("window", step.window_shape, step.window_offset, step.in_dtype),
        ):
            if shape:
                cast = pointer(held, shape)
                target = cast.replace("(*)", f"(*const {kind}_{name})")
                lines.append(f"{target} = ({cast})(scratch + {offset // 4});")
    return lines


def calls(plan: Plan) -> list[str]:
    """One call for each layer, in order."""
    lines = []
    # The caller's bytes as an array of constant planes, without a cast that could lose the const.
    given = "((const slewguard_planes_t *)planes)->plane"
    for step in plan.steps:
        name = step.layer.name
        weights = ["weights"] if isinstance(step.layer, Layer) else []
        arguments = [*weights, given, f"out_{name}", *([f"window_{name}"] if step.window_shape else [])]
        lines.append(f"slewguard_layer_{name}({', '.join(arguments)});")
        # Each layer reads what the one before has written, of the same dtype and shape.
        given = f"({pointer(step.layer.dtype, step.out_shape, const=True)})out_{name}"
    return lines


def trace(plan: Plan) -> tuple[list[str], list[str], list[str]]:
    """Functions, declarations and steps of :func:`slewguard.embedded.harness.trace_source`."""
    steps = []
    for step, call in zip(plan.steps, calls(plan), strict=True):
        copy = f"outputs[{step.number}][i] = ((const uint8_t *)out_{step.layer.name})[i];"
        steps += [
            *timed(step.number, [call]),
            f"for (uint32_t i = 0; i < {prod(step.out_shape)}; i++) {{",
            f"    {copy}",
            "}",
        ]
    return [], declarations(plan), steps


def _memory(step: Step) -> list[str]:
    def row(what: str, offset: int, shape: tuple[int, ...]) -> str:
        return f" *   {offset:6} .. {offset + prod(shape) - 1:6}  {what}"

    name = comment(step.layer.name)
    rows = [row(f"output of {name}", step.out_offset, step.out_shape)]
    if step.window_shape:
        rows.append(row(f"window of {name}", step.window_offset, step.window_shape))
    return rows


def prototypes(model: IntegerModel, plan: Plan) -> str:
    """Declarations of the layers for ``slewguard.h``."""
    listed = ["\n".join([*prototype(step)[:-1], prototype(step)[-1] + ";"]) for step in plan.steps]
    return _PROTOTYPES.substitute(planes_shape=dimensions(model.input_shape), prototypes="\n\n".join(listed))


def source(model: IntegerModel, plan: Plan) -> str:
    """Text of ``slewguard_network.c``."""
    count = len(plan.steps)
    return _SOURCE.substitute(
        title=title(model),
        helpers=helpers(plan.steps),
        functions="\n\n".join("\n".join(function(step, count)) for step in plan.steps),
        scratch_bytes=plan.scratch_bytes,
        memory="\n".join(line for step in plan.steps for line in _memory(step)),
        declarations="\n".join(indent(declarations(plan))),
        calls="\n".join(indent(calls(plan))),
        last=plan.steps[-1].layer.name,
    )
