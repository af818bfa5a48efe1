"""Golden vectors: sub-images for which the right answer of every layer is known."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slewguard.export.execute import run_layers
from slewguard.export.familiar import PER_PIXEL, Features
from slewguard.export.golden import noise, verdict_inputs
from slewguard.export.model import IntegerModel
from slewguard.export.planes import N_PLANES, Q_MAX, make_planes
from slewguard.export.sequence import MAX_LOOKS, SequenceState
from slewguard.export.verdict import VerdictRule
from slewguard.subimages.contract import CENTRE, REASONS, SIDE


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


def make_reasons(rule: VerdictRule) -> NDArray[np.int64]:
    """Features on every edge of the rule, and the reasons: each limit just kept and missed by one, alone and together.

    Parameters
    ----------
    rule : VerdictRule

    Returns
    -------
    int64 array [M, 9]
        The features in the order of :class:`slewguard.export.familiar.Features`, then the reason.
    """
    r = rule.integers()
    valid = max(r["min_valid"], 1)
    mean = -(-r["min_mean"] * valid // PER_PIXEL), r["max_mean"] * valid // PER_PIXEL
    names = Features._fields
    greatest = (
        valid,
        r["min_trigger"],
        r["max_saturated"],
        0,
        r["max_peak"],
        mean[1],
        r["max_bright"],
        r["max_marked"],
    )
    kept = dict(zip(names, greatest, strict=True))
    least = {**kept, "peak": r["min_peak"], "total": mean[0], "bright": r["min_bright"], "marked": r["min_marked"]}
    damaged = {**kept, "damaged": 1}
    later = names[4:]
    rows = [kept, least, damaged, {**kept, "damaged": N_PLANES * SIDE * SIDE}]
    for base in (kept, damaged):
        steps = [("valid", -1), ("trigger", -1), ("saturated", 1), *((name, 1) for name in later)]
        rows += [{**base, name: base[name] + step} for name, step in steps]
    rows += [{**least, name: least[name] - 1} for name in later]
    rows.append({**kept, "valid": valid - 1, "peak": kept["peak"] + 1})
    # A count is never negative, nor so great that a product could overflow.
    possible = [row for row in rows if all(row[name] >= 0 for name in names if name != "trigger")]
    given = np.array([[row[name] for name in names] for row in possible if row["total"] < 2**20], dtype=np.int64)
    return np.column_stack([given, rule.reasons(Features(*given.T))]).astype(np.int64)


def make_looks(rule: VerdictRule) -> NDArray[np.int64]:
    """Looks from several states at scores next to and on the thresholds, with and without a reason.

    Parameters
    ----------
    rule : VerdictRule

    Returns
    -------
    int64 array [M, 7]
        looks and maximum before, score, reason, verdict, looks and maximum after.
    """
    edges = {-128, rule.t_veto - 1, rule.t_veto, rule.t_confirm, rule.t_confirm + 1, 127}
    scores = sorted(score for score in edges if -128 <= score <= 127)
    looks = sorted({0, max(rule.first_look - 2, 0), rule.first_look - 1, MAX_LOOKS - 1, MAX_LOOKS})
    states = [(n, maximum) for n in looks for maximum in (-128, 0, scores[1])]
    rows = []
    for state in [SequenceState(*pair) for pair in dict.fromkeys(states)]:
        for score in scores:
            for reason in (0, REASONS.index("unfamiliar")):
                after, verdict = rule.decide_sequence(state, score, reason)
                rows.append((*state, score, reason, verdict, *after))
    return np.array(rows, dtype=np.int64)


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
