"""Golden vectors: sub-images for which the right answer of every layer is known."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slewguard.export.execute import run_layers
from slewguard.export.golden import noise, verdict_inputs
from slewguard.export.model import IntegerModel
from slewguard.export.planes import N_PLANES, Q_MAX, make_planes
from slewguard.export.verdict import VerdictRule
from slewguard.subimages.contract import CENTRE, SIDE


@dataclass(frozen=True, eq=False)
class Golden:
    """One sub-image and what the numpy executor makes of it.

    Parameters
    ----------
    planes : int8 array [3, 56, 56]
    layer_crc : tuple of int
        CRC-32 (IEEE 802.3) of each layer's output bytes in the order [channel][row][column].
    score, verdict, reason : int
    """

    planes: NDArray[np.int8]
    layer_crc: tuple[int, ...]
    score: int
    verdict: int
    reason: int


def built_in_planes(model: IntegerModel) -> NDArray[np.int8]:
    """One sub-image that exercises the whole range of values: int8 [1, 3, 56, 56].

    Noise of about 4 sigma with every SNR value from -127 to 127 in it, a bright trigger pixel, a known source and
    a corner without data.
    """
    planes = np.zeros((1, N_PLANES, SIDE, SIDE), dtype=np.int8)
    snr, no_data, known = planes[0]
    snr[:] = noise(1) // 8
    snr.reshape(-1)[7 : 7 + 12 * (2 * Q_MAX + 1) : 12] = np.arange(-Q_MAX, Q_MAX + 1)
    snr[CENTRE - 1 : CENTRE + 2, CENTRE - 1 : CENTRE + 2] = 40
    snr[CENTRE, CENTRE] = 80
    no_data[np.add.outer(np.arange(SIDE), np.arange(SIDE)) > 92] = model.planes.level
    no_data[0, :] = no_data[:, 0] = model.planes.level
    snr[no_data != 0] = 0
    known[12:17, 38:43] = model.planes.level
    return planes


def selftest_planes(model: IntegerModel) -> NDArray[np.int8]:
    """The built-in sub-image, and one each that is vetoed and confirmed if they are found: int8 [N, 3, 56, 56]."""
    found = verdict_inputs(model)
    planes = make_planes(found.snr, found.mask, found.catalogue_id, model.planes)
    return np.concatenate([built_in_planes(model), planes])


def make_decisions(rule: VerdictRule) -> NDArray[np.int32]:
    """Known answers of the rule on its own edges.

    Each score next to and on a threshold, and at the ends of its range, with every limit kept by a wide margin,
    every limit just kept, each limit missed by one, and damage with and without a limit missed.

    Parameters
    ----------
    rule : VerdictRule

    Returns
    -------
    int32 array [M, 7]
        score, valid, trigger, saturated, damaged, verdict, reason.
    """
    edges = {-128, rule.t_veto - 1, rule.t_veto, rule.t_confirm, rule.t_confirm + 1, 127}
    least, trigger, most = rule.min_valid, rule.min_trigger, rule.max_saturated
    circumstances = [
        (SIDE * SIDE, Q_MAX, 0, 0),
        (least, trigger, most, 0),
        (least - 1, trigger, most, 0),
        (least, trigger - 1, most, 0),
        (least, trigger, most + 1, 0),
        (least, trigger, most, 1),
        (least, trigger, most, N_PLANES * SIDE * SIDE),
        (least - 1, trigger - 1, most + 1, 1),
    ]
    given = np.array([(score, *c) for score in sorted(edges) if -128 <= score <= 127 for c in circumstances])
    return np.column_stack([given, *rule.decide(*given.T)]).astype(np.int32)


def make_golden(model: IntegerModel, planes: NDArray[np.int8]) -> tuple[Golden, ...]:
    """Run the numpy executor on N sub-images.

    Parameters
    ----------
    model : IntegerModel
    planes : int8 array [N, 3, 56, 56]
    """
    outputs = run_layers(model, planes)
    score = outputs[-1][:, 0, 0, 0]
    verdict, reason = model.verdict.verdicts(planes, score)
    return tuple(
        Golden(
            planes=planes[i],
            layer_crc=tuple(zlib.crc32(output[i].tobytes()) for output in outputs),
            score=int(score[i]),
            verdict=int(verdict[i]),
            reason=int(reason[i]),
        )
        for i in range(len(planes))
    )
