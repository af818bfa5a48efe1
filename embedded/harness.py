"""A C file of the host only: many sub-images in one call, so that Python need not call for each.

It is compiled beside the network and ships nowhere.
"""

from __future__ import annotations

from math import prod
from string import Template

from slewguard.embedded.ctext import indent, pointer
from slewguard.embedded.network import as_planes, declarations
from slewguard.embedded.plan import Plan

_HARNESS = Template("""\
#include <stddef.h>

#include "slewguard.h"

/* Every layer of every sub-image; outputs[k] is [count][channels][rows][columns] of layer k. */
void slewguard_harness_layers(const int8_t planes[], size_t count, uint8_t scratch[], uint8_t *const outputs[])
{
$windows

    for (size_t i = 0; i < count; i++) {
$steps
    }
}

void slewguard_harness_judge(
    const int8_t planes[], size_t count, uint8_t scratch[], int8_t score[], uint8_t verdict[], uint8_t reason[])
{
    for (size_t i = 0; i < count; i++) {
        verdict[i] = slewguard_judge(planes + i * SLEWGUARD_PLANES_BYTES, scratch, &score[i], &reason[i]);
    }
}
""")


def harness_source(plan: Plan) -> str:
    """Text of the harness for the layers of one model."""
    windows = [line for line in declarations(plan) if "(*const window_" in line]
    steps = []
    given = as_planes(f"(planes + i * {prod(plan.steps[0].in_shape)})")
    for step in plan.steps:
        target = f"outputs[{step.number}] + i * {prod(step.out_shape)}"
        arguments = [
            given,
            f"({pointer(step.layer.dtype, step.out_shape)})({target})",
            *([f"window_{step.layer.name}"] if step.window_shape else []),
        ]
        steps.append(f"slewguard_layer_{step.layer.name}({', '.join(arguments)});")
        given = f"({pointer(step.layer.dtype, step.out_shape, const=True)})({target})"
    return _HARNESS.substitute(
        windows="\n".join(indent(windows)) or "    (void)scratch;",
        steps="\n".join(indent(steps, 2)),
    )
