"""C files that examine the generated code from outside and ship nowhere.

``slewguard_trace.c`` runs the layers one by one, keeps their outputs and counts each; on the host Python calls it,
on a target ``slewguard_probe.c`` does, which makes its own inputs (:func:`probe_planes` makes the same ones) and
prints what came out.
"""

from __future__ import annotations

from string import Template

import numpy as np
from numpy.typing import NDArray

from slewguard.embedded.ctext import indent
from slewguard.export.model import IntegerModel
from slewguard.export.planes import N_PLANES, Q_MAX
from slewguard.subimages.contract import SIDE

TRACE = "slewguard_trace.c"
PROBE = "slewguard_probe.c"
MIX = "slewguard_mix.c"

_MIX = """\
#include "slewguard.h"
#include "slewguard_golden.h"
#include "target.h"

static uint32_t scratch[SLEWGUARD_SCRATCH_WORDS];

void target_trapped(uint32_t number)
{
    (void)number;
    target_put('!');
    target_exit();
}

/* One call, for whoever logs what is executed. */
int main(void)
{
    (void)slewguard_score(&slewguard_weights, slewguard_golden[0].planes, scratch);
    target_put('.');
    return 0;
}
"""

_TRACE = Template("""\
$include#include "slewguard.h"

uint32_t target_now(void);
$before

/* Outputs of every layer: outputs[k] is [channels][rows][columns] of layer k; ticks[k] is what it took. */
void slewguard_trace(
    const slewguard_weights_t *weights,
    const int8_t planes[],
    uint32_t scratch[],
    uint8_t *const outputs[],
    uint32_t ticks[])
{
    const uint32_t begun = target_now();
    const uint32_t empty = target_now() - begun;
    uint32_t now = 0;
$declarations

    for (uint32_t layer = 0; layer < SLEWGUARD_LAYERS; layer++) {
        ticks[layer] = 0;
    }
$steps
}
""")

_HOST = """
uint32_t target_now(void)
{
    return 0;
}

void slewguard_trace_all(
    const int8_t planes[], size_t count, uint32_t scratch[], uint8_t *const outputs[], const size_t sizes[])
{
    uint32_t ticks[SLEWGUARD_LAYERS];
    uint8_t *into[SLEWGUARD_LAYERS];

    for (size_t i = 0; i < count; i++) {
        for (size_t layer = 0; layer < SLEWGUARD_LAYERS; layer++) {
            into[layer] = outputs[layer] + i * sizes[layer];
        }
        slewguard_trace(&slewguard_weights, planes + i * SLEWGUARD_PLANES_BYTES, scratch, into, ticks);
    }
}

/* sequence[i] is the number of the event, below `events`; states has one element for each. */
void slewguard_judge_all(
    const int8_t planes[],
    size_t count,
    uint32_t scratch[],
    const uint32_t sequence[],
    slewguard_sequence_t states[],
    size_t events,
    slewguard_answer_t answers[])
{
    for (size_t event = 0; event < events; event++) {
        slewguard_begin(&states[event]);
    }
    for (size_t i = 0; i < count; i++) {
        (void)slewguard_judge(
            &slewguard_weights, planes + i * SLEWGUARD_PLANES_BYTES, scratch, &states[sequence[i]], &answers[i]);
    }
}
"""

_PROBE = Template("""\
#include "slewguard.h"
#include "target.h"

#define TRACED ${traced}u
#define COUNTED ${counted}u

void slewguard_trace(
    const slewguard_weights_t *weights,
    const int8_t planes[],
    uint32_t scratch[],
    uint8_t *const outputs[],
    uint32_t ticks[]);

static int8_t planes[SLEWGUARD_PLANES_BYTES];
static uint32_t scratch[SLEWGUARD_SCRATCH_WORDS];
$buffers
static uint8_t *const outputs[SLEWGUARD_LAYERS] = {
$pointers
};
static const uint32_t sizes[SLEWGUARD_LAYERS] = {
$sizes
};

static void put_text(const char *text)
{
    while (*text != '\\0') {
        target_put(*text);
        text++;
    }
}

static void put_number(uint32_t value)
{
    target_put(' ');
    for (uint32_t shift = 32; shift > 0; shift -= 4) {
        target_put("0123456789abcdef"[(value >> (shift - 4)) & 15u]);
    }
}

void target_trapped(uint32_t number)
{
    put_text("\\ntrap");
    put_number(number);
    put_text("\\n");
    target_exit();
}

/* Noise of several strengths, with constant extremes now and then, and random binary planes. */
static void make_planes(uint32_t input)
{
    uint32_t state = input * 2654435761u + 12345u;

    for (uint32_t pixel = 0; pixel < $pixels; pixel++) {
        int32_t snr = 0;
        uint32_t border = 0;

        state = state * 1664525u + 1013904223u;
        snr = (int32_t)((state >> 24) >> (input & 3u)) - (int32_t)(128u >> (input & 3u));
        if (input % 16u == 15u) {
            snr = (int32_t)(input / 16u % 3u) * 127 - 127;
        }
        if (snr < -$q_max) {
            snr = -$q_max;
        }
        border = (pixel < ${side}u || pixel % ${side}u == 0u) ? 1u : 0u;
        planes[pixel] = (int8_t)(border != 0u ? 0 : snr);
        planes[pixel + $pixels] = (int8_t)((border != 0u || ((state >> 16) & 15u) < input % 7u) ? $level : 0);
        planes[pixel + 2u * $pixels] = (int8_t)((border == 0u && ((state >> 12) & 15u) < input % 5u) ? $level : 0);
    }
}

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

int main(void)
{
    uint32_t start = 0;
    uint32_t empty = 0;

    (void)target_now();
    start = target_now();
    empty = target_now() - start;
    put_text("selftest");
    put_number(slewguard_selftest(&slewguard_weights, scratch));
    put_text("\\nempty");
    put_number(empty);
    put_text("\\n");
    for (uint32_t input = 0; input < TRACED; input++) {
        uint32_t ticks[SLEWGUARD_LAYERS];

        make_planes(input);
        slewguard_trace(&slewguard_weights, planes, scratch, outputs, ticks);
        put_text("layers");
        for (uint32_t layer = 0; layer < SLEWGUARD_LAYERS; layer++) {
            put_number(crc_bytes(outputs[layer], sizes[layer]));
            put_number(ticks[layer]);
        }
        put_text("\\n");
    }
    for (uint32_t input = 0; input < COUNTED; input++) {
        slewguard_sequence_t sequence;
        slewguard_answer_t answer;
        int8_t score = 0;
        uint32_t scored = 0;
        uint32_t judged = 0;

        make_planes(input);
        start = target_now();
        score = slewguard_score(&slewguard_weights, planes, scratch);
        scored = target_now() - start;
        start = target_now();
        slewguard_begin(&sequence);
        (void)slewguard_judge(&slewguard_weights, planes, scratch, &sequence, &answer);
        judged = target_now() - start;
        put_text("judge");
        put_number((uint32_t)((int32_t)score + 128));
        put_number(answer.verdict);
        put_number(answer.reason);
        put_number(scored);
        put_number(judged);
        put_text("\\n");
    }
    put_text("end\\n");
    return 0;
}
""")


def trace_source(before: list[str], declarations: list[str], steps: list[str], *, host: bool = False) -> str:
    """Text of ``slewguard_trace.c``.

    Parameters
    ----------
    before, declarations, steps : list of str
        What the style prints: functions of its own, local names, one call for each layer or row within
        :func:`timed`.
    host : bool
        With the loops that Python calls.
    """
    text = _TRACE.substitute(
        include="#include <stddef.h>\n\n" if host else "",
        before="\n".join(before),
        declarations="\n".join(indent(declarations)),
        steps="\n".join(indent(steps)),
    )
    return text + _HOST if host else text


def timed(layer: int, call: list[str]) -> list[str]:
    """A call of the network with what it took added to its layer."""
    return ["now = target_now();", *call, f"ticks[{layer}] += target_now() - now - empty;"]


def mix_source() -> str:
    """Text of ``slewguard_mix.c``: one call and nothing else."""
    return _MIX


def probe_source(model: IntegerModel, traced: int, counted: int) -> str:
    """Text of ``slewguard_probe.c``: trace the first inputs, count and judge the first ``counted``."""
    sizes = [int(np.prod(shape)) for shape in model.shapes]
    names = [f"out_{i}" for i in range(len(sizes))]
    return _PROBE.substitute(
        traced=traced,
        counted=counted,
        buffers="\n".join(f"static uint8_t {name}[{size}];" for name, size in zip(names, sizes, strict=True)),
        pointers=",\n".join(indent(names)),
        sizes=",\n".join(indent([f"{size}u" for size in sizes])),
        pixels=f"{SIDE * SIDE}u",
        side=SIDE,
        q_max=Q_MAX,
        level=model.planes.level,
    )


def probe_planes(model: IntegerModel, count: int) -> NDArray[np.int8]:
    """The inputs that the probe makes: int8 [count, 3, 56, 56]."""
    number = np.arange(count, dtype=np.uint32)
    state = number * np.uint32(2654435761) + np.uint32(12345)
    planes = np.zeros((count, N_PLANES, SIDE * SIDE), dtype=np.int8)
    shift = number & np.uint32(3)
    constant = number % 16 == 15
    for pixel in range(SIDE * SIDE):
        state = state * np.uint32(1664525) + np.uint32(1013904223)
        if pixel < SIDE or pixel % SIDE == 0:
            planes[:, 1, pixel] = model.planes.level
            continue
        snr = (state >> np.uint32(24) >> shift).astype(np.int64) - (np.uint32(128) >> shift)
        snr = np.where(constant, (number // 16 % 3).astype(np.int64) * 127 - 127, snr)
        planes[:, 0, pixel] = np.maximum(snr, -Q_MAX)
        planes[:, 1, pixel] = np.where((state >> np.uint32(16)) & np.uint32(15) < number % 7, model.planes.level, 0)
        planes[:, 2, pixel] = np.where((state >> np.uint32(12)) & np.uint32(15) < number % 5, model.planes.level, 0)
    return planes.reshape(count, N_PLANES, SIDE, SIDE)
