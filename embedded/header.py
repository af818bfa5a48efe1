"""``slewguard.h``: the interface, the same for both styles but for the functions of the network."""

from __future__ import annotations

from string import Template

from slewguard.embedded.api import DAMAGED, NOT_READY, SNR_FRACTION, title
from slewguard.embedded.blob import Blob
from slewguard.embedded.ctext import indent
from slewguard.export.familiar import NEAR
from slewguard.export.model import IntegerModel
from slewguard.export.planes import N_PLANES
from slewguard.subimages.contract import REASONS, SIDE
from slewguard.subimages.verdict import Verdict

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

/* State before the first look at an event, or at another place of its sequence. */
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
        damaged_note=DAMAGED[style][0],
        near=NEAR,
        fraction=SNR_FRACTION,
        selftest_checks="\n".join(rows),
        prototypes=prototypes,
    )


def checks_numbered(checks: list[str]) -> list[tuple[int, str]]:
    """Number of each check of the self-test; 1 is the weights."""
    return list(enumerate(checks, 2))
