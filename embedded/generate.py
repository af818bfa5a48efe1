"""Integer model to C99: readable loops, one function a layer, equal to the numpy executor in every byte.

The text depends on the model and on nothing else. ``docs/c.md`` is the page for whoever builds it in.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slewguard.embedded.golden import make_decisions, make_golden, selftest_planes
from slewguard.embedded.network import header, source
from slewguard.embedded.plan import make_plan
from slewguard.embedded.selftest import golden_header, golden_source, main_source, selftest_source
from slewguard.embedded.weights import weights_header, weights_source
from slewguard.export.model import IntegerModel

NETWORK = ("slewguard.c", "slewguard_weights.c")
"""The sources that fly."""
SELFTEST = ("slewguard_selftest.c", "slewguard_golden.c")
"""The sources of the self-test, which needs those of :data:`NETWORK`."""


def generate_c(model: IntegerModel, golden_planes: NDArray[np.int8] | None = None) -> dict[str, bytes]:
    """Print a model as C99.

    Parameters
    ----------
    model : IntegerModel
    golden_planes : int8 array [N, 3, 56, 56], optional
        Sub-images for the self-test; 9,408 bytes of constants each. Without them, those of
        :func:`slewguard.embedded.golden.selftest_planes`.

    Returns
    -------
    dict of str to bytes
        Content of each file by its name, ASCII with line feeds.
    """
    plan = make_plan(model)
    golden = make_golden(model, selftest_planes(model) if golden_planes is None else golden_planes)
    decisions = make_decisions(model.verdict)
    texts = {
        "slewguard.h": header(model, plan),
        "slewguard.c": source(model, plan),
        "slewguard_weights.h": weights_header(model),
        "slewguard_weights.c": weights_source(model, plan.scratch_bytes),
        "slewguard_golden.h": golden_header(model, golden, decisions),
        "slewguard_golden.c": golden_source(model, golden, decisions),
        "slewguard_selftest.c": selftest_source(model, plan),
        "main_selftest.c": main_source(model),
    }
    return {name: text.encode("ascii") for name, text in texts.items()}
