"""Golden vectors: a few alerts with the right bytes of every step, for whoever ports the model to another machine.

As ``.npy`` files for Python: ``snr``, ``mask``, ``catalogue_id`` (the inputs), ``planes``, ``layer_NAME`` for each
layer, ``verdict`` and ``reason``. As ``golden.txt`` for everything else: hexadecimal text that a few lines of C
can read, with the planes in full and a CRC-32 (IEEE 802.3) of each layer's bytes in the order channel, row, column.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from slewguard.export.execute import run_layers
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


def golden_files(model: IntegerModel, triggers: TriggerSet) -> dict[str, bytes]:
    """Write golden vectors.

    Parameters
    ----------
    model : IntegerModel
    triggers : TriggerSet
        Inputs, at most :data:`MAX_ALERTS`, all within the contract.

    Returns
    -------
    dict of file name to content
        The same for the same arguments.
    """
    if triggers.rejected.any() or not 0 < len(triggers) <= MAX_ALERTS:
        raise BadInput(f"golden vectors need 1 to {MAX_ALERTS} sub-images that keep the contract")
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
