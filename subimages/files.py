"""Trigger sets in whatever form they come: an HDF5 file, one FITS sub-image, a folder of them."""

from __future__ import annotations

import os
from pathlib import Path

from slewguard.subimages.contract import TriggerSet
from slewguard.subimages.errors import BadInput
from slewguard.subimages.fits import FITS_MAGIC, GZIP_MAGIC, read_planes, write_fits
from slewguard.subimages.folder import read_folder, stack, write_folder
from slewguard.subimages.hdf5 import read_triggers_hdf5, refuse_rejected, write_triggers_hdf5
from slewguard.subimages.paths import reason, regular_file

HDF5_SUFFIXES = (".h5", ".hdf5")
FITS_SUFFIXES = (".fits", ".fit", ".fts")


def read_triggers(path: str | Path, *, strict: bool = True) -> TriggerSet:
    """Read a trigger set from an HDF5 file, a FITS file (one alert) or a folder with ``labels.csv``.

    The content decides, not the suffix.

    Parameters
    ----------
    path : path-like
        What to read.
    strict : bool
        Refuse the input at the first sub-image that breaks the contract. Otherwise such sub-images are kept
        and :attr:`TriggerSet.rejected` tells which they are; their answer is ``abstain``.

    Raises
    ------
    BadInput
        If the input cannot be used, in one line that names it and the fault.
    RejectedSubImage
        If ``strict`` and a sub-image breaks the contract.
    """
    path = Path(path)
    if os.path.isdir(path):  # unlike Path.is_dir, no error for names that are too long
        return read_folder(path, strict=strict)
    try:
        with regular_file(path).open("rb") as file:
            start = file.read(len(FITS_MAGIC))
    except OSError as error:
        raise BadInput(reason(error), path) from None
    if start.startswith((FITS_MAGIC, GZIP_MAGIC)):
        triggers = stack([read_planes(path)], {})
        return refuse_rejected(triggers, path) if strict else triggers
    try:
        return read_triggers_hdf5(path, strict=strict)
    except BadInput as error:
        if error.fault == "not an HDF5 file":
            raise BadInput("neither HDF5 nor FITS", path) from None
        raise


def write_triggers(path: str | Path, triggers: TriggerSet) -> None:
    """Write a trigger set in the form that the suffix names.

    ``.h5`` and ``.hdf5`` give HDF5, ``.fits`` the FITS file of a single alert, no suffix a folder.

    Raises
    ------
    BadInput
        If the suffix names no form, the set does not fit it or breaks the contract, or nothing can be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix in HDF5_SUFFIXES:
        write_triggers_hdf5(path, triggers)
    elif suffix in FITS_SUFFIXES:
        if len(triggers) != 1:
            raise BadInput(f"a FITS file holds one sub-image, not {len(triggers)}", path)
        refuse_rejected(triggers, path)
        write_fits(path, triggers[0], simulated=triggers.simulated)
    elif not suffix:
        write_folder(path, triggers)
    else:
        raise BadInput(f"cannot tell the form from {suffix!r}; use .h5, .fits, or no suffix for a folder", path)
