"""``slewguard_planes.c`` and ``slewguard_float.c``: from SNR and mask to planes, as in :mod:`slewguard.export.planes`.

The fixed-point form is exact: with at least ten fraction bits behind the quantisation every sum is an integer. The
float form does what numpy does, one IEEE single operation a statement: a product by a power of two, a clamp, a sum.
"""

from __future__ import annotations

from string import Template

from slewguard.embedded.api import SNR_FRACTION, title
from slewguard.export.model import IntegerModel
from slewguard.export.planes import Q_MAX
from slewguard.subimages.contract import CENTRE, KNOWN_SOURCE, NO_DATA, SIDE, TRIGGER_PIXEL

SCRATCH_BYTES = 2 * SIDE * SIDE
"""A queue of pixels, two bytes each."""

_SOURCE = Template("""\
/* $title
 *
 * Planes from fixed-point SNR and mask codes. Unlike the network this part branches on what the mask shows:
 * each known-source mark is visited once, wherever it lies.
 */
#include "slewguard.h"

/* No loop becomes a call of a library. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize ("no-tree-loop-distribute-patterns")
#endif

#define HALF_PATCH $half_patch
#define FRACTION ${fraction}u /* bits behind one unit of the SNR plane */
#define LIMIT ($q_max << FRACTION)

/* Draws the square about a source. */
static void draw(int8_t known[], int32_t row, int32_t column)
{
    const int32_t top = (row > HALF_PATCH) ? row - HALF_PATCH : 0;
    const int32_t left = (column > HALF_PATCH) ? column - HALF_PATCH : 0;

    for (int32_t y = top; y <= row + HALF_PATCH && y < SLEWGUARD_SIDE; y++) {
        for (int32_t x = left; x <= column + HALF_PATCH && x < SLEWGUARD_SIDE; x++) {
            known[y * SLEWGUARD_SIDE + x] = SLEWGUARD_LEVEL;
        }
    }
}

/* Puts a pixel at the end of the queue if it is a mark that was not seen; the new length. */
static int32_t visit(int8_t unseen[], uint8_t queue[], int32_t length, int32_t row, int32_t column)
{
    int32_t grown = length;

    if (row >= 0 && row < SLEWGUARD_SIDE && column >= 0 && column < SLEWGUARD_SIDE
        && unseen[row * SLEWGUARD_SIDE + column] != 0) {
        unseen[row * SLEWGUARD_SIDE + column] = 0;
        queue[2 * length] = (uint8_t)row;
        queue[2 * length + 1] = (uint8_t)column;
        grown = length + 1;
    }
    return grown;
}

/* sum / n, half up; the quotient is less than $side. */
static int32_t rounded_mean(int32_t sum, int32_t n)
{
    int32_t rest = 2 * sum + n;
    int32_t mean = 0;

    while (rest >= 2 * n) {
        rest -= 2 * n;
        mean++;
    }
    return mean;
}

/* Reduces the connected marks about a pixel to one position and draws it; 1 if it lies at the trigger. */
static uint32_t draw_source(int8_t unseen[], int8_t known[], uint8_t queue[], int32_t row, int32_t column)
{
    int32_t length = visit(unseen, queue, 0, row, column);
    int32_t rows = 0;
    int32_t columns = 0;

    for (int32_t i = 0; i < length; i++) {
        const int32_t y = queue[2 * i];
        const int32_t x = queue[2 * i + 1];

        rows += y;
        columns += x;
        for (int32_t dy = -1; dy <= 1; dy++) {
            for (int32_t dx = -1; dx <= 1; dx++) {
                length = visit(unseen, queue, length, y + dy, x + dx);
            }
        }
    }
    rows = rounded_mean(rows, length);
    columns = rounded_mean(columns, length);
    draw(known, rows, columns);
    return (rows >= $centre - HALF_PATCH && rows <= $centre + HALF_PATCH
            && columns >= $centre - HALF_PATCH && columns <= $centre + HALF_PATCH) ? 1u : 0u;
}

uint8_t slewguard_finish_planes(
    const uint8_t mask[SLEWGUARD_PIXELS],
    int32_t catalogue_id,
    uint32_t data,
    uint32_t bad,
    int8_t planes[SLEWGUARD_PLANES_BYTES],
    uint32_t scratch[SLEWGUARD_SCRATCH_WORDS])
{
    int8_t *const snr = planes;
    int8_t *const no_data = planes + SLEWGUARD_PIXELS;
    int8_t *const known = planes + 2 * SLEWGUARD_PIXELS;
    uint32_t triggers = 0;
    uint32_t near = 0;
    uint32_t beyond = bad;
    uint8_t reason = SLEWGUARD_OK;

    /* Until the sources are drawn the second plane says which marks were not seen yet. */
    for (int32_t i = 0; i < SLEWGUARD_PIXELS; i++) {
        triggers += (mask[i] == ${trigger}u) ? 1u : 0u;
        beyond |= (mask[i] > ${trigger}u) ? 1u : 0u;
        no_data[i] = (mask[i] == ${known}u) ? 1 : 0;
        known[i] = 0;
    }
    for (int32_t row = 0; row < SLEWGUARD_SIDE; row++) {
        for (int32_t column = 0; column < SLEWGUARD_SIDE; column++) {
            if (no_data[row * SLEWGUARD_SIDE + column] != 0) {
                near |= draw_source(no_data, known, (uint8_t *)scratch, row, column);
            }
        }
    }
    if (catalogue_id >= 0 && near == 0u) {
        draw(known, $centre, $centre);
    }
    for (int32_t i = 0; i < SLEWGUARD_PIXELS; i++) {
        no_data[i] = (mask[i] == ${missing}u) ? SLEWGUARD_LEVEL : 0;
    }
    /* Row 0 and column 0 are never data. */
    for (int32_t i = 0; i < SLEWGUARD_SIDE; i++) {
        snr[i] = 0;
        snr[i * SLEWGUARD_SIDE] = 0;
        known[i] = 0;
        known[i * SLEWGUARD_SIDE] = 0;
        no_data[i] = SLEWGUARD_LEVEL;
        no_data[i * SLEWGUARD_SIDE] = SLEWGUARD_LEVEL;
    }

    if (data == 0u) {
        reason = SLEWGUARD_EMPTY;
    } else if (triggers == 0u) {
        reason = SLEWGUARD_NO_TRIGGER_PIXEL;
    } else if (triggers > 1u || mask[$centre * SLEWGUARD_SIDE + $centre] != ${trigger}u) {
        reason = SLEWGUARD_OFF_CENTRE;
    } else if (beyond != 0u) {
        reason = SLEWGUARD_BAD_VALUE;
    } else {
        reason = SLEWGUARD_OK;
    }
    return reason;
}

/* floor(value + 1/2) of fixed point, clamped; shifts only what is not negative. */
static int8_t quantise(int32_t value)
{
    const int32_t above = (value > LIMIT) ? LIMIT : value;
    const int32_t inside = (above < -LIMIT) ? -LIMIT : above;
    const uint32_t shifted = (uint32_t)(inside + LIMIT + (1 << (FRACTION - 1u))) >> FRACTION;

    return (int8_t)((int32_t)shifted - $q_max);
}

uint8_t slewguard_make_planes(
    const int32_t snr[SLEWGUARD_PIXELS],
    const uint8_t mask[SLEWGUARD_PIXELS],
    int32_t catalogue_id,
    int8_t planes[SLEWGUARD_PLANES_BYTES],
    uint32_t scratch[SLEWGUARD_SCRATCH_WORDS])
{
    uint32_t data = 0;
    uint32_t bad = 0;

    for (int32_t i = 0; i < SLEWGUARD_PIXELS; i++) {
        const uint32_t there = (snr[i] == SLEWGUARD_SNR_MISSING) ? 0u : 1u;

        planes[i] = (there != 0u) ? quantise(snr[i]) : 0;
        data |= there;
        bad |= ((mask[i] != ${missing}u) != (there != 0u)) ? 1u : 0u;
    }
    return slewguard_finish_planes(mask, catalogue_id, data, bad, planes, scratch);
}

uint8_t slewguard_judge_alert(
    const slewguard_weights_t *weights,
    const int32_t snr[SLEWGUARD_PIXELS],
    const uint8_t mask[SLEWGUARD_PIXELS],
    int32_t catalogue_id,
    int8_t planes[SLEWGUARD_PLANES_BYTES],
    uint32_t scratch[SLEWGUARD_SCRATCH_WORDS],
    slewguard_sequence_t *sequence,
    slewguard_answer_t *answer)
{
    const uint8_t reason = slewguard_make_planes(snr, mask, catalogue_id, planes, scratch);

    answer->verdict = SLEWGUARD_ABSTAIN;
    answer->reason = reason;
    answer->score = 0;
    if (reason == SLEWGUARD_OK) {
        (void)slewguard_judge(weights, planes, scratch, sequence, answer);
    }
    return answer->verdict;
}
""")

_FLOAT_HEADER = Template("""\
/* $title
 *
 * Planes from IEEE 754 single-precision SNR, for whoever has floats; the rest of slewguard has none.
 */
#ifndef SLEWGUARD_FLOAT_H
#define SLEWGUARD_FLOAT_H

#include "slewguard.h"

#ifdef __cplusplus
extern "C" {
#endif

/* As slewguard_make_planes, from SNR in sigma, NaN where there is no data. */
uint8_t slewguard_make_planes_float(
    const float snr[SLEWGUARD_PIXELS],
    const uint8_t mask[SLEWGUARD_PIXELS],
    int32_t catalogue_id,
    int8_t planes[SLEWGUARD_PLANES_BYTES],
    uint32_t scratch[SLEWGUARD_SCRATCH_WORDS]);

#ifdef __cplusplus
}
#endif

#endif
""")

_FLOAT = Template("""\
/* $title
 *
 * Each statement is one operation of IEEE 754 single precision, in the order of the specification: compile
 * without -ffast-math, and on x87 with -ffloat-store.
 */
#include "slewguard_float.h"

#define LARGEST 3.40282347e38f

/* floor(clamp(snr * $scale, -$q_max, $q_max) + 1/2); the product is exact, the sum is rounded once. */
static int8_t quantise(float snr)
{
    const float scaled = snr * ${scale}.0f;
    const float above = (scaled > ${q_max}.0f) ? ${q_max}.0f : scaled;
    const float inside = (above < -${q_max}.0f) ? -${q_max}.0f : above;
    const float sum = inside + 0.5f;
    const int32_t whole = (int32_t)sum;
    const float back = (float)whole;

    return (int8_t)(whole - ((sum < back) ? 1 : 0));
}

uint8_t slewguard_make_planes_float(
    const float snr[SLEWGUARD_PIXELS],
    const uint8_t mask[SLEWGUARD_PIXELS],
    int32_t catalogue_id,
    int8_t planes[SLEWGUARD_PLANES_BYTES],
    uint32_t scratch[SLEWGUARD_SCRATCH_WORDS])
{
    uint32_t data = 0;
    uint32_t bad = 0;

    for (int32_t i = 0; i < SLEWGUARD_PIXELS; i++) {
        /* Comparisons with NaN are false. */
        const uint32_t finite = (snr[i] >= -LARGEST && snr[i] <= LARGEST) ? 1u : 0u;
        const uint32_t infinite = (snr[i] < -LARGEST || snr[i] > LARGEST) ? 1u : 0u;

        planes[i] = (finite != 0u) ? quantise(snr[i]) : 0;
        data |= finite | infinite;
        bad |= infinite | (((mask[i] != ${missing}u) != ((finite | infinite) != 0u)) ? 1u : 0u);
    }
    return slewguard_finish_planes(mask, catalogue_id, data, bad, planes, scratch);
}
""")


def source(model: IntegerModel) -> str:
    """Text of ``slewguard_planes.c``."""
    rule = model.planes
    return _SOURCE.substitute(
        title=title(model),
        half_patch=rule.patch // 2,
        fraction=SNR_FRACTION - rule.snr_log2,
        q_max=Q_MAX,
        side=SIDE,
        centre=CENTRE,
        trigger=int(TRIGGER_PIXEL),
        known=int(KNOWN_SOURCE),
        missing=int(NO_DATA),
    )


def float_header(model: IntegerModel) -> str:
    """Text of ``slewguard_float.h``."""
    return _FLOAT_HEADER.substitute(title=title(model))


def float_source(model: IntegerModel) -> str:
    """Text of ``slewguard_float.c``."""
    scale = 2**model.planes.snr_log2
    return _FLOAT.substitute(title=title(model), scale=scale, q_max=Q_MAX, missing=int(NO_DATA))
