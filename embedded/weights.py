"""``slewguard_weights.h`` and ``.c``: everything that is a number of the model, apart from the code."""

from __future__ import annotations

import zlib
from string import Template

import numpy as np

from slewguard.embedded.ctext import c_type, comment, dimensions, indent, string, table
from slewguard.embedded.halved import Halved, halve
from slewguard.export.model import IntegerModel

RULE_FIELDS = ("t_veto", "t_confirm", "min_valid", "min_trigger", "max_saturated")

_HEADER = Template("""\
/* $title
 *
 * The constant tables of the network, defined in slewguard_weights.c. Weights have 6 bits; a bias holds
 * the rounding constant of its shift.
 */
#ifndef SLEWGUARD_WEIGHTS_H
#define SLEWGUARD_WEIGHTS_H

#include <stdint.h>

$tables

#endif
""")

_SOURCE = Template("""\
/* $title
 *
 * The numbers of the model, apart from the code. CRC-32 over them all: 0x$crc (see slewguard_tables_crc).
 */
#include "slewguard_weights.h"
#include "slewguard.h"

const slewguard_model_t slewguard_model = {
    $name,
    $sha256,
    ${layers}u,
    ${macs}u,
    ${scratch}u,
    0x${crc}u
};

/* Verdict rule: veto if score < t_veto, confirm if score > t_confirm, else abstain; abstain too outside
 * the sanity limits. */
const slewguard_rule_t slewguard_rule = {
$rule
};
$tables""")


def title(model: IntegerModel) -> str:
    """First comment line of every file."""
    return f"slewguard: model {comment(model.name)}\n * SHA-256 {model.sha256}"


def tables_crc(model: IntegerModel) -> int:
    """CRC-32 (IEEE 802.3) of the verdict rule and of all tables, integers as big-endian bytes.

    The order is that of the C file: the rule, then for each layer weights, bias and shift.
    """
    rule = [getattr(model.verdict, name) for name in RULE_FIELDS]
    crc = zlib.crc32(np.array(rule, dtype=">i4").tobytes())
    for layer in model.layers:
        halved = halve(layer)
        for values in (halved.weights, halved.bias.astype(">i4"), halved.shift):
            crc = zlib.crc32(values.tobytes(), crc)
    return crc


def _named(name: str, halved: Halved) -> list[tuple[str, np.ndarray]]:
    pairs = (("weights", halved.weights), ("bias", halved.bias), ("shift", halved.shift))
    return [(f"{c_type(values.dtype)} slewguard_{kind}_{name}", values) for kind, values in pairs]


def weights_header(model: IntegerModel) -> str:
    """Text of ``slewguard_weights.h``."""
    lines = [
        f"extern const {declaration}{dimensions(values.shape)};"
        for layer in model.layers
        for declaration, values in _named(layer.name, halve(layer))
    ]
    return _HEADER.substitute(title=title(model), tables="\n".join(lines))


def weights_source(model: IntegerModel, scratch_bytes: int) -> str:
    """Text of ``slewguard_weights.c``."""
    blocks = []
    for layer in model.layers:
        halved = halve(layer)
        height, width = layer.weights.shape[2:]
        axes = "[channel]" if layer.depthwise else "[out][in]"
        axes += "" if height == width == 1 else "[row][column]"
        notes = (f"Layer {comment(layer.name)}, {layer.op} {height}x{width}: weights {axes}.", "", "")
        named = _named(layer.name, halved)
        blocks += [table(d, values, note) for (d, values), note in zip(named, notes, strict=True)]
    last = RULE_FIELDS[-1]
    rule = [f"{getattr(model.verdict, name)}{'' if name == last else ','} /* {name} */" for name in RULE_FIELDS]
    return _SOURCE.substitute(
        title=title(model),
        name=string(model.name),
        sha256=string(model.sha256),
        layers=len(model.layers),
        macs=model.macs,
        scratch=scratch_bytes,
        crc=f"{tables_crc(model):08x}",
        rule="\n".join(indent(rule)),
        tables="\n" + "\n\n".join(blocks) + "\n",
    )
