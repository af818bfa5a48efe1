"""Integer model to C99 in one of two styles, both equal to the numpy executor in every byte.

``plain`` is for review and static analysis, ``fast`` for the processor. The text depends on the model and on
nothing else. ``docs/c.md`` is the page for whoever builds it in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import Template
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from slewguard.embedded import api, fast, header, plain, planes_c, selftest, traceability
from slewguard.embedded.blob import Blob, Member, make_blob
from slewguard.embedded.golden import make_golden, make_looks, make_reasons, selftest_planes
from slewguard.embedded.harness import trace_source
from slewguard.embedded.plan import make_plan
from slewguard.export.layers import TIE_FREE
from slewguard.export.model import IntegerModel
from slewguard.subimages.errors import BadInput

Style = Literal["plain", "fast"]
STYLES: tuple[Style, ...] = ("plain", "fast")
NETWORK = ("slewguard.c", "slewguard_network.c", "slewguard_weights.c")
"""The sources that fly whatever the caller has."""
PLANES = ("slewguard_planes.c",)
"""From fixed-point SNR and mask to planes, for whoever has those."""
FLOAT = ("slewguard_float.c",)
"""The same from float32, which needs those of :data:`PLANES`."""
SELFTEST = ("slewguard_selftest.c", "slewguard_golden.c")
"""The sources of the self-test, which needs those of :data:`NETWORK`."""

_WEIGHTS = Template("""\
/* $title
 *
 * The numbers of the model, apart from the code. May be replaced in flight as a whole by another object of
 * the same layout: see slewguard_weights_intact. CRC-32 $crc.
 */
#include "slewguard.h"

const slewguard_weights_t slewguard_weights = $definition;
""")


@dataclass(frozen=True)
class Printer:
    """A model in one style, ready to be written.

    Parameters
    ----------
    model : IntegerModel
    style : str
        ``plain`` or ``fast``.
    """

    model: IntegerModel
    style: Style = "plain"

    def __post_init__(self) -> None:
        if self.model.arithmetic != TIE_FREE:
            raise BadInput(f"C is printed from tie-free models, and this one is {self.model.arithmetic!r}")

    def _members(self) -> Sequence[Member]:
        return plain.members(self.model) if self.style == "plain" else fast.members(fast.make_fast(self.model))

    @property
    def blob(self) -> Blob:
        """The weights as one object."""
        return make_blob(self.model, self._members())

    @property
    def scratch_bytes(self) -> int:
        """Working memory of one call."""
        plain_bytes = make_plan(self.model).scratch_bytes
        network = plain_bytes if self.style == "plain" else fast.make_fast(self.model).scratch_bytes
        return max(network, planes_c.SCRATCH_BYTES)

    def files(self, golden_planes: NDArray[np.int8] | None = None) -> dict[str, bytes]:
        """Content of each file by its name, ASCII with line feeds; see :func:`generate_c`."""
        model, blob = self.model, self.blob
        plan = make_plan(model)
        golden = make_golden(model, selftest_planes(model) if golden_planes is None else golden_planes)
        reasons, looks = make_reasons(model.verdict), make_looks(model.verdict)
        is_plain = self.style == "plain"
        quick = None if is_plain else fast.make_fast(model)
        prototypes = fast.prototypes(quick) if quick else plain.prototypes(model, plan)
        checks = selftest.checks(model, layers=is_plain)
        texts = {
            "slewguard.h": header.header(model, self.style, blob, self.scratch_bytes, prototypes, checks),
            "slewguard.c": api.source(model, self.style, blob, self.scratch_bytes),
            "slewguard_network.c": fast.source(model, quick) if quick else plain.source(model, plan),
            "slewguard_planes.c": planes_c.source(model),
            "slewguard_float.h": planes_c.float_header(model),
            "slewguard_float.c": planes_c.float_source(model),
            "slewguard_weights.c": _WEIGHTS.substitute(
                title=api.title(model), crc=f"0x{blob.crc:08x}", definition="\n".join(blob.definition())
            ),
            "slewguard_golden.h": selftest.golden_header(model, golden, reasons, looks),
            "slewguard_golden.c": selftest.golden_source(model, golden, reasons, looks),
            "slewguard_selftest.c": selftest.selftest_source(model, plan if is_plain else None),
            "main_selftest.c": selftest.main_source(model),
        }
        texts[traceability.RECORD] = traceability.table(model, self.style, texts)
        return {name: text.encode("ascii") for name, text in texts.items()}

    def trace(self, *, host: bool = False) -> bytes:
        """Text of the file that runs the layers one by one; see :mod:`slewguard.embedded.harness`."""
        parts = plain.trace(make_plan(self.model)) if self.style == "plain" else fast.trace(fast.make_fast(self.model))
        return trace_source(*parts, host=host).encode("ascii")


def generate_c(
    model: IntegerModel, golden_planes: NDArray[np.int8] | None = None, style: Style = "plain"
) -> dict[str, bytes]:
    """Print a model as C99.

    Parameters
    ----------
    model : IntegerModel
    golden_planes : int8 array [N, 3, 56, 56], optional
        Sub-images for the self-test; 9,408 bytes of constants each. Without them, those of
        :func:`slewguard.embedded.golden.selftest_planes`.
    style : str
        ``plain`` or ``fast``.

    Returns
    -------
    dict of str to bytes
        Content of each file by its name, ASCII with line feeds.

    Raises
    ------
    BadInput
        If the fast style does not know the shape of the network.
    """
    return Printer(model, style).files(golden_planes)


WEIGHTS_IMAGE = "slewguard_weights.bin"
"""The weights object as it lies in the memory of a big-endian machine: what a patch replaces."""


def package_c(model: IntegerModel) -> dict[str, bytes]:
    """Everything that a flight package holds of the C code: the plain style, and the fast one below ``fast/``.

    A network for which there is no fast style has the plain one alone.
    """
    files: dict[str, bytes] = {}
    for style in STYLES:
        folder = "" if style == "plain" else f"{style}/"
        printer = Printer(model, style)
        try:
            printed = printer.files()
        except BadInput:
            if style == "plain":
                raise
            continue
        files |= {folder + name: content for name, content in printed.items()}
        files[folder + WEIGHTS_IMAGE] = printer.blob.image
    return files
