"""``slewguard.h`` and ``slewguard.c``: the interface, the verdict and the upkeep, the same for both styles."""

from __future__ import annotations

from string import Template

from slewguard.embedded.blob import MAGIC, RESIDUE, VERSION, Blob
from slewguard.embedded.ctext import comment, indent, string
from slewguard.export.familiar import NEAR, PER_PIXEL
from slewguard.export.model import IntegerModel
from slewguard.export.planes import N_PLANES, Q_MAX
from slewguard.export.sequence import MAX_LOOKS
from slewguard.subimages.contract import CENTRE, REASONS, SIDE
from slewguard.subimages.verdict import Verdict

SNR_FRACTION = 16
"""Fraction bits of the fixed-point SNR that the C code takes."""
NOT_READY = 15
"""Reason of the C code alone: the weights are not those that this code was printed for."""

_HEADER = Template("""\
/* $title
 *
 * Tells true from false alerts of a gamma-ray-burst trigger. C99, integers only, nothing but stdint.h: no
 * heap, no recursion, no writable data of its own, no 64-bit arithmetic. Re-entrant: calls may overlap as
 * long as each has a scratch of its own. Style: $style.
 */
#ifndef SLEWGUARD_H
#define SLEWGUARD_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SLEWGUARD_SIDE $side
#define SLEWGUARD_PIXELS ($side * $side)

/* Planes: int8 [3][56][56], SNR quantised to -127..127, no data, known sources; the two latter hold 0 or
 * SLEWGUARD_LEVEL. */
#define SLEWGUARD_PLANES_BYTES ($planes * SLEWGUARD_PIXELS)
#define SLEWGUARD_LEVEL $level

/* Working memory that the caller lends for one call. Its content before and after the call means nothing. */
#define SLEWGUARD_SCRATCH_BYTES $scratch_bytes
#define SLEWGUARD_SCRATCH_WORDS ($scratch_bytes / 4)

#define SLEWGUARD_LAYERS $layers

/* Verdicts. Abstain is zero, so that cleared memory leaves the onboard decision standing. */
enum {
$verdicts
};

/* Why the verdict is what it is; 0 where the score decided. */
enum {
$reasons,
    SLEWGUARD_NOT_READY = $not_ready /* the weights are not those that this code was printed for */
};

/* What this code was generated from. */
typedef struct {
    char name[$name_bytes]; /* UTF-8, ends with 0 */
    char sha256[65]; /* of the integer model, ends with 0 */
    char layer_names[SLEWGUARD_LAYERS][$layer_bytes];
    uint32_t macs; /* multiply-accumulates of one call, the zero border counted */
    uint32_t scratch_bytes;
    uint32_t weights_bytes; /* size of slewguard_weights_t */
} slewguard_model_t;

extern const slewguard_model_t slewguard_model;

/* All numbers of the model that are not code, and the verdict rule. May be replaced in flight as a whole:
 * every function takes a pointer to it. The CRC is over the words as big-endian bytes, then the bytes. */
typedef struct {
$weights
} slewguard_weights_t;

extern const slewguard_weights_t slewguard_weights;

/* What the rule looks at in the planes. */
typedef struct {
    int32_t valid;     /* pixels with data */
    int32_t trigger;   /* SNR of the pixel that triggered */
    int32_t saturated; /* pixels at -127 or 127 */
    int32_t damaged;   /* plane values that no sub-image gives: $damaged_note */
    int32_t peak;      /* largest magnitude of the SNR farther than $near rows or columns from the trigger */
    int32_t total;     /* sum of the magnitudes of the SNR */
    int32_t bright;    /* pixels with a magnitude of at least the rule's level */
    int32_t marked;    /* pixels of known sources */
} slewguard_features_t;

/* The looks at one event so far. Cleared memory is a valid state that vetoes less. */
typedef struct {
    uint8_t looks;  /* usable looks, at most 255 */
    int8_t maximum; /* highest score of a usable look */
} slewguard_sequence_t;

/* Answer to one look. */
typedef struct {
    uint8_t verdict;
    uint8_t reason;
    int8_t score;
} slewguard_answer_t;

/* Score of a sub-image, -128..127; higher is more like a true source. */
int8_t slewguard_score(
    const slewguard_weights_t *weights,
    const int8_t planes[SLEWGUARD_PLANES_BYTES],
    uint32_t scratch[SLEWGUARD_SCRATCH_WORDS]);

/* State before the first look at an event. */
void slewguard_begin(slewguard_sequence_t *sequence);

/* Verdict on one more look at an event. Planes, scratch, sequence and answer are four objects that do not
 * overlap. SLEWGUARD_VETO is given only if every check allows it; the answer is always written, and its
 * verdict returned. An alert on its own is a sequence of one look. */
uint8_t slewguard_judge(
    const slewguard_weights_t *weights,
    const int8_t planes[SLEWGUARD_PLANES_BYTES],
    uint32_t scratch[SLEWGUARD_SCRATCH_WORDS],
    slewguard_sequence_t *sequence,
    slewguard_answer_t *answer);

/* No data in fixed-point SNR. */
#define SLEWGUARD_SNR_MISSING INT32_MIN

/* The same from what the trigger has: SNR in sigma as fixed point with $fraction fraction bits and
 * SLEWGUARD_SNR_MISSING where there is no data, the mask codes (0 no data, 1 background, 2 known source,
 * 3 the pixel that triggered) and the catalogue number of a source at the trigger, or a negative one. The
 * planes are written. In slewguard_planes.c. */
uint8_t slewguard_judge_alert(
    const slewguard_weights_t *weights,
    const int32_t snr[SLEWGUARD_PIXELS],
    const uint8_t mask[SLEWGUARD_PIXELS],
    int32_t catalogue_id,
    int8_t planes[SLEWGUARD_PLANES_BYTES],
    uint32_t scratch[SLEWGUARD_SCRATCH_WORDS],
    slewguard_sequence_t *sequence,
    slewguard_answer_t *answer);

/* Planes of a sub-image. Returns SLEWGUARD_OK, or SLEWGUARD_EMPTY, SLEWGUARD_NO_TRIGGER_PIXEL,
 * SLEWGUARD_OFF_CENTRE or SLEWGUARD_BAD_VALUE for one that breaks the contract; the planes are written
 * all the same. In slewguard_planes.c. */
uint8_t slewguard_make_planes(
    const int32_t snr[SLEWGUARD_PIXELS],
    const uint8_t mask[SLEWGUARD_PIXELS],
    int32_t catalogue_id,
    int8_t planes[SLEWGUARD_PLANES_BYTES],
    uint32_t scratch[SLEWGUARD_SCRATCH_WORDS]);

/* The last part of that, where the SNR plane is written: data is 1 if any pixel has data, bad is 1 if a value
 * is infinite or disagrees with the mask. In slewguard_planes.c. */
uint8_t slewguard_finish_planes(
    const uint8_t mask[SLEWGUARD_PIXELS],
    int32_t catalogue_id,
    uint32_t data,
    uint32_t bad,
    int8_t planes[SLEWGUARD_PLANES_BYTES],
    uint32_t scratch[SLEWGUARD_SCRATCH_WORDS]);

/* Shadow mode: judges and writes a record of 8 bytes for telemetry; nothing is returned that could be acted
 * upon. The counter is the caller's. */
void slewguard_shadow(
    const slewguard_weights_t *weights,
    const int8_t planes[SLEWGUARD_PLANES_BYTES],
    uint32_t scratch[SLEWGUARD_SCRATCH_WORDS],
    slewguard_sequence_t *sequence,
    uint8_t counter,
    uint8_t record[8]);

/* An answer as 8 bytes: 1 in the high and the verdict in the low four bits; reason; score; the sequence's
 * maximum; its looks; the counter; the first two bytes of the model's SHA-256. */
void slewguard_record(
    const slewguard_answer_t *answer,
    const slewguard_sequence_t *sequence,
    uint8_t counter,
    uint8_t record[8]);

/* The parts of slewguard_judge: what is counted in the planes, the reason against an answer or SLEWGUARD_OK,
 * and the verdict of a look with the state that it leaves. */
void slewguard_count(
    const slewguard_weights_t *weights,
    const int8_t planes[SLEWGUARD_PLANES_BYTES],
    slewguard_features_t *features);
uint8_t slewguard_reason(const slewguard_weights_t *weights, const slewguard_features_t *features);
uint8_t slewguard_decide(
    const slewguard_weights_t *weights,
    slewguard_sequence_t *sequence,
    int8_t score,
    uint8_t reason);

/* 1 if the object is one for this code and its CRC is right, else 0. */
uint32_t slewguard_weights_intact(const slewguard_weights_t *weights);

/* The same in steps, for a background task: slewguard_scrub examines up to `bytes` more bytes. */
typedef struct {
    uint32_t position;
    uint32_t crc;
} slewguard_scrub_t;

enum {
    SLEWGUARD_SCRUB_RUNNING = 0,
    SLEWGUARD_SCRUB_INTACT = 1,
    SLEWGUARD_SCRUB_DAMAGED = 2
};

/* Start with a cleared state; it is cleared again at the end of each round. */
uint32_t slewguard_scrub(const slewguard_weights_t *weights, slewguard_scrub_t *scrub, uint32_t bytes);

/* 0 if the weights are intact and the built-in sub-images give the right answers; else the number of the
 * first check that failed:
 *   1                         the weights
$selftest_checks
 * In slewguard_selftest.c. */
uint32_t slewguard_selftest(const slewguard_weights_t *weights, uint32_t scratch[SLEWGUARD_SCRATCH_WORDS]);

/* The parts of the network, for whoever compares or times them one by one. */

$prototypes

#ifdef __cplusplus
}
#endif

#endif
""")

_SOURCE = Template("""\
/* $title
 *
 * The verdict, and the upkeep of the weights. Nothing here branches on what a sub-image shows: comparisons
 * are the sign bit of a difference of small numbers.
 */
#include "slewguard.h"

const slewguard_model_t slewguard_model = {
    $name,
    $sha256,
    {
$layer_names
    },
    ${macs}u,
    ${scratch}u,
    (uint32_t)sizeof(slewguard_weights_t)
};

/* 1 if a < b, else 0; |a|, |b| < 2^30. */
static int32_t below(int32_t a, int32_t b)
{
    return (int32_t)(((uint32_t)a - (uint32_t)b) >> 31);
}

/* Adds what is counted in the pixels of a run; far is 1 if they count for the peak. */
static void count_run(
    const int8_t planes[],
    int32_t first,
    int32_t end,
    int32_t level,
    int32_t far,
    slewguard_features_t *features)
{
    int32_t missing = 0;
    int32_t saturated = 0;
    int32_t damaged = 0;
    int32_t peak = features->peak;
    int32_t total = 0;
    int32_t dark = 0;
    int32_t marked = 0;

    /*@ loop unroll $longest_run; */
    for (int32_t pixel = first; pixel < end; pixel++) {
        const int32_t snr = planes[pixel];
        const uint32_t gap = (uint8_t)planes[pixel + SLEWGUARD_PIXELS];
        const uint32_t mark = (uint8_t)planes[pixel + 2 * SLEWGUARD_PIXELS];
        /* The magnitude, 0..128; adding 1 or 127 carries into bit 7 from 127 or 1 on. */
        const int32_t size = snr - 2 * (snr & -below(snr, 0));
        const int32_t candidate = far * size;

        total += size;
        dark += below(size, level);
        saturated += (size + 1) >> 7;
        damaged += size >> 7;
        /* The greater one; & 255 changes nothing but lets an analyser see that it stays small. */
        peak = (peak + ((candidate - peak) & -below(peak, candidate))) & 255;
        /* Bytes: adding 255 carries into bit 8 unless the byte is 0. */
        missing += (int32_t)((gap + 255u) >> 8);
        marked += (int32_t)((mark + 255u) >> 8);
        saturated -= size >> 7;
        damaged += $damaged;
    }
    features->valid += end - first - missing;
    features->saturated += saturated;
    features->damaged += damaged;
    features->peak = peak;
    features->total += total;
    features->bright += end - first - dark;
    features->marked += marked;
}

void slewguard_count(
    const slewguard_weights_t *weights,
    const int8_t planes[SLEWGUARD_PLANES_BYTES],
    slewguard_features_t *features)
{
    const int32_t level = weights->level;

    features->valid = 0;
    features->trigger = planes[$centre * SLEWGUARD_SIDE + $centre];
    features->saturated = 0;
    features->damaged = 0;
    features->peak = 0;
    features->total = 0;
    features->bright = 0;
    features->marked = 0;
    /* Rows above, about and below the trigger; of those about it the columns left of, at and right of it. */
    count_run(planes, 0, $near_first * SLEWGUARD_SIDE, level, 1, features);
    /*@ loop unroll $near_rows; */
    for (int32_t row = $near_first; row <= $near_last; row++) {
        const int32_t start = row * SLEWGUARD_SIDE;

        count_run(planes, start, start + $near_first, level, 1, features);
        count_run(planes, start + $near_first, start + $near_last + 1, level, 0, features);
        count_run(planes, start + $near_last + 1, start + SLEWGUARD_SIDE, level, 1, features);
    }
    count_run(planes, ($near_last + 1) * SLEWGUARD_SIDE, SLEWGUARD_PIXELS, level, 1, features);
}

uint8_t slewguard_reason(const slewguard_weights_t *weights, const slewguard_features_t *features)
{
    const int32_t mean = $per_pixel * features->total;
    const int32_t bad = below(0, features->damaged);
    const int32_t outside = below(features->valid, weights->min_valid)
                          | below(features->trigger, weights->min_trigger)
                          | below(weights->max_saturated, features->saturated);
    const int32_t unfamiliar = below(features->peak, weights->min_peak)
                             | below(weights->max_peak, features->peak)
                             | below(mean, weights->min_mean * features->valid)
                             | below(weights->max_mean * features->valid, mean)
                             | below(features->bright, weights->min_bright)
                             | below(weights->max_bright, features->bright)
                             | below(features->marked, weights->min_marked)
                             | below(weights->max_marked, features->marked);

    /* The first that holds. */
    return (uint8_t)(bad * SLEWGUARD_BAD_VALUE
                   + (1 - bad) * (outside * SLEWGUARD_OUTSIDE_LIMITS
                                + (1 - outside) * unfamiliar * weights->familiar * SLEWGUARD_UNFAMILIAR));
}

void slewguard_begin(slewguard_sequence_t *sequence)
{
    sequence->looks = 0;
    sequence->maximum = -128;
}

uint8_t slewguard_decide(
    const slewguard_weights_t *weights,
    slewguard_sequence_t *sequence,
    int8_t score,
    uint8_t reason)
{
    const int32_t usable = 1 - below(0, reason);
    const int32_t looks = sequence->looks + usable * below(sequence->looks, $max_looks);
    const int32_t maximum = sequence->maximum + usable * below(sequence->maximum, score) * (score - sequence->maximum);
    const int32_t confirm = usable * below(weights->t_confirm, maximum);
    const int32_t veto = (usable - confirm) * below(maximum, weights->t_veto)
                       * (1 - below(looks, weights->first_look));

    sequence->looks = (uint8_t)looks;
    sequence->maximum = (int8_t)maximum;
    return (uint8_t)(veto * SLEWGUARD_VETO + confirm * SLEWGUARD_CONFIRM);
}

/* 1 if the head of the object is one for this code. */
static uint32_t is_for_this_code(const slewguard_weights_t *weights)
{
    return (weights->magic == ${magic}u && weights->version == ${version}u
            && weights->size == sizeof(slewguard_weights_t) && weights->layout == ${layout}u) ? 1u : 0u;
}

uint8_t slewguard_judge(
    const slewguard_weights_t *weights,
    const int8_t planes[SLEWGUARD_PLANES_BYTES],
    uint32_t scratch[SLEWGUARD_SCRATCH_WORDS],
    slewguard_sequence_t *sequence,
    slewguard_answer_t *answer)
{
    slewguard_features_t features;

    answer->verdict = SLEWGUARD_ABSTAIN;
    answer->reason = SLEWGUARD_NOT_READY;
    answer->score = 0;
    if (is_for_this_code(weights) != 0u) {
        slewguard_count(weights, planes, &features);
        answer->reason = slewguard_reason(weights, &features);
        answer->score = slewguard_score(weights, planes, scratch);
        answer->verdict = slewguard_decide(weights, sequence, answer->score, answer->reason);
    }
    return answer->verdict;
}

void slewguard_record(
    const slewguard_answer_t *answer,
    const slewguard_sequence_t *sequence,
    uint8_t counter,
    uint8_t record[8])
{
    record[0] = (uint8_t)(16u + answer->verdict);
    record[1] = answer->reason;
    record[2] = (uint8_t)answer->score;
    record[3] = (uint8_t)sequence->maximum;
    record[4] = sequence->looks;
    record[5] = counter;
    record[6] = ${sha_first}u;
    record[7] = ${sha_second}u;
}

void slewguard_shadow(
    const slewguard_weights_t *weights,
    const int8_t planes[SLEWGUARD_PLANES_BYTES],
    uint32_t scratch[SLEWGUARD_SCRATCH_WORDS],
    slewguard_sequence_t *sequence,
    uint8_t counter,
    uint8_t record[8])
{
    slewguard_answer_t answer;

    (void)slewguard_judge(weights, planes, scratch, sequence, &answer);
    slewguard_record(&answer, sequence, counter, record);
}

uint32_t slewguard_scrub(const slewguard_weights_t *weights, slewguard_scrub_t *scrub, uint32_t bytes)
{
    const uint8_t *const image = (const uint8_t *)weights;
    /* The words are read most significant byte first, on machines of either byte order. */
    const uint32_t order = 1;
    const uint32_t flip = (*(const uint8_t *)&order == 1u) ? 3u : 0u;
    const uint32_t size = (uint32_t)sizeof(slewguard_weights_t);
    const uint32_t from = (scrub->position < size) ? scrub->position : 0u;
    const uint32_t end = (bytes < size - from) ? from + bytes : size;
    uint32_t crc = (from == 0u) ? 0xffffffffu : scrub->crc;
    uint32_t found = SLEWGUARD_SCRUB_RUNNING;

    /* CRC-32 (IEEE 802.3, reflected polynomial 0xedb88320), bit by bit: no table to be corrupted. */
    for (uint32_t i = from; i < end; i++) {
        crc ^= image[(i < ${words}u) ? (i ^ flip) : i];
        for (uint32_t bit = 0; bit < 8u; bit++) {
            crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1u)));
        }
    }
    scrub->position = end;
    scrub->crc = crc;
    if (end == size) {
        /* The CRC of anything that ends with its own CRC. */
        found = (~crc == ${residue}u) ? (uint32_t)SLEWGUARD_SCRUB_INTACT : (uint32_t)SLEWGUARD_SCRUB_DAMAGED;
        scrub->position = 0;
        scrub->crc = 0;
    }
    return found;
}

uint32_t slewguard_weights_intact(const slewguard_weights_t *weights)
{
    slewguard_scrub_t scrub = {0, 0};
    const uint32_t found = slewguard_scrub(weights, &scrub, (uint32_t)sizeof(slewguard_weights_t));

    return (is_for_this_code(weights) != 0u && found == (uint32_t)SLEWGUARD_SCRUB_INTACT) ? 1u : 0u;
}
""")


def title(model: IntegerModel) -> str:
    """First comment line of every file."""
    return f"slewguard: model {comment(model.name)}\n * SHA-256 {model.sha256}"


def _enum(names: list[tuple[str, int]]) -> str:
    return ",\n".join(f"    SLEWGUARD_{name.upper()} = {value}" for name, value in names)


def header(model: IntegerModel, style: str, blob: Blob, scratch_bytes: int, prototypes: str, checks: list[str]) -> str:
    """Text of ``slewguard.h``.

    Parameters
    ----------
    model : IntegerModel
    style : str
        ``plain`` or ``fast``.
    blob : Blob
    scratch_bytes : int
    prototypes : str
        Functions of the network.
    checks : list of str
        What the self-test examines behind the weights, in order.
    """
    rows = [f" *   {number:<25} {text}" for number, text in checks_numbered(checks)]
    return _HEADER.substitute(
        title=title(model),
        style=style,
        side=SIDE,
        planes=N_PLANES,
        level=model.planes.level,
        scratch_bytes=scratch_bytes,
        layers=len(model.layers),
        verdicts=_enum([(verdict.name, int(verdict)) for verdict in Verdict]),
        reasons=_enum([(reason, i) for i, reason in enumerate(REASONS)]),
        not_ready=NOT_READY,
        layer_bytes=max(len(layer.name) for layer in model.layers) + 1,
        name_bytes=len(model.name.encode()) + 1,
        weights="\n".join(indent(blob.declaration())),
        damaged_note=_DAMAGED[style][0],
        near=NEAR,
        fraction=SNR_FRACTION,
        selftest_checks="\n".join(rows),
        prototypes=prototypes,
    )


def checks_numbered(checks: list[str]) -> list[tuple[int, str]]:
    """Number of each check of the self-test; 1 is the weights."""
    return list(enumerate(checks, 2))


_DAMAGED = {
    "plain": ("-128", "2 - (int32_t)((((gap ^ 128u) + 255u) >> 8) + (((mark ^ 128u) + 255u) >> 8))"),
    "fast": (
        "-128, other than 0 and the level in a binary plane",
        "(int32_t)((((gap + 255u) & ((gap ^ {level}u) + 255u)) >> 8)\n"
        "                           + (((mark + 255u) & ((mark ^ {level}u) + 255u)) >> 8))",
    ),
}
"""What each style counts as damaged: the tables of the fast one know two values of a binary plane only."""


def source(model: IntegerModel, style: str, blob: Blob, scratch_bytes: int) -> str:
    """Text of ``slewguard.c``."""
    layout = next(int(member.values) for member in blob.members if member.name == "layout")
    return _SOURCE.substitute(
        title=title(model),
        name=string(model.name),
        sha256=string(model.sha256),
        layer_names=",\n".join(indent([string(layer.name) for layer in model.layers], 2)),
        macs=model.macs,
        scratch=scratch_bytes,
        q_max=Q_MAX,
        damaged=_DAMAGED[style][1].format(level=model.planes.level),
        centre=CENTRE,
        near_first=CENTRE - NEAR,
        near_last=CENTRE + NEAR,
        near_rows=2 * NEAR + 1,
        longest_run=(CENTRE - NEAR) * SIDE,
        per_pixel=PER_PIXEL,
        max_looks=MAX_LOOKS,
        magic=f"0x{MAGIC:08x}",
        version=VERSION,
        layout=f"0x{layout:08x}",
        words=blob.words,
        residue=f"0x{RESIDUE:08x}",
        sha_first=int(model.sha256[:2], 16),
        sha_second=int(model.sha256[2:4], 16),
    )
