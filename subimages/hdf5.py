"""Trigger sets in HDF5: ``/snr`` and ``/mask``, optional columns, and four root attributes.

What is read may come from anybody. A file is never allowed to make us read another one (soft and external
links, virtual and external storage are refused) nor to claim more memory than what it holds can fill.
"""

from __future__ import annotations

import json
import math
import mmap
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.subimages.atomic import atomic_output
from slewguard.subimages.columns import as_column
from slewguard.subimages.contract import COLUMNS, SHAPE, SIDE, TRIGGER_PIXEL, TriggerSet
from slewguard.subimages.errors import BadInput, RejectedSubImage
from slewguard.subimages.paths import reason, regular_file

FORMAT = "slewguard-triggers"
VERSION = 1

MAX_ALERTS = 5_000_000
"""More alerts than a mission gives in centuries; a file that declares more is damaged or hostile."""

# SNR maps are noise and compress a few times; a file that unpacks to 200 times its size holds no such maps.
_MAX_EXPANSION = 200
_ALWAYS_ALLOWED = 64 * 2**20
_BLOCK = 1024
_MAX_TEXT = 256


def read_triggers_hdf5(path: str | Path, *, strict: bool = True) -> TriggerSet:
    """Read a trigger set.

    Parameters
    ----------
    path : path-like
        HDF5 file with ``/snr`` (floating point [N, 56, 56], in sigma) and ``/mask`` (integer [N, 56, 56]), and
        any of the columns of :data:`~slewguard.subimages.COLUMNS`. Any filter of h5py is read, and files that
        slewguard did not write; other data sets in it are left alone.
    strict : bool
        Refuse the file at the first sub-image that breaks the contract. Otherwise such sub-images are kept
        and :attr:`TriggerSet.rejected` tells which they are.

    Raises
    ------
    BadInput
        If the file cannot be used, in one line that names it and the fault.
    RejectedSubImage
        If ``strict`` and a sub-image breaks the contract.
    """
    path = regular_file(path)
    try:
        triggers = _load(path)
    except BadInput as error:
        raise error.within(path) from error.__cause__
    except Exception as error:
        # HDF5 meets damaged bytes with nearly every kind of error there is; each means the same to a person.
        raise BadInput(_hdf5_fault(error), path) from error
    return refuse_rejected(triggers, path) if strict else triggers


def refuse_rejected(triggers: TriggerSet, path: str | Path) -> TriggerSet:
    """Return a set whose every sub-image keeps the contract.

    Raises
    ------
    RejectedSubImage
        For the first one that does not, with its number and the file.
    """
    for i in np.flatnonzero(triggers.rejected):
        try:
            triggers[int(i)]
        except RejectedSubImage as error:
            raise RejectedSubImage(error.reason, f"sub-image {i}: {error.fault}", path) from None
    return triggers


def write_triggers_hdf5(path: str | Path, triggers: TriggerSet) -> None:
    """Write a trigger set, uncompressed and contiguous; the same set gives the same bytes.

    Raises
    ------
    BadInput
        If a sub-image or a column breaks the contract, or the file cannot be written; nothing is left behind.
    """
    import h5py

    refuse_rejected(triggers, path)
    try:
        columns = {name: as_column(name, values) for name, values in triggers.columns.items()}
        provenance = provenance_text(triggers.provenance)
    except BadInput as error:
        raise error.within(path) from None
    arrays = {
        "snr": triggers.snr.astype("<f4", copy=False),
        "mask": triggers.mask.astype("u1", copy=False),
        **{name: columns[name] for name in COLUMNS if name in columns},
    }
    with atomic_output(path) as beside:
        try:
            # A fixed range of formats: the bytes do not follow the HDF5 version, HDF5 1.8 can read them, and
            # since 1.8 metadata carry checksums. Texts of fixed length need no heap, whose bytes have no checksum.
            with h5py.File(beside, "w", libver=("v108", "v108")) as file:
                file.attrs["format"] = np.bytes_(FORMAT)
                file.attrs["version"] = VERSION
                file.attrs["simulated"] = bool(triggers.simulated)
                file.attrs["provenance"] = np.bytes_(provenance)
                for name, values in arrays.items():
                    file.create_dataset(name, data=values, track_times=False)
        except RuntimeError as error:  # what h5py makes of a disk that fills up while the file is closed
            raise BadInput(f"cannot be written: {reason(error)}", path) from error


def provenance_text(provenance: Mapping[str, Any]) -> str:
    """Return provenance as JSON text with sorted keys.

    Raises
    ------
    BadInput
        If it holds what JSON cannot.
    """
    try:
        return json.dumps(dict(provenance), sort_keys=True, allow_nan=False)  # ASCII
    except (TypeError, ValueError) as error:
        raise BadInput(f"provenance is not JSON-able: {error}") from None


def provenance_from(text: str | bytes) -> dict[str, Any]:
    """Return the provenance that :func:`provenance_text` wrote.

    Raises
    ------
    BadInput
        If the text is not a JSON object.
    """
    try:
        found = json.loads(text)
        json.dumps(found, allow_nan=False)  # Python reads NaN and 1e999, which JSON cannot say
    except (ValueError, RecursionError):
        raise BadInput("provenance is not valid JSON") from None
    if not isinstance(found, dict):
        raise BadInput("provenance is not a JSON object")
    return found


def _hdf5_fault(error: Exception) -> str:
    said = reason(error)
    if "signature not found" in str(error):
        return "not an HDF5 file"
    if "truncated" in str(error):
        return "HDF5 file is truncated"
    if isinstance(error, MemoryError):
        return "HDF5 file needs more memory than there is"
    return f"HDF5 file is damaged ({said})"


def _load(path: Path) -> TriggerSet:
    import h5py

    with h5py.File(path, "r") as file:
        simulated, provenance = _attributes(file, path)
        size = path.stat().st_size
        snr_set = _data_set(file, "snr", size)
        mask_set = _data_set(file, "mask", size)
        if snr_set is None or mask_set is None:
            raise BadInput(f"holds no /{'snr' if snr_set is None else 'mask'}")
        n = len(snr_set) if snr_set.shape else 0
        for name, found in (("snr", snr_set), ("mask", mask_set)):
            if found.shape != (n, *SHAPE):
                raise BadInput(f"/{name} has shape {found.shape}, expected ({n or 'N'}, {SIDE}, {SIDE})")
        if snr_set.dtype.kind != "f":
            raise BadInput(f"/snr holds {snr_set.dtype}, expected floating point numbers")
        if mask_set.dtype.kind not in "iu":
            raise BadInput(f"/mask holds {mask_set.dtype}, expected integers")
        snr = np.empty((n, *SHAPE), dtype=np.float32)
        mask = np.empty((n, *SHAPE), dtype=np.uint8)
        # No less than a chunk at a time: each access unpacks a large chunk anew.
        step = max(_BLOCK, *(found.chunks[0] for found in (snr_set, mask_set) if found.chunks is not None), 1)
        for start in range(0, n, step):
            block = slice(start, start + step)
            snr[block] = to_float32(snr_set[block])
            mask[block] = to_codes(mask_set[block])
        columns = {}
        for name in COLUMNS:
            found = _data_set(file, name, size)
            if found is not None:
                if found.dtype.kind == "O":
                    _check_heaps(path, file)
                columns[name] = _column(name, found, n)
    return TriggerSet(snr, mask, columns, simulated, provenance)


def to_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return SNR as float32; what lies beyond its range becomes an infinity, which the contract rejects."""
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(np.float32)


def to_codes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return mask codes as uint8; what is no code (256 would wrap to 0) becomes 255, which is rejected."""
    with np.errstate(invalid="ignore"):
        valid = (values >= 0) & (values <= TRIGGER_PIXEL) & (values == np.floor(values))
        return np.where(valid, values, 255).astype(np.uint8)


def _attributes(file: Any, path: Path) -> tuple[bool, dict[str, Any]]:
    """Return ``simulated`` and ``provenance``; of other people's files no attribute is asked."""
    ours = _attribute(file, path, "format") == FORMAT
    version = _attribute(file, path, "version")
    if ours and version is not None and version != VERSION:
        raise BadInput(f"version {version!s:.40} of the format is not known, expected {VERSION}")
    simulated = _attribute(file, path, "simulated")
    if ours and not isinstance(simulated, (int, type(None))):
        raise BadInput("attribute 'simulated' is not a boolean")
    text = _attribute(file, path, "provenance")
    try:
        provenance = {} if text is None else provenance_from(str(text))
    except BadInput:
        if ours:
            raise
        provenance = {}
    # Thresholds set on alerts of unknown origin must not pass for such as were set on real ones.
    return simulated not in (0, "False", "false"), provenance


def _attribute(file: Any, path: Path, name: str) -> bool | int | str | None:
    """Return an attribute of the file if it is one number or text, else None."""
    if name not in file.attrs:
        return None
    kept = file.attrs.get_id(name)
    if kept.shape != () or kept.dtype.kind not in "biuSO":
        return None
    if kept.dtype.kind == "O":
        _check_heaps(path, file)
    value = file.attrs[name]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.generic):
        return value.item()
    return value if isinstance(value, str) else None


def _check_heaps(path: Path, file: Any) -> None:
    """Refuse heaps of texts of variable length on which the HDF5 library (seen with 2.0.0) loops for ever.

    It steps over the objects of a heap by their sizes and does not notice a step of zero. The layout is that of
    the HDF5 File Format Specification, section III.E (global heap): signature, version, three unused bytes, size
    of the heap; then per object its number, count, four unused bytes and its size.
    """
    if file.id.get_create_plist().get_sizes() != (8, 8):
        raise BadInput("holds texts of variable length in a form of HDF5 that is not read")
    with path.open("rb") as raw, mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for heap in re.finditer(rb"GCOL\x01", content):
            size = int.from_bytes(content[heap.start() + 8 : heap.start() + 16], "little")
            at, end = heap.start() + 16, heap.start() + size
            if end > len(content):
                continue  # HDF5 refuses it too, if it is a heap at all
            while at + 16 <= end:
                number = int.from_bytes(content[at : at + 2], "little")
                length = int.from_bytes(content[at + 8 : at + 16], "little")
                # Object 0 is the free space, whose size counts its own header.
                step = length if number == 0 else 16 + -(-length // 8) * 8
                if step == 0 or step > size:
                    raise BadInput("HDF5 file is damaged (heap of texts)")
                at += step


def _data_set(file: Any, name: str, file_size: int) -> Any | None:
    """Return a data set that lies whole in this file, or None where there is none of that name."""
    import h5py

    key = name.encode()
    # The low-level calls look at the link itself; `name in file` would already open the file it points to.
    if not file.id.links.exists(key):
        return None
    if file.id.links.get_info(key).type != h5py.h5l.TYPE_HARD:
        raise BadInput(f"/{name} is a link, which is not followed")
    found = file[name]
    if not isinstance(found, h5py.Dataset):
        raise BadInput(f"/{name} is not a data set")
    if found.is_virtual or found.external:
        raise BadInput(f"/{name} is kept in another file, which is not read")
    if found.shape is None:
        raise BadInput(f"/{name} is empty")
    if found.shape and found.shape[0] > MAX_ALERTS:
        raise BadInput(f"/{name} declares {found.shape[0]} alerts, more than the {MAX_ALERTS} that are read")
    declared = math.prod(found.shape) * found.dtype.itemsize
    if found.chunks is None:
        complete = found.id.get_storage_size() >= declared
    else:
        n_chunks = math.prod(-(-n // chunk) for n, chunk in zip(found.shape, found.chunks, strict=True))
        complete = found.id.get_num_chunks() == n_chunks
        # One chunk is unpacked whole, however little of it is asked for.
        declared = max(declared, math.prod(found.chunks) * found.dtype.itemsize)
    if not complete:
        raise BadInput(f"/{name} declares more data than the file stores")
    if declared > max(_ALWAYS_ALLOWED, _MAX_EXPANSION * file_size):
        raise BadInput(f"/{name} would unpack to {declared // 2**20} MiB from a file of {file_size} bytes")
    return found


def _column(name: str, found: Any, n: int) -> NDArray[Any]:
    if found.shape != (n,):
        raise BadInput(f"/{name} has shape {found.shape}, expected ({n},)")
    if found.dtype.kind == "S" and found.dtype.itemsize > _MAX_TEXT:
        raise BadInput(f"/{name} holds texts of {found.dtype.itemsize} bytes, expected at most {_MAX_TEXT}")
    values = np.empty(n, dtype=COLUMNS[name])
    # In blocks, because texts of variable length can each stand for the same megabytes.
    for start in range(0, n, _BLOCK):
        values[start : start + _BLOCK] = as_column(name, found[start : start + _BLOCK], start)
    return values
