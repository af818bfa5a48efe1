"""``slewguard_golden.h`` and ``.c``, ``slewguard_selftest.c`` and ``main_selftest.c``: the code examines itself."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from string import Template

import numpy as np
from numpy.typing import NDArray

from slewguard.embedded.ctext import indent, table_rows
from slewguard.embedded.golden import Golden
from slewguard.embedded.halved import halve
from slewguard.embedded.network import calls, declarations
from slewguard.embedded.plan import Plan
from slewguard.embedded.weights import RULE_FIELDS, title
from slewguard.export.model import IntegerModel

_GOLDEN_HEADER = Template("""\
/* $title
 *
 * Sub-images with known answers, for slewguard_selftest().
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

#define SLEWGUARD_GOLDEN_DECISIONS $decisions

/* Arguments of slewguard_decide on the edges of the rule, and the right answers. */
typedef struct {
    int32_t valid;
    int32_t trigger;
    int32_t saturated;
    int32_t damaged;
    int8_t score;
    uint8_t verdict;
    uint8_t reason;
} slewguard_decision_t;

extern const slewguard_decision_t slewguard_golden_decisions[SLEWGUARD_GOLDEN_DECISIONS];

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

/* valid, trigger, saturated, damaged, score; verdict, reason */
const slewguard_decision_t slewguard_golden_decisions[SLEWGUARD_GOLDEN_DECISIONS] = {
$decisions
};
""")

_SELFTEST = Template("""\
/* $title
 *
 * The self-test: CRC of the tables, then every layer and the verdict on the golden vectors, then the rule
 * on its edges.
 */
#include "slewguard.h"
#include "slewguard_golden.h"
#include "slewguard_weights.h"

/* CRC-32 (IEEE 802.3, reflected polynomial 0xedb88320), bit by bit: no table to be corrupted. */
static uint32_t crc_bytes(uint32_t crc, const uint8_t bytes[], uint32_t count)
{
    crc = ~crc;
    for (uint32_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (uint32_t bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1u)));
        }
    }
    return ~crc;
}

/* The same over integers as big-endian bytes, whatever the byte order of the machine. */
static uint32_t crc_integers(uint32_t crc, const int32_t values[], uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t value = (uint32_t)values[i];
        const uint8_t bytes[4] = {
            (uint8_t)(value >> 24),
            (uint8_t)((value >> 16) & 255u),
            (uint8_t)((value >> 8) & 255u),
            (uint8_t)(value & 255u)
        };
        crc = crc_bytes(crc, bytes, 4u);
    }
    return crc;
}

uint32_t slewguard_tables_crc(void)
{
    uint32_t crc = 0;
$rule
$tables
    return crc;
}

/* 0, or the number of the first layer, from 1, whose output is wrong. */
static uint32_t wrong_layer(const int8_t planes[], const uint32_t layer_crc[], uint8_t scratch[])
{
    uint32_t wrong = 0;
$declarations

$steps

    return wrong;
}

uint32_t slewguard_selftest(uint8_t scratch[SLEWGUARD_SCRATCH_BYTES])
{
    if (slewguard_tables_crc() != slewguard_model.tables_crc) {
        return 1;
    }
    for (uint32_t i = 0; i < SLEWGUARD_GOLDEN_VECTORS; i++) {
        const slewguard_golden_t *const golden = &slewguard_golden[i];
        const uint32_t wrong = wrong_layer(golden->planes, golden->layer_crc, scratch);
        int8_t score = 0;
        uint8_t reason = 0;
        uint8_t verdict = 0;

        if (wrong != 0) {
            return 1 + wrong;
        }
        verdict = slewguard_judge(golden->planes, scratch, &score, &reason);
        if (score != golden->score || verdict != golden->verdict || reason != golden->reason) {
            return SLEWGUARD_LAYERS + 2;
        }
    }
    for (uint32_t i = 0; i < SLEWGUARD_GOLDEN_DECISIONS; i++) {
        const slewguard_decision_t *const d = &slewguard_golden_decisions[i];
        uint8_t reason = 0;
        const uint8_t verdict =
            slewguard_decide(d->score, d->valid, d->trigger, d->saturated, d->damaged, &reason);

        if (verdict != d->verdict || reason != d->reason) {
            return SLEWGUARD_LAYERS + 3;
        }
    }
    return 0;
}
""")

_MAIN = Template("""\
/* $title
 *
 * Runs the self-test on a host: exit status 0 if it passed, else 1.
 */
#include <stdio.h>

#include "slewguard.h"

/* The union aligns the bytes. */
static union {
    uint32_t alignment;
    uint8_t bytes[SLEWGUARD_SCRATCH_BYTES];
} scratch;

int main(void)
{
    const uint32_t fault = slewguard_selftest(scratch.bytes);

    if (fault != 0) {
        printf("slewguard %.12s: self-test failed at check %lu\\n", slewguard_model.sha256, (unsigned long)fault);
        return 1;
    }
    printf("slewguard %.12s: self-test passed\\n", slewguard_model.sha256);
    return 0;
}
""")


def golden_header(model: IntegerModel, golden: Sequence[Golden], decisions: NDArray[np.int32]) -> str:
    """Text of ``slewguard_golden.h``."""
    return _GOLDEN_HEADER.substitute(title=title(model), count=len(golden), decisions=len(decisions))


def golden_source(model: IntegerModel, golden: Sequence[Golden], decisions: NDArray[np.int32]) -> str:
    """Text of ``slewguard_golden.c``."""
    vectors = []
    for vector in golden:
        crc = table_rows([f"0x{value:08x}u" for value in vector.layer_crc])
        planes = table_rows([str(value) for value in vector.planes.ravel().tolist()])
        answer = f"{vector.score}, {vector.verdict}, {vector.reason}, /* score, verdict, reason */"
        body = ["{", *indent(crc), "},", answer, "{", *indent(planes), "}"]
        vectors.append("\n".join(["    {", *indent(body, 2), "    }"]))
    rows = []
    for score, *circumstances, verdict, reason in decisions.tolist():
        rows.append(f"    {{{', '.join(f'{value:5}' for value in (*circumstances, score))}, {verdict}, {reason}}}")
    return _GOLDEN_SOURCE.substitute(title=title(model), vectors=",\n".join(vectors), decisions=",\n".join(rows))


def selftest_source(model: IntegerModel, plan: Plan) -> str:
    """Text of ``slewguard_selftest.c``."""
    rule = [f"const int32_t rule[{len(RULE_FIELDS)}] = {{"]
    rule += indent([f"slewguard_rule.{name}," for name in RULE_FIELDS])
    rule += ["};", f"crc = crc_integers(crc, rule, {len(RULE_FIELDS)}u);"]
    tables = []
    for layer in model.layers:
        name, out = layer.name, len(layer.bias)
        tables += [
            f"crc = crc_bytes(crc, (const uint8_t *)slewguard_weights_{name}, {halve(layer).weights.size}u);",
            f"crc = crc_integers(crc, slewguard_bias_{name}, {out}u);",
            f"crc = crc_bytes(crc, slewguard_shift_{name}, {out}u);",
        ]
    steps = []
    for step, call in zip(plan.steps, calls(plan), strict=True):
        output = f"(const uint8_t *)out_{step.layer.name}"
        steps += [
            call,
            f"if (wrong == 0 && crc_bytes(0, {output}, {prod(step.out_shape)}u) != layer_crc[{step.number}]) {{",
            f"    wrong = {step.number + 1};",
            "}",
        ]
    return _SELFTEST.substitute(
        title=title(model),
        rule="\n".join(indent(rule)),
        tables="\n".join(indent(tables)),
        declarations="\n".join(indent(declarations(plan))),
        steps="\n".join(indent(steps)),
    )


def main_source(model: IntegerModel) -> str:
    """Text of ``main_selftest.c``."""
    return _MAIN.substitute(title=title(model))
