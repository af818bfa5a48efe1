"""Golden vectors: sub-images for which the right answer of every layer is known."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slewguard.export.execute import run_layers
from slewguard.export.model import IntegerModel
from slewguard.export.planes import N_PLANES, Q_MAX
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
    a corner without data. Made by a linear congruential generator (Numerical Recipes, 3rd ed., section 7.1.1:
    a = 1664525, c = 1013904223, modulus 2^32), so that no library can change it.
    """
    state, values = 1, []
    for _ in range(SIDE * SIDE):
        state = (1664525 * state + 1013904223) % 2**32
        a, b = state >> 24, (state >> 16) & 255
        values.append((a + b - 255) // 8)
    planes = np.zeros((1, N_PLANES, SIDE, SIDE), dtype=np.int8)
    snr, no_data, known = planes[0]
    snr[:] = np.array(values, dtype=np.int8).reshape(SIDE, SIDE)
    snr.reshape(-1)[7 : 7 + 12 * (2 * Q_MAX + 1) : 12] = np.arange(-Q_MAX, Q_MAX + 1)
    snr[CENTRE - 1 : CENTRE + 2, CENTRE - 1 : CENTRE + 2] = 40
    snr[CENTRE, CENTRE] = 80
    no_data[np.add.outer(np.arange(SIDE), np.arange(SIDE)) > 92] = model.planes.level
    no_data[0, :] = no_data[:, 0] = model.planes.level
    snr[no_data != 0] = 0
    known[12:17, 38:43] = model.planes.level
    return planes


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
