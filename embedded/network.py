"""``slewguard.h`` and ``slewguard.c``: the network and the verdict."""

from __future__ import annotations

from math import prod
from string import Template

from slewguard.embedded.ctext import comment, dimensions, indent, pointer
from slewguard.embedded.layers import function, prototype
from slewguard.embedded.plan import Plan, Step
from slewguard.embedded.requantise import helpers
from slewguard.embedded.weights import title
from slewguard.export.model import IntegerModel
from slewguard.export.planes import Q_MAX
from slewguard.subimages.contract import CENTRE, REASONS, SIDE
from slewguard.subimages.verdict import Verdict

_HEADER = Template("""\
/* $title
 *
 * Tells true from false alerts of a gamma-ray-burst trigger. C99, integers only, nothing but stdint.h: no
 * heap, no recursion, no writable data of its own, no 64-bit arithmetic. Re-entrant: calls may overlap as
 * long as each has a scratch of its own.
 */
#ifndef SLEWGUARD_H
#define SLEWGUARD_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The caller's planes, int8 [3][56][56]: SNR quantised to -127..127, no data, known sources. */
#define SLEWGUARD_PLANES_BYTES $planes_bytes

/* Working memory that the caller lends for one call, aligned to 4 bytes. Its content before and after the
 * call means nothing. */
#define SLEWGUARD_SCRATCH_BYTES $scratch_bytes

#define SLEWGUARD_LAYERS $layers

/* Verdicts. Abstain is zero, so that cleared memory leaves the onboard decision standing. */
enum {
$verdicts
};

/* Why the verdict is what it is; 0 where the score decided. */
enum {
$reasons
};

/* What this code was generated from. */
typedef struct {
    char name[$name_bytes]; /* UTF-8, ends with 0 */
    char sha256[65]; /* of the integer model, ends with 0 */
    uint32_t layers;
    uint32_t macs; /* multiply-accumulates of one call, the zero border counted */
    uint32_t scratch_bytes;
    uint32_t tables_crc; /* CRC-32 of the rule and the tables */
} slewguard_model_t;

extern const slewguard_model_t slewguard_model;

/* Thresholds of the score and sanity limits of the planes. */
typedef struct {
    int32_t t_veto;        /* veto if score < t_veto */
    int32_t t_confirm;     /* confirm if score > t_confirm */
    int32_t min_valid;     /* fewest pixels with data */
    int32_t min_trigger;   /* least SNR of the pixel that triggered, quantised */
    int32_t max_saturated; /* most pixels at -127 or 127 */
} slewguard_rule_t;

extern const slewguard_rule_t slewguard_rule;

/* Score of a sub-image, -128..127; higher is more like a true source. */
int8_t slewguard_score(const int8_t planes[SLEWGUARD_PLANES_BYTES], uint8_t scratch[SLEWGUARD_SCRATCH_BYTES]);

/* Verdict on a sub-image made by the model's rule for planes: SNR -127..127, the two others 0 or the model's
 * level, row 0 and column 0 marked as no data. That is not checked, but for -128. Planes, scratch, score and
 * reason are four objects that do not overlap. SLEWGUARD_VETO is returned only if every check allows it;
 * score and reason are always written. A plane value of -128, which no sub-image gives, is
 * SLEWGUARD_BAD_VALUE. */
uint8_t slewguard_judge(
    const int8_t planes[SLEWGUARD_PLANES_BYTES],
    uint8_t scratch[SLEWGUARD_SCRATCH_BYTES],
    int8_t *score,
    uint8_t *reason);

/* The rule's comparisons, on what slewguard_judge counts in the planes: verdict, and reason, which is always
 * written. valid: pixels with data; trigger: SNR of the pixel that triggered, quantised; saturated: pixels
 * at -127 or 127; damaged: plane values of -128. */
uint8_t slewguard_decide(
    int8_t score,
    int32_t valid,
    int32_t trigger,
    int32_t saturated,
    int32_t damaged,
    uint8_t *reason);

/* CRC-32 (IEEE 802.3) of the rule and the tables as they are in memory now, integers as big-endian bytes.
 * Equal to slewguard_model.tables_crc unless something has changed them. In slewguard_selftest.c. */
uint32_t slewguard_tables_crc(void);

/* 0 if the tables have their CRC and the built-in sub-images give the right bytes at every layer, the
 * right score, verdict and reason; else the number of the first check that failed:
 *   1                         CRC of the tables
 *   2 .. SLEWGUARD_LAYERS + 1 output of a layer, in their order
 *   SLEWGUARD_LAYERS + 2      score, verdict or reason of a sub-image
 *   SLEWGUARD_LAYERS + 3      slewguard_decide on the edges of the rule
 * In slewguard_selftest.c. */
uint32_t slewguard_selftest(uint8_t scratch[SLEWGUARD_SCRATCH_BYTES]);

/* The layers, for whoever compares or times them one by one. A window is working memory. The first takes the
 * planes as ((const slewguard_planes_t *)planes)->plane. */

typedef struct {
    int8_t plane$planes_shape;
} slewguard_planes_t;

$prototypes

#ifdef __cplusplus
}
#endif

#endif
""")

_SOURCE = Template("""\
/* $title
 *
 * Every layer is one function with literal bounds; arrays are [channel][row][column]. Nothing branches on
 * data, so that a call takes the same path whatever the sub-image shows. As written, calls are at most five
 * deep: slewguard_judge, slewguard_score, a layer, its requantisation, a clamp.
 */
#include "slewguard.h"
#include "slewguard_weights.h"

$helpers
$functions

/*
 * Scratch memory, $scratch_bytes bytes:
 *
$memory
 */
int8_t slewguard_score(const int8_t planes[SLEWGUARD_PLANES_BYTES], uint8_t scratch[SLEWGUARD_SCRATCH_BYTES])
{
$declarations

$calls

    return out_$last[0][0][0];
}

uint8_t slewguard_decide(
    int8_t score,
    int32_t valid,
    int32_t trigger,
    int32_t saturated,
    int32_t damaged,
    uint8_t *reason)
{
    const int32_t bad = (damaged > 0);
    const int32_t outside = (valid < slewguard_rule.min_valid)
                          | (trigger < slewguard_rule.min_trigger)
                          | (saturated > slewguard_rule.max_saturated);
    const int32_t decided = (1 - bad) * (1 - outside);
    const int32_t confirm = (score > slewguard_rule.t_confirm);
    const int32_t veto = (1 - confirm) * (score < slewguard_rule.t_veto);

    *reason = (uint8_t)(bad * SLEWGUARD_BAD_VALUE + (1 - bad) * outside * SLEWGUARD_OUTSIDE_LIMITS);
    return (uint8_t)(decided * (veto * SLEWGUARD_VETO + confirm * SLEWGUARD_CONFIRM));
}

uint8_t slewguard_judge(
    const int8_t planes[SLEWGUARD_PLANES_BYTES],
    uint8_t scratch[SLEWGUARD_SCRATCH_BYTES],
    int8_t *score,
    uint8_t *reason)
{
    const int8_t *const snr = planes;
    const int8_t *const no_data = planes + $pixels;
    int32_t valid = 0;
    int32_t saturated = 0;
    int32_t damaged = 0;

    for (int32_t pixel = 0; pixel < $pixels; pixel++) {
        valid += (no_data[pixel] == 0);
        saturated += (snr[pixel] == -$q_max) + (snr[pixel] == $q_max);
    }
    for (int32_t i = 0; i < SLEWGUARD_PLANES_BYTES; i++) {
        damaged += (planes[i] < -$q_max);
    }

    /* Row $centre, column $centre is the pixel that triggered. */
    const int32_t trigger = snr[$centre * $side + $centre];

    *score = slewguard_score(planes, scratch);
    return slewguard_decide(*score, valid, trigger, saturated, damaged, reason);
}
""")


def _enum(names: list[tuple[str, int]]) -> str:
    return ",\n".join(f"    SLEWGUARD_{name.upper()} = {value}" for name, value in names)


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
                lines.append(f"{target} = ({cast})(scratch + {offset});")
    return lines


def as_planes(address: str) -> str:
    """The caller's bytes as an array of constant planes, without a cast that could lose the const."""
    return f"((const slewguard_planes_t *){address})->plane"


def calls(plan: Plan) -> list[str]:
    """One call for each layer, in order."""
    lines = []
    given = as_planes("planes")
    for step in plan.steps:
        name = step.layer.name
        arguments = [given, f"out_{name}", *([f"window_{name}"] if step.window_shape else [])]
        lines.append(f"slewguard_layer_{name}({', '.join(arguments)});")
        # Each layer reads what the one before has written, of the same dtype and shape.
        given = f"({pointer(step.layer.dtype, step.out_shape, const=True)})out_{name}"
    return lines


def _memory(step: Step) -> list[str]:
    def row(what: str, offset: int, shape: tuple[int, ...]) -> str:
        return f" *   {offset:6} .. {offset + prod(shape) - 1:6}  {what}"

    name = comment(step.layer.name)
    rows = [row(f"output of {name}", step.out_offset, step.out_shape)]
    if step.window_shape:
        rows.append(row(f"window of {name}", step.window_offset, step.window_shape))
    return rows


def header(model: IntegerModel, plan: Plan) -> str:
    """Text of ``slewguard.h``."""
    prototypes = ["\n".join([*prototype(step)[:-1], prototype(step)[-1] + ";"]) for step in plan.steps]
    return _HEADER.substitute(
        title=title(model),
        planes_bytes=f"({' * '.join(map(str, model.input_shape))})",
        planes_shape=dimensions(model.input_shape),
        scratch_bytes=plan.scratch_bytes,
        layers=len(plan.steps),
        verdicts=_enum([(verdict.name, int(verdict)) for verdict in Verdict]),
        reasons=_enum([(reason, i) for i, reason in enumerate(REASONS)]),
        name_bytes=len(model.name.encode()) + 1,
        prototypes="\n\n".join(prototypes),
    )


def source(model: IntegerModel, plan: Plan) -> str:
    """Text of ``slewguard.c``."""
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
        pixels=f"{SIDE} * {SIDE}",
        side=SIDE,
        centre=CENTRE,
        q_max=Q_MAX,
    )
