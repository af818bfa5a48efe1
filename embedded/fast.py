"""The fast style: ``slewguard_network.c`` with two pixels in each word and rows that are kept only while needed."""

from __future__ import annotations

from string import Template

import numpy as np

from slewguard.embedded import fast_rows
from slewguard.embedded.api import title
from slewguard.embedded.blob import Member
from slewguard.embedded.ctext import comment, indent
from slewguard.embedded.fast_plan import DENSE, DEPTHWISE, FIRST, POINTWISE, POOL, Fast, Stage, make_fast
from slewguard.embedded.fast_rows import PREFIX
from slewguard.embedded.harness import timed
from slewguard.embedded.requantise import clamps
from slewguard.export.model import IntegerModel

__all__ = ["make_fast", "members", "prototypes", "source", "trace"]

BLOCK = 16
"""Output channels of a pointwise layer that are summed at once."""

_SOURCE = Template("""\
/* $title
 *
 * Two pixels in each 32-bit word, in lanes of 16 bits: one multiplication and one addition do two products.
 * Sums are modulo 2^32 and each lane ends in 0..65535, which was proved for every channel when this was
 * printed; weights of 6 bits stand in the code. Word i of a row of W pixels holds pixels i and
 * i + (W + 1) / 2. A row is computed when it is needed and kept in a ring while it is. Nothing branches on data.
 */
#include "slewguard.h"

/* gcc 12 orders straight-line code so that it runs out of registers; other compilers do not need this. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize ("no-schedule-insns", "no-tree-reassoc", "no-gcse", "no-tree-pre")
#endif

/* A row outside the image. */
static const uint32_t zeros[$zeros] = {0};

$helpers
$functions

/*
 * Scratch memory, $scratch_bytes bytes; words from its start:
 *
$memory
 */
int8_t slewguard_score(
    const slewguard_weights_t *weights,
    const int8_t planes[SLEWGUARD_PLANES_BYTES],
    uint32_t scratch[SLEWGUARD_SCRATCH_WORDS])
{
$calls

    return (int8_t)((int32_t)((scratch[$last] + 128u) & 255u) - 128);
}
""")

_CLAMP = """
/* value - offset, clamped to 0..255. */
static uint32_t clamp(uint32_t value, int32_t offset)
{
    return at_most_255(rectify((int32_t)value - offset));
}
"""


def members(fast: Fast) -> list[Member]:
    """Tables of the fast style."""
    found = []
    reach = 0
    level = fast.model.planes.level
    for stage in fast.stages:
        name, halved = stage.layer.name, stage.halved
        for channel in stage.channels:
            if channel.table:
                reach = max(reach, _greatest(stage, channel, level) - 255)
        label = comment(name)
        if stage.kind == FIRST:
            note = f"{label}: [row of the kernel][known, no data of three columns][channels 2i and 2i+1]"
            found.append(Member(f"masks_{name}", _mask_tables(stage, level), note))
        elif stage.kind == DEPTHWISE:
            found += _depthwise_members(stage, fast.zeros)
        elif stage.kind == POOL:
            found += [
                Member(f"weights_{name}", halved.weights, f"{label}: [channel][row][column]"),
                Member(f"start_{name}", halved.bias.astype(np.uint32)),
                Member(f"shift_{name}", halved.shift),
            ]
        elif stage.kind == DENSE:
            found += [
                Member(f"weights_{name}", halved.weights, f"{label}: [out][in]"),
                Member(f"bias_{name}", halved.bias),
                Member(f"shift_{name}", halved.shift),
            ]
    table = np.concatenate([np.zeros(fast.zeros), np.arange(256), np.full(reach, 255)]).astype(np.uint8)
    return [*found, Member("clamp", table, "clamps what lies behind a shift to 0..255")]


def _greatest(stage: Stage, channel: fast_rows.Channel, level: int) -> int:
    """Greatest value of a channel behind the shift, without the offset."""
    from slewguard.embedded.fast_plan import ranges_of

    index = next(i for i, other in enumerate(stage.channels) if other is channel)
    return max(255, ranges_of(stage, level)[index].greatest >> channel.shift)


def _mask_tables(stage: Stage, level: int) -> np.ndarray:
    weights = stage.halved.weights.astype(np.int64)
    out, _, kernel_h, kernel_w = weights.shape
    bits = np.arange(4**kernel_w)
    sums = np.zeros((kernel_h, len(bits), out + out % 2), dtype=np.int64)
    for x in range(kernel_w):
        for plane in (1, 2):
            there = bits >> (2 * x + plane - 1) & 1
            sums[..., :out] += level * there[None, :, None] * weights[:, plane, :, x].T[:, None, :]
    least = sums.min(axis=1)
    sums -= least[:, None, :]
    starts = np.array([channel.starts[0] for channel in stage.channels])
    sums[0, :, :out] += starts + least[:, :out].sum(axis=0)
    assert sums.min() >= 0
    assert sums.max(axis=1).sum(axis=0).max() <= 65535
    return (sums[..., 0::2] + (sums[..., 1::2] << 16)).astype(np.uint32)


def _depthwise_members(stage: Stage, zeros: int) -> list[Member]:
    name, halved = stage.layer.name, stage.halved
    weights = halved.weights.reshape(len(halved.bias), -1)
    kernel_h, kernel_w = stage.layer.weights.shape[2:]
    places = [zeros - channel.offset if stage.tabled else channel.offset for channel in stage.channels]
    found = [
        Member(f"weights_{name}", weights, f"{comment(name)}: [channel][tap]"),
        Member(f"shift_{name}", halved.shift),
        Member(f"place_{name}", np.array(places, np.int32), "place in the clamping table"),
    ]
    if stage.whole:
        starts = [fast_rows.word(channel.starts[0]) for channel in stage.channels]
        return [*found, Member(f"start_{name}", np.array(starts, np.uint32))]
    low = 255 * np.minimum(weights.astype(np.int64), 0).reshape(-1, kernel_h, kernel_w).sum(axis=2)
    rest = [
        int(bias) + (channel.offset << channel.shift) + int(row.sum())
        for bias, channel, row in zip(halved.bias, stage.channels, low, strict=True)
    ]
    return [
        *found,
        Member(f"start_{name}", (-low * 0x10001).astype(np.uint32)),
        Member(f"rest_{name}", np.array(rest, np.int32)),
    ]


def _heads(fast: Fast) -> list[tuple[Stage | None, list[str], list[str]]]:
    """Functions of the network: stage, head, body."""
    zeros = fast.zeros
    first = fast.stages[0]
    heads: list[tuple[Stage | None, list[str], list[str]]] = []
    given = ["const int8_t planes[]", "int32_t row", "uint32_t output[]"]
    packing = fast_rows.pack(first, fast.snr_words, fast.model.planes.level)
    heads.append((None, [f"{PREFIX}pack", *given], packing))
    for stage in fast.stages:
        name = f"{PREFIX}{stage.layer.name}"
        in_half = fast.stages[stage.number - 1].half
        if stage.kind == FIRST:
            heads.append((stage, [name, *fast_rows.parameters(stage)], fast_rows.first(stage, zeros)))
        elif stage.kind == DEPTHWISE:
            heads.append((stage, [name, *fast_rows.parameters(stage)], fast_rows.depthwise(stage, in_half)))
        elif stage.kind == POINTWISE:
            heads.append((stage, [name, *fast_rows.parameters(stage)], fast_rows.pointwise(stage, zeros, BLOCK)))
        elif stage.kind == POOL:
            given = ["const slewguard_weights_t *weights", "int32_t row", "const uint32_t input0[]"]
            given += ["const uint32_t before[]", "uint32_t sums[]"]
            heads.append((stage, [name, *given], fast_rows.pool(stage, in_half)))
            given = ["const slewguard_weights_t *weights", "const uint32_t sums[]", "uint32_t output[]"]
            body = [
                f"for (int32_t channel = 0; channel < {stage.out_shape[0]}; channel++) {{",
                f"    const uint8_t shift = weights->shift_{stage.layer.name}[channel];",
                "    output[channel] = requantise_uint8((int32_t)sums[channel], shift);",
                "}",
            ]
            heads.append((stage, [f"slewguard_end_{stage.layer.name}", *given], body))
        else:
            given = ["const slewguard_weights_t *weights", "const uint32_t input0[]", "uint32_t output[]"]
            heads.append((stage, [name, *given], fast_rows.dense(stage)))
    return heads


def _prototype(head: list[str]) -> list[str]:
    name, *given = head
    return [f"void {name}(", *indent([*(f"{one}," for one in given[:-1]), f"{given[-1]})"])]


def prototypes(fast: Fast) -> str:
    """Declarations of the network's functions for ``slewguard.h``."""
    note = "/* Rows of words, two pixels each; see slewguard_network.c. */"
    listed = [[*_prototype(head)[:-1], _prototype(head)[-1] + ";"] for _, head, _ in _heads(fast)]
    return "\n\n".join([note, *("\n".join(lines) for lines in listed)])


def _describe(stage: Stage | None, count: int) -> str:
    if stage is None:
        return "/* One row of the planes: SNR as words, the two binary planes as an index for each window. */"
    layer = stage.layer
    height, width = layer.weights.shape[2:]
    chunked = [i for i, channel in enumerate(stage.channels) if not channel.whole]
    text = f"/* Layer {stage.number + 1} of {count}: {comment(layer.name)}, {layer.op} {height}x{width}"
    text += f", stride {layer.stride}, {stage.in_shape[0]} to {stage.out_shape[0]} channels."
    if chunked:
        text += f"\n * In chunks: channels {', '.join(map(str, chunked))}."
    return text + " */"


def _address(fast: Fast, stage: int, row: int) -> str:
    """Where a row lies; the row of zeros for -1."""
    if row < 0:
        return "zeros"
    ring = fast.rings[stage + 1]
    start, size = (
        (fast.offsets["packed"], fast.packed_words)
        if stage < 0
        else (fast.offsets[f"row {fast.stages[stage].layer.name}"], fast.stages[stage].row_words)
    )
    return f"scratch + {start + row % ring * size}"


def calls(fast: Fast) -> list[tuple[int, int, str]]:
    """All calls in their order: (stage, row, statement); stage -1 packs, row -1 ends the pooling."""
    found = []
    for number, row in fast.schedule():
        if number < 0:
            given = ["planes", str(row), _address(fast, -1, row)]
            found.append((number, row, f"{PREFIX}pack({', '.join(given)});"))
            continue
        stage = fast.stages[number]
        if stage.kind == POOL:
            sums = f"scratch + {fast.offsets['sum']}"
            before = sums if row else f"weights->start_{stage.layer.name}"
            given = ["weights", str(row), _address(fast, number - 1, row), before, sums]
        else:
            needed = stage.needs(row)
            given = ["weights", *(_address(fast, number - 1, r) for r in needed)]
            given.append(_address(fast, number, row))
        found.append((number, row, f"{PREFIX}{stage.layer.name}({', '.join(given)});"))
    pooled = fast.pooled
    at = {
        stage.number: f"scratch + {fast.offsets[f'row {stage.layer.name}']}" for stage in fast.stages[pooled.number :]
    }
    end = f"slewguard_end_{pooled.layer.name}(weights, scratch + {fast.offsets['sum']}, {at[pooled.number]});"
    found.append((pooled.number, -1, end))
    for stage in fast.stages[pooled.number + 1 :]:
        name = f"{PREFIX}{stage.layer.name}"
        found.append((stage.number, 0, f"{name}(weights, {at[stage.number - 1]}, {at[stage.number]});"))
    return found


def _zeros(fast: Fast) -> int:
    """Words of the longest input row."""
    return max(fast.packed_words, *(stage.row_words for stage in fast.stages[: fast.pooled.number]))


def source(model: IntegerModel, fast: Fast) -> str:
    """Text of ``slewguard_network.c``."""
    count = len(fast.stages)
    functions = [
        "\n".join([_describe(stage, count), *_prototype(head), "{", *indent(body), "}"])
        for stage, head, body in _heads(fast)
    ]
    signed = [stage.layer.lo < 0 for stage in fast.stages if stage.kind in (POOL, DENSE)]
    helpers = clamps(unsigned=False in signed, signed=True in signed)
    arithmetic = any(not channel.table for stage in fast.stages for channel in stage.channels)
    return _SOURCE.substitute(
        title=title(model),
        zeros=_zeros(fast),
        helpers=helpers + (_CLAMP if arithmetic else ""),
        functions="\n\n".join(functions),
        scratch_bytes=fast.scratch_bytes,
        memory="\n".join(f" *   {at:6}  {comment(name)}" for name, at in fast.offsets.items()),
        calls="\n".join(indent([text for _, _, text in calls(fast)])),
        last=fast.offsets[f"row {fast.stages[-1].layer.name}"],
    )


_KEEP = Template("""\
static void keep_$name(const uint32_t from[], uint32_t row, uint8_t output[])
{
    for (uint32_t channel = 0; channel < $channels; channel++) {
        for (uint32_t x = 0; x < $columns; x++) {
            const uint32_t pair = from[channel * $half + x % $half];
            output[(channel * $rows + row) * $columns + x] = (uint8_t)(pair >> (x / $half * 16));
        }
    }
}
""")


def trace(fast: Fast) -> tuple[list[str], list[str], list[str]]:
    """Functions, declarations and steps of :func:`slewguard.embedded.harness.trace_source`."""
    before, steps = [], []
    for stage in fast.stages:
        channels, rows, columns = stage.out_shape
        before.append(
            _KEEP.substitute(name=stage.layer.name, channels=channels, rows=rows, columns=columns, half=stage.half)
        )
    before.append(f"static const uint32_t zeros[{_zeros(fast)}] = {{0}};\n")
    pooled = fast.pooled.number
    for number, row, call in calls(fast):
        steps += timed(max(number, 0), [call])
        if number >= 0 and (number != pooled or row < 0):
            target = call[call.rindex(", ") + 2 : -2]
            name = fast.stages[number].layer.name
            steps.append(f"keep_{name}({target}, {max(row, 0)}, outputs[{number}]);")
    return before, [], steps
