"""Trigger sets as a folder of FITS sub-images with a table ``labels.csv``, the form that people can edit.

The table has the columns ``file``, ``label`` (``true``, ``false``, ``unclear``, or 1, 0, -1) and, if wanted,
``cause``. What it says goes before what a FITS file says of itself.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.subimages.atomic import atomic_folder
from slewguard.subimages.columns import LABEL_NAMES, as_column
from slewguard.subimages.contract import COLUMNS, SHAPE, TriggerSet
from slewguard.subimages.errors import BadInput, RejectedSubImage
from slewguard.subimages.fits import Planes, read_planes, write_fits
from slewguard.subimages.hdf5 import provenance_from, provenance_text, refuse_rejected
from slewguard.subimages.paths import read_bytes

TABLE = "labels.csv"
PROVENANCE = "provenance.json"

_LIMIT = 64 * 2**20
_OURS = re.compile(rf"alert-\d{{6,}}\.fits|{re.escape(PROVENANCE)}")
_LABELS = {**LABEL_NAMES, **{str(number): number for number in LABEL_NAMES.values()}}


def read_folder(path: str | Path, *, strict: bool = True) -> TriggerSet:
    """Read the sub-images that ``labels.csv`` lists, in its order.

    Parameters
    ----------
    path : path-like
        Folder with ``labels.csv``; its file names are relative to the folder and stay inside it.
    strict : bool
        Refuse the folder at the first sub-image that breaks the contract, else keep such sub-images.

    Raises
    ------
    BadInput
        If the table or a file of it cannot be used, naming the file, or the table and the line.
    RejectedSubImage
        If ``strict`` and a sub-image breaks the contract, naming its file.
    """
    folder = Path(path)
    files, found = [], []
    for file, label, cause in _rows(folder):
        planes = read_planes(file)
        columns = {**planes.columns, "label": label}
        if cause:
            columns["cause"] = cause.encode()
        files.append(file)
        found.append(replace(planes, columns=columns))
    text = read_bytes(folder / PROVENANCE, _LIMIT) if os.path.lexists(folder / PROVENANCE) else b"{}"
    try:
        triggers = stack(found, provenance_from(text))
    except BadInput as error:
        raise error.within(folder / PROVENANCE) from None
    if strict and triggers.rejected.any():
        first = int(np.argmax(triggers.rejected > 0))
        try:
            triggers[first]
        except RejectedSubImage as error:
            raise error.within(files[first]) from None
    return triggers


def stack(found: Sequence[Planes], provenance: dict[str, Any]) -> TriggerSet:
    """Make one set of the content of many FITS files.

    A column that only some of them know is kept, with NaN, -1 or an empty text for the others; an alert
    without a sequence becomes an event of its own. The set is simulated unless all of them say that they are not.
    """
    columns = {}
    for name in COLUMNS:
        known = [name in planes.columns for planes in found]
        if any(known):
            columns[name] = _filled(name, [planes.columns.get(name) for planes in found])
    ids = {planes.provenance_id for planes in found} - {""}
    if ids and not provenance:
        provenance = {"provenance_ids": sorted(ids)}
    return TriggerSet(
        np.array([planes.snr for planes in found], dtype=np.float32).reshape(-1, *SHAPE),
        np.array([planes.mask for planes in found], dtype=np.uint8).reshape(-1, *SHAPE),
        columns,
        any(planes.simulated for planes in found),
        provenance,
    )


def _filled(name: str, values: list[Any]) -> NDArray[Any]:
    kind = COLUMNS[name]
    if name == "sequence":
        known = [int(value) for value in values if value is not None]
        unused = iter(sorted(set(range(2 * len(values))) - set(known)))
        return np.array([next(unused) if value is None else int(value) for value in values], dtype=kind)
    missing: dict[str, Any] = {"f": np.nan, "S": b"", "i": -1}
    return np.array([missing[kind.kind] if value is None else value for value in values], dtype=kind)


def write_folder(path: str | Path, triggers: TriggerSet) -> None:
    """Write a trigger set as FITS files ``alert-000000.fits`` and so on, with ``labels.csv``.

    An alert whose label is not known is written as ``unclear``, ready to be edited. The same set gives the
    same bytes.

    Parameters
    ----------
    path : path-like
        New or empty folder, or one that this function wrote, which is replaced as a whole; one that holds any other
        file is refused.
    triggers : TriggerSet

    Raises
    ------
    BadInput
        If a sub-image or column breaks the contract, or the folder cannot be written; nothing is left behind.
    """
    refuse_rejected(triggers, path)
    names = {number: word for word, number in LABEL_NAMES.items()}
    labels = triggers.columns.get("label", np.full(len(triggers), LABEL_NAMES["unclear"]))
    try:
        labels = as_column("label", labels)
        provenance = provenance_text(triggers.provenance)
    except BadInput as error:
        raise error.within(path) from None
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["file", "label", "cause"])
    causes = triggers.cause
    with atomic_folder(path, marker=TABLE, ours=_OURS.fullmatch) as beside:
        for i, subimage in enumerate(triggers):
            name = f"alert-{i:06d}.fits"
            write_fits(beside / name, subimage, simulated=triggers.simulated)
            writer.writerow([name, names[int(labels[i])], causes[i]])
        (beside / TABLE).write_text(table.getvalue(), encoding="ascii")
        pretty = json.dumps(json.loads(provenance), indent=2, sort_keys=True)
        (beside / PROVENANCE).write_text(pretty + "\n", encoding="utf-8")


def _rows(folder: Path) -> Iterator[tuple[Path, int, str]]:
    """Yield file, label and cause of each row of the table, every one checked."""
    table = folder / TABLE
    if os.path.isdir(folder) and not os.path.lexists(table):
        raise BadInput(f"folder holds no {TABLE} (file,label,cause)", folder)
    try:
        text = read_bytes(table, _LIMIT).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput("is not UTF-8 text", table) from None
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    seen: dict[Path, int] = {}
    try:
        names = [name.strip().lower() for name in reader.fieldnames or ()]
        reader.fieldnames = names
        if not {"file", "label"} <= set(names):
            raise BadInput("line 1: expected the columns file,label,cause")
        for row in reader:
            line = f"line {reader.line_num}"
            if None in row or None in row.values():
                raise BadInput(f"{line}: expected {len(names)} fields")
            file = _inside(folder, row["file"].strip(), line)
            if file.resolve() in seen:
                raise BadInput(f"{line}: {row['file']!r:.80} is listed already in line {seen[file.resolve()]}")
            seen[file.resolve()] = reader.line_num
            label = row["label"].strip().lower()
            if label not in _LABELS:
                raise BadInput(f"{line}: label is {label!r:.40}, expected true, false or unclear (1, 0, -1)")
            cause = row.get("cause", "").strip()
            try:
                as_column("cause", np.array([cause]))
            except BadInput:
                raise BadInput(f"{line}: unknown cause {cause!r:.40}") from None
            yield file, _LABELS[label], cause
    except BadInput as error:
        raise error.within(table) from None
    except csv.Error as error:
        raise BadInput(f"line {reader.line_num}: {error}", table) from None


def _inside(folder: Path, name: str, line: str) -> Path:
    """Return the path of a listed file, which must lie in the folder, links followed."""
    if not name or not name.isprintable():
        raise BadInput(f"{line}: {name!r:.80} is not a file name")
    relative = PurePosixPath(name)
    file = folder / name
    if relative.is_absolute() or ".." in relative.parts:
        raise BadInput(f"{line}: {name!r:.80} leads out of the folder")
    try:
        inside = file.resolve().is_relative_to(folder.resolve())
        present = file.is_file()
    except (OSError, RuntimeError):  # names that are too long, links that go in circles
        inside, present = True, False
    if not inside:
        raise BadInput(f"{line}: {name!r:.80} leads out of the folder")
    if not present:
        raise BadInput(f"{line}: no file {name!r:.80}")
    return file
