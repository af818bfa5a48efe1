"""From a trigger set to what a network is fed: planes, labels, weights, splits by sequence, and augmentation.

Row 0 and column 0 of the planes are never data, so the field is 55x55 pixels about the trigger pixel [28, 28] and
the eight flips and rotations about it are exact: each is a permutation of pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from slewguard.export.features import psf
from slewguard.export.planes import Q_MAX, PlaneRule, make_planes
from slewguard.subimages.contract import BACKGROUND, CENTRE, KNOWN_SOURCE, SIDE, TRUE, TriggerSet
from slewguard.subimages.errors import BadInput

N_VIEWS = 8


@dataclass(frozen=True, eq=False)
class Examples:
    """Labelled alerts as planes.

    Parameters
    ----------
    planes : int8 array [N, 3, 56, 56]
    anonymous : int8 array [N, 56, 56]
        The known-source plane as it is without the catalogue number of the trigger.
    label : float32 array [N]
        1 true, 0 false.
    weight : float32 array [N]
        So that both classes weigh the same, 1 on average. The alerts of one sequence are alike and weigh together as
        the root of their number.
    snr_log2 : int
        One unit of the SNR plane is 2^-snr_log2 sigma.
    """

    planes: NDArray[np.int8]
    anonymous: NDArray[np.int8]
    label: NDArray[np.float32]
    weight: NDArray[np.float32]
    snr_log2: int

    def __len__(self) -> int:
        return len(self.label)


def split_by_sequence(triggers: TriggerSet, share: float, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split a set in two, each sequence whole on one side.

    Parameters
    ----------
    triggers : TriggerSet
    share : float
        Of the sequences that go to the second part, true and false ones alike.
    seed : int

    Returns
    -------
    first, second : int arrays
        Indices of the alerts, in rising order.
    """
    names, member = np.unique(triggers.sequence, return_inverse=True)
    is_true = np.bincount(member, weights=triggers.label == TRUE, minlength=len(names)) > 0
    rng = np.random.default_rng(seed)
    second = np.zeros(len(names), dtype=bool)
    for group in (np.flatnonzero(is_true), np.flatnonzero(~is_true)):
        second[rng.permutation(group)[: round(share * len(group))]] = True
    return np.flatnonzero(~second[member]), np.flatnonzero(second[member])


def joined(sets: Sequence[TriggerSet]) -> TriggerSet:
    """Join labelled trigger sets of different time lines; sequences are numbered anew, so that none are mixed up.

    What not all of them tell is left out: simulators, and ground segments, tell different things.

    Raises
    ------
    BadInput
        If a set has no labels.
    """
    for s in sets:
        if "label" not in s.columns:
            raise BadInput("a trigger set to be joined has no labels")
    shared = set.intersection(*(set(s.columns) for s in sets))
    values = {name: np.concatenate([s.columns[name] for s in sets]) for name in sorted(shared)}
    parts = [np.unique(s.sequence, return_inverse=True) for s in sets]
    starts = np.cumsum([0, *(len(names) for names, _ in parts)])
    values["sequence"] = np.concatenate([at + start for (_, at), start in zip(parts, starts, strict=False)])
    return TriggerSet(
        np.concatenate([s.snr for s in sets]),
        np.concatenate([s.mask for s in sets]),
        values,
        all(s.simulated for s in sets),
        sets[0].provenance,
    )


def with_more_marks(triggers: TriggerSet, share: float, seed: int) -> TriggerSet:
    """Mark a known source that does not show near the trigger of some alerts.

    A catalogue holds many sources too faint to leave a trace. Without them a network learns from few bursts near a
    known source that an alert near a mark is false, whatever it looks like.

    Parameters
    ----------
    triggers : TriggerSet
    share : float
        Of the alerts that get one more mark, 2 to 10 pixels from the trigger.
    seed : int
    """
    rng = np.random.default_rng(seed)
    mask = triggers.mask.copy()
    chosen = np.flatnonzero(rng.random(len(triggers)) < share)
    angle, away = rng.uniform(0.0, 2.0 * np.pi, len(chosen)), rng.uniform(2.0, 10.0, len(chosen))
    row = np.rint(CENTRE + away * np.sin(angle)).astype(int)
    column = np.rint(CENTRE + away * np.cos(angle)).astype(int)
    free = mask[chosen, row, column] == BACKGROUND
    mask[chosen[free], row[free], column[free]] = KNOWN_SOURCE
    return replace(triggers, mask=mask)


def make_examples(triggers: TriggerSet, rule: PlaneRule, outburst_weight: float = 1.0) -> Examples:
    """Turn a labelled trigger set into planes; alerts with an unclear label are left out.

    Parameters
    ----------
    triggers : TriggerSet
    rule : PlaneRule
    outburst_weight : float
        Weight of an outburst of a known source beside that of a burst.

    Raises
    ------
    BadInput
        If a class is missing.
    """
    triggers = triggers.select(np.flatnonzero(triggers.label != -1))
    label = (triggers.label == TRUE).astype(np.float32)
    n_true = int(label.sum())
    if not 0 < n_true < len(label):
        raise BadInput(f"{n_true} true of {len(label)} labelled alerts: both kinds are needed")
    planes = make_planes(triggers.snr, triggers.mask, triggers.catalogue_id, rule)
    anonymous = planes[:, 2].copy()
    named = np.flatnonzero(triggers.catalogue_id >= 0)
    unnamed = np.full(len(named), -1, dtype=np.int32)
    anonymous[named] = make_planes(triggers.snr[named], triggers.mask[named], unnamed, rule)[:, 2]
    _, member, alike = np.unique(triggers.sequence, return_inverse=True, return_counts=True)
    weight = np.where(triggers.cause == "outburst", outburst_weight, 1.0) / np.sqrt(alike[member])
    for one_class in (label == 1, label == 0):
        weight[one_class] *= len(label) / (2 * weight[one_class].sum())
    return Examples(planes, anonymous, label, weight.astype(np.float32), rule.snr_log2)


def views() -> NDArray[np.int64]:
    """Flat pixel numbers of the eight flips and rotations: ``flat[..., views()[k]]`` is view k of flat planes.

    Returns
    -------
    int64 array [8, 56 * 56]
        View 0 is the identity; row 0 and column 0 stay where they are.
    """
    pixel = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    field = pixel[1:, 1:]
    found = []
    for flipped in (field, field.T):
        for turns in range(4):
            view = pixel.copy()
            view[1:, 1:] = np.rot90(flipped, turns)
            found.append(view.ravel())
    return np.stack(found)


def augment(
    examples: Examples, index: NDArray[np.intp], drop_id: float, rng: np.random.Generator, faded: float = 0.0
) -> NDArray[np.int8]:
    """Planes of a batch, each in one of its eight views, some faded, some without their catalogue number.

    Parameters
    ----------
    examples : Examples
    index : int array [B]
    drop_id : float
        Share of alerts that lose the catalogue number: other people's files may not tell it.
    rng : numpy.random.Generator
    faded : float
        Share of alerts that are seen with more noise.

    Returns
    -------
    int8 array [B, 3, 56, 56]
    """
    planes = examples.planes[index]
    drop = rng.random(len(index)) < drop_id
    planes[drop, 2] = examples.anonymous[index[drop]]
    if faded:
        chosen = np.flatnonzero(rng.random(len(index)) < faded)
        planes[chosen] = fade(planes[chosen], examples.snr_log2, rng)
    chosen = _VIEWS[rng.integers(N_VIEWS, size=len(index))]
    flat = np.take_along_axis(planes.reshape(len(index), 3, -1), chosen[:, None, :], axis=2)
    return flat.reshape(planes.shape)


def fade(planes: NDArray[np.int8], snr_log2: int, rng: np.random.Generator) -> NDArray[np.int8]:
    """Alerts as a shorter exposure, or a higher background, would have shown them.

    With v times the variance of the noise added, the SNR s becomes (s + sqrt(v) n) / sqrt(1 + v), n noise with the
    correlation of a decoded map. A pixel at the end of the scale counts as what it says.

    Parameters
    ----------
    planes : int8 array [B, 3, 56, 56]
    snr_log2 : int
        One unit of the SNR plane is 2^-snr_log2 sigma.
    rng : numpy.random.Generator
        Draws v between 0 and what leaves 6 sigma at the trigger, which any alert has, at most 1.

    Returns
    -------
    int8 array [B, 3, 56, 56]
    """
    snr = planes[:, 0].astype(np.float32)
    peak = snr[:, CENTRE, CENTRE] * 2.0**-snr_log2
    most = np.clip((peak / _FAINTEST) ** 2 - 1.0, 0.0, 1.0)
    v = (rng.random(len(planes)) * most).astype(np.float32)[:, None, None]
    noise = _noise_maps()
    drawn = noise[rng.integers(len(noise), size=len(planes))]
    drawn = np.roll(drawn, rng.integers(_NOISE_SIDE, size=2), axis=(1, 2))[:, :SIDE, :SIDE]
    faint = np.floor((snr + np.sqrt(v) * drawn * 2.0**snr_log2) / np.sqrt(1.0 + v) + 0.5)
    found = planes.copy()
    # Where there is no data the SNR stays 0.
    found[:, 0] = np.where(planes[:, 1] == 0, np.clip(faint, -Q_MAX, Q_MAX), 0)
    return found


@lru_cache(maxsize=1)
def _noise_maps() -> NDArray[np.float32]:
    """Periodic maps of unit noise with the correlation of a decoded map, float32 [128, 64, 64].

    White noise on the detector, decoded, is correlated as the point-spread function is.
    """
    offset = np.arange(_NOISE_SIDE) - _NOISE_SIDE // 2
    spread = psf(*np.broadcast_arrays(offset[:, None].astype(float), offset[None, :].astype(float)))
    # Where the sampled function is no correlation, its power would be below 0 by a little.
    power = np.clip(np.fft.fft2(np.fft.ifftshift(spread)).real, 0.0, None)
    white = np.random.default_rng(0).standard_normal((_N_NOISE, _NOISE_SIDE, _NOISE_SIDE))
    maps = np.fft.ifft2(np.fft.fft2(white) * np.sqrt(power / power.mean())).real
    return maps.astype(np.float32)


_FAINTEST = 6.0
_N_NOISE, _NOISE_SIDE = 128, 64
_VIEWS = views()
