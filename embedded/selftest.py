"""``slewguard_golden.h`` and ``.c``, ``slewguard_selftest.c`` and ``main_selftest.c``: the code examines itself."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from string import Template

import numpy as np
from numpy.typing import NDArray

from slewguard.embedded import plain
from slewguard.embedded.api import title
from slewguard.embedded.ctext import indent, table_rows
from slewguard.embedded.golden import Golden
from slewguard.embedded.plan import Plan
from slewguard.export.familiar import Features
from slewguard.export.model import IntegerModel

_GOLDEN_HEADER = Template("""\
/* $title
 *
 * Sub-images and decisions with known answers, for slewguard_selftest().
 */
#ifndef SLEWGUARD_GOLDEN_H
#define SLEWGUARD_GOLDEN_H

#include "slewguard.h"

#define SLEWGUARD_GOLDEN_VECTORS $count

typedef struct {
    uint32_t layer_crc[SLEWGUARD_LAYERS]; /* CRC-32 (IEEE 802.3) of the output bytes of each layer */
    int8_t score;
    uint8_t verdict;
    uint8_t reason;
    int8_t planes[SLEWGUARD_PLANES_BYTES];
} slewguard_golden_t;

extern const slewguard_golden_t slewguard_golden[SLEWGUARD_GOLDEN_VECTORS];

#define SLEWGUARD_GOLDEN_REASONS $reasons
#define SLEWGUARD_GOLDEN_LOOKS $looks

/* Features on the edges of the rule, and the right reasons. */
typedef struct {
    slewguard_features_t features;
    uint8_t reason;
} slewguard_golden_reason_t;

/* A state, a look, the right verdict and the right state after it. */
typedef struct {
    slewguard_sequence_t before;
    int8_t score;
    uint8_t reason;
    uint8_t verdict;
    slewguard_sequence_t after;
} slewguard_golden_look_t;

extern const slewguard_golden_reason_t slewguard_golden_reasons[SLEWGUARD_GOLDEN_REASONS];
extern const slewguard_golden_look_t slewguard_golden_looks[SLEWGUARD_GOLDEN_LOOKS];

#endif
""")

_GOLDEN_SOURCE = Template("""\
/* $title
 *
 * Expected values by the numpy executor and the verdict rule in Python, which are the specification.
 */
#include "slewguard_golden.h"

const slewguard_golden_t slewguard_golden[SLEWGUARD_GOLDEN_VECTORS] = {
$vectors
};

/* $features; reason */
const slewguard_golden_reason_t slewguard_golden_reasons[SLEWGUARD_GOLDEN_REASONS] = {
$reasons
};

/* looks, maximum before; score, reason; verdict; looks, maximum after */
const slewguard_golden_look_t slewguard_golden_looks[SLEWGUARD_GOLDEN_LOOKS] = {
$looks
};
""")

_SELFTEST = Template("""\
/* $title
 *
 * The self-test: the weights, then the network and the verdict on the golden vectors, then the rule on its edges.
 */
#include "slewguard.h"
#include "slewguard_golden.h"

$layers
/* 0, or the number of the first check that failed on a golden vector. */
static uint32_t wrong_vector(
    const slewguard_weights_t *weights,
    const slewguard_golden_t *golden,
    uint32_t scratch[])
{
    slewguard_sequence_t sequence;
    slewguard_answer_t answer;
    uint32_t wrong = $wrong_layer;

    if (wrong == 0u) {
        slewguard_begin(&sequence);
        (void)slewguard_judge(weights, golden->planes, scratch, &sequence, &answer);
        if (answer.score != golden->score || answer.verdict != golden->verdict
            || answer.reason != golden->reason) {
            wrong = ${verdict_check}u;
        }
    }
    return wrong;
}

uint32_t slewguard_selftest(const slewguard_weights_t *weights, uint32_t scratch[SLEWGUARD_SCRATCH_WORDS])
{
    uint32_t wrong = (slewguard_weights_intact(weights) != 0u) ? 0u : 1u;

    for (uint32_t i = 0; i < SLEWGUARD_GOLDEN_VECTORS && wrong == 0u; i++) {
        wrong = wrong_vector(weights, &slewguard_golden[i], scratch);
    }
    for (uint32_t i = 0; i < SLEWGUARD_GOLDEN_REASONS && wrong == 0u; i++) {
        const slewguard_golden_reason_t *const golden = &slewguard_golden_reasons[i];

        if (slewguard_reason(weights, &golden->features) != golden->reason) {
            wrong = ${reason_check}u;
        }
    }
    for (uint32_t i = 0; i < SLEWGUARD_GOLDEN_LOOKS && wrong == 0u; i++) {
        const slewguard_golden_look_t *const look = &slewguard_golden_looks[i];
        slewguard_sequence_t state = look->before;
        const uint8_t verdict = slewguard_decide(weights, &state, look->score, look->reason);

        if (verdict != look->verdict || state.looks != look->after.looks
            || state.maximum != look->after.maximum) {
            wrong = ${decision_check}u;
        }
    }
    return wrong;
}
""")

_LAYERS = Template("""\
/* CRC-32 (IEEE 802.3) of a layer's output. */
static uint32_t crc_bytes(const uint8_t bytes[], uint32_t count)
{
    uint32_t crc = 0xffffffffu;

    for (uint32_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (uint32_t bit = 0; bit < 8u; bit++) {
            crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1u)));
        }
    }
    return ~crc;
}

/* 0, or the number of the check of the first layer whose output is wrong. */
static uint32_t wrong_layer(
    const slewguard_weights_t *weights,
    const int8_t planes[],
    const uint32_t layer_crc[],
    uint32_t scratch[])
{
    uint32_t wrong = 0;
$declarations

$steps

    return wrong;
}
""")

_MAIN = Template("""\
/* $title
 *
 * Runs the self-test on a host: exit status 0 if it passed, else 1.
 */
#include <stdio.h>

#include "slewguard.h"

static uint32_t scratch[SLEWGUARD_SCRATCH_WORDS];

int main(void)
{
    const uint32_t fault = slewguard_selftest(&slewguard_weights, scratch);

    if (fault != 0u) {
        printf("slewguard %.12s: self-test failed at check %lu\\n", slewguard_model.sha256, (unsigned long)fault);
        return 1;
    }
    printf("slewguard %.12s: self-test passed\\n", slewguard_model.sha256);
    return 0;
}
""")

Rows = NDArray[np.int64]


def checks(model: IntegerModel, *, layers: bool) -> list[str]:
    """What the self-test examines behind the weights, in the order of its numbers.

    Parameters
    ----------
    model : IntegerModel
    layers : bool
        Whether each layer is examined by itself.
    """
    each = [f"output of {layer.name}" for layer in model.layers] if layers else []
    return [*each, "score, verdict or reason of a sub-image", "reasons on the edges of the rule", "verdicts of looks"]


def golden_header(model: IntegerModel, golden: Sequence[Golden], reasons: Rows, looks: Rows) -> str:
    """Text of ``slewguard_golden.h``."""
    return _GOLDEN_HEADER.substitute(title=title(model), count=len(golden), reasons=len(reasons), looks=len(looks))


def golden_source(model: IntegerModel, golden: Sequence[Golden], reasons: Rows, looks: Rows) -> str:
    """Text of ``slewguard_golden.c``."""
    vectors = []
    for vector in golden:
        crc = table_rows([f"0x{value:08x}u" for value in vector.layer_crc])
        planes = table_rows([str(value) for value in vector.planes.ravel().tolist()])
        answer = f"{vector.score}, {vector.verdict}, {vector.reason}, /* score, verdict, reason */"
        body = ["{", *indent(crc), "},", answer, "{", *indent(planes), "}"]
        vectors.append("\n".join(["    {", *indent(body, 2), "    }"]))
    return _GOLDEN_SOURCE.substitute(
        title=title(model),
        vectors=",\n".join(vectors),
        features=", ".join(Features._fields),
        reasons=",\n".join(f"    {{{{{', '.join(map(str, row[:-1]))}}}, {row[-1]}}}" for row in reasons.tolist()),
        looks=",\n".join(
            f"    {{{{{a}, {b}}}, {score}, {reason}, {verdict}, {{{c}, {d}}}}}"
            for a, b, score, reason, verdict, c, d in looks.tolist()
        ),
    )


def selftest_source(model: IntegerModel, plan: Plan | None) -> str:
    """Text of ``slewguard_selftest.c``.

    Parameters
    ----------
    model : IntegerModel
    plan : Plan or None
        Of the plain style, whose layers are examined one by one; None for the fast style.
    """
    layers, number = "", 2
    if plan:
        steps = []
        for step, call in zip(plan.steps, plain.calls(plan), strict=True):
            output = f"(const uint8_t *)out_{step.layer.name}"
            crc = f"crc_bytes({output}, {prod(step.out_shape)}u)"
            steps += [
                call,
                f"if (wrong == 0u && {crc} != layer_crc[{step.number}]) {{",
                f"    wrong = {step.number + 2}u;",
                "}",
            ]
        declared = "\n".join(indent(plain.declarations(plan)))
        layers = _LAYERS.substitute(declarations=declared, steps="\n".join(indent(steps)))
        number += len(plan.steps)
    wrong = "wrong_layer(weights, golden->planes, golden->layer_crc, scratch)" if plan else "0"
    return _SELFTEST.substitute(
        title=title(model),
        layers=layers,
        wrong_layer=wrong,
        verdict_check=number,
        reason_check=number + 1,
        decision_check=number + 2,
    )


def main_source(model: IntegerModel) -> str:
    """Text of ``main_selftest.c``."""
    return _MAIN.substitute(title=title(model))
