"""Golden vectors: a few alerts with the right bytes of every step, for whoever ports the model to another machine.

As ``.npy`` files for Python: ``snr``, ``mask``, ``catalogue_id`` (the inputs), ``planes``, ``layer_NAME`` for each
layer, ``verdict`` and ``reason``. As ``golden.txt`` for everything else: hexadecimal text that a few lines of C
can read, with the planes in full and a CRC-32 (IEEE 802.3) of each layer's bytes in the order channel, row, column.
A veto and a confirm are among the alerts if a search finds sub-images for which the model gives them.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from slewguard.export.execute import run, run_layers
from slewguard.export.model import IntegerModel
from slewguard.export.planes import make_planes
from slewguard.subimages.contract import (
    BACKGROUND,
    CENTRE,
    KNOWN_SOURCE,
    NO_DATA,
    SIDE,
    TRIGGER_PIXEL,
    TriggerSet,
)
from slewguard.subimages.errors import BadInput
from slewguard.subimages.verdict import Verdict

MAX_ALERTS = 16
_INPUTS: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "snr": ("<f4", (SIDE, SIDE)),
    "mask": ("|u1", (SIDE, SIDE)),
    "catalogue_id": ("<i4", ()),
}


def golden_inputs(seed: int = 0) -> TriggerSet:
    """Four sub-images that go through every branch from SNR to planes.

    1. noise, a bright trigger, two known sources marked by one pixel and by a 3x3 patch; 2. a source of the
    catalogue under the trigger, a third of the field without data; 3. values on and next to every quantisation
    step of the default planes; 4. values far beyond the range.
    """
    rng = np.random.default_rng(seed)
    snr = rng.normal(size=(4, SIDE, SIDE)).astype(np.float32)
    mask = np.full(snr.shape, BACKGROUND, dtype=np.uint8)
    catalogue_id = np.array([-1, 12, -1, -1], dtype=np.int32)
    snr[0, CENTRE - 1 : CENTRE + 2, CENTRE - 1 : CENTRE + 2] += 6
    mask[0, 10, 40] = mask[0, 44:47, 11:14] = KNOWN_SOURCE
    snr[1, CENTRE, CENTRE] = 9
    mask[1, :, 36:] = NO_DATA
    steps = (np.arange(-127, 127) + np.float32(0.5)) / np.float32(4)
    around = [np.nextafter(steps, np.float32(-np.inf)), steps, np.nextafter(steps, np.float32(np.inf))]
    snr[2, 1:].reshape(-1)[: 3 * len(steps)] = np.concatenate(around)
    snr[3] *= np.float32(1e3)
    snr[3, 5, 5:9] = np.array([3.4e38, -3.4e38, 1e-45, -0.0], dtype=np.float32)
    mask[:, CENTRE, CENTRE] = TRIGGER_PIXEL
    snr[mask == NO_DATA] = np.nan
    return TriggerSet(snr, mask, {"catalogue_id": catalogue_id}, simulated=True)


def noise(seed: int) -> NDArray[np.int64]:
    """Triangular noise in -255..255, standard deviation 104.5: int64 [56, 56].

    By a linear congruential generator (Numerical Recipes, 3rd ed., section 7.1.1: a = 1664525, c = 1013904223,
    modulus 2^32), so that no library can change it.
    """
    state, values = seed, []
    for _ in range(SIDE * SIDE):
        state = (1664525 * state + 1013904223) % 2**32
        values.append((state >> 24) + ((state >> 16) & 255) - 255)
    return np.array(values, dtype=np.int64).reshape(SIDE, SIDE)


def _candidates() -> TriggerSet:
    """Point sources with four minima about them, stripes and blocks, in noise of one sigma."""
    rows, columns = np.indices((SIDE, SIDE))
    source = np.zeros((SIDE, SIDE), dtype=np.int64)
    source[CENTRE - 1 : CENTRE + 2, CENTRE - 1 : CENTRE + 2] = 24
    source[[CENTRE - 4, CENTRE + 4, CENTRE, CENTRE], [CENTRE, CENTRE, CENTRE - 4, CENTRE + 4]] = -16
    patterns = [
        source,
        np.where(columns // 4 % 2, -16, 16),
        np.where(rows // 4 % 2, -16, 16),
        np.where((rows // 7 + columns // 7) % 2, -16, 16),
    ]
    quarters = np.array([pattern + noise(seed) // 26 for seed in range(1, 9) for pattern in patterns])
    quarters[:, CENTRE, CENTRE] = 48
    mask = np.full(quarters.shape, BACKGROUND, dtype=np.uint8)
    mask[:, CENTRE, CENTRE] = TRIGGER_PIXEL
    return TriggerSet(quarters.astype(np.float32) / np.float32(4), mask, simulated=True)


def verdict_inputs(model: IntegerModel) -> TriggerSet:
    """One sub-image that the model vetoes and one that it confirms, as far as a small search finds them.

    The search uses integers alone, so that the same model gives the same sub-images everywhere.
    """
    triggers = _candidates()
    verdict = _judged(model, triggers)
    found = [int(np.argmax(verdict == wanted)) for wanted in (Verdict.VETO, Verdict.CONFIRM) if wanted in verdict]
    return TriggerSet(triggers.snr[found], triggers.mask[found], simulated=True)


def golden_files(model: IntegerModel, triggers: TriggerSet) -> dict[str, bytes]:
    """Write golden vectors.

    Parameters
    ----------
    model : IntegerModel
    triggers : TriggerSet
        Inputs, at most :data:`MAX_ALERTS`, all within the contract. Those of :func:`verdict_inputs` are added
        for verdicts that these do not give, as long as there is room.

    Returns
    -------
    dict of file name to content
        The same for the same arguments.
    """
    if triggers.rejected.any() or not 0 < len(triggers) <= MAX_ALERTS:
        raise BadInput(f"golden vectors need 1 to {MAX_ALERTS} sub-images that keep the contract")
    triggers = _with_verdicts(model, triggers)
    planes = make_planes(triggers.snr, triggers.mask, triggers.catalogue_id, model.planes)
    layers = run_layers(model, planes)
    verdict, reason = model.verdict.verdicts(planes, layers[-1][:, 0, 0, 0])
    arrays = {
        "snr": triggers.snr.astype("<f4"),
        "mask": triggers.mask,
        "catalogue_id": triggers.catalogue_id.astype("<i4"),
        "planes": planes,
        **{f"layer_{layer.name}": output for layer, output in zip(model.layers, layers, strict=True)},
        "verdict": verdict,
        "reason": reason,
    }
    files = {f"{name}.npy": _npy(array) for name, array in arrays.items()}
    return {**files, "golden.txt": _text(model, planes, layers, verdict, reason).encode("ascii")}


def read_inputs(files: Mapping[str, bytes]) -> TriggerSet:
    """Read the inputs back from files that :func:`golden_files` wrote.

    Raises
    ------
    BadInput
        If one is missing or not of the form that is written.
    """
    arrays = {}
    for name, (dtype, shape) in _INPUTS.items():
        content = files.get(f"{name}.npy", b"")
        item = np.dtype(dtype).itemsize * int(np.prod(shape))
        form = _npy(np.empty((0, *shape), dtype=dtype))
        body = content[len(form) :]
        if len(body) % item or not 0 < len(body) // item <= MAX_ALERTS:
            raise BadInput(f"golden vectors: {name}.npy has not its size")
        arrays[name] = np.frombuffer(body, dtype=dtype).reshape(-1, *shape)
        if _npy(arrays[name]) != content:
            raise BadInput(f"golden vectors: {name}.npy is not an array of {dtype} [N{', 56, 56' if shape else ''}]")
    if len({len(array) for array in arrays.values()}) != 1:
        raise BadInput("golden vectors: inputs differ in number")
    columns = {"catalogue_id": arrays["catalogue_id"].astype(np.int32)}
    return TriggerSet(arrays["snr"].astype(np.float32), arrays["mask"], columns, simulated=True)


def _judged(model: IntegerModel, triggers: TriggerSet) -> NDArray[np.uint8]:
    planes = make_planes(triggers.snr, triggers.mask, triggers.catalogue_id, model.planes)
    return model.verdict.verdicts(planes, run(model, planes))[0]


def _with_verdicts(model: IntegerModel, triggers: TriggerSet) -> TriggerSet:
    found = verdict_inputs(model)
    new = np.nonzero(~np.isin(_judged(model, found), _judged(model, triggers)))[0][: MAX_ALERTS - len(triggers)]
    catalogue_id = np.concatenate([triggers.catalogue_id, found.catalogue_id[new]])
    return TriggerSet(
        np.concatenate([triggers.snr, found.snr[new]]),
        np.concatenate([triggers.mask, found.mask[new]]),
        {"catalogue_id": catalogue_id},
        simulated=True,
    )


def _npy(array: NDArray[np.generic]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def _text(
    model: IntegerModel,
    planes: NDArray[np.int8],
    layers: list[NDArray[np.integer]],
    verdict: NDArray[np.uint8],
    reason: NDArray[np.uint8],
) -> str:
    lines = [
        f"slewguard golden vectors 1 model {model.sha256}",
        f"count {len(planes)} layers {len(layers)}",
    ]
    for i in range(len(planes)):
        lines.append(f"vector {i} score {int(layers[-1][i, 0, 0, 0])} verdict {verdict[i]} reason {reason[i]}")
        lines.append("crc32 " + " ".join(f"{zlib.crc32(output[i].tobytes()):08x}" for output in layers))
        lines.extend(row.tobytes().hex() for plane in planes[i] for row in plane)
    return "\n".join(lines) + "\n"
