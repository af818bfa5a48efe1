"""``slewguard.c``: the verdict and the upkeep of the weights, the same for both styles."""

from __future__ import annotations

from string import Template

from slewguard.embedded.blob import MAGIC, RESIDUE, VERSION, Blob
from slewguard.embedded.ctext import comment, indent, string
from slewguard.export.familiar import NEAR, PER_PIXEL
from slewguard.export.model import IntegerModel
from slewguard.export.planes import Q_MAX
from slewguard.export.sequence import MAX_LOOKS
from slewguard.subimages.contract import CENTRE, SIDE

SNR_FRACTION = 16
"""Fraction bits of the fixed-point SNR that the C code takes."""
NOT_READY = 15
"""Reason of the C code alone: the weights are not those that this code was printed for."""

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


DAMAGED = {
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
        damaged=DAMAGED[style][1].format(level=model.planes.level),
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
