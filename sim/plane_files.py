"""Planes that the instrument team owns, read from FITS, npy or text and checked for shape and content."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.subimages.errors import BadInput
from slewguard.subimages.paths import read_bytes, reason

_LIMIT = 2**20


def read_mask(path: str | Path, cells: int) -> NDArray[np.bool_]:
    """Read a mask pattern of 0 (opaque) and 1 (open).

    Parameters
    ----------
    path : path-like
        FITS image, npy or text; in text one row per line, digits with or without blanks or commas between them.
    cells : int
        Cells per side.

    Returns
    -------
    bool array [cells, cells]
        Rows along z, columns along y.

    Raises
    ------
    BadInput
        Names file and fault.
    """
    values = _read(path, (cells, cells), digits=True)
    if not np.isin(values, (0, 1)).all():
        raise BadInput("holds cells that are neither 0 (opaque) nor 1 (open)", path)
    pattern = values.astype(bool)
    if pattern.all() or not pattern.any():
        raise BadInput("is no mask: all cells are the same", path)
    pattern.setflags(write=False)
    return pattern


def read_efficiency(path: str | Path, pixels: int) -> NDArray[np.float64]:
    """Read a map of relative pixel efficiencies between 0 and 2.

    Parameters
    ----------
    path : path-like
        FITS image, npy or text with blanks or commas between the numbers.
    pixels : int
        Detector pixels per side.

    Returns
    -------
    float64 array [pixels, pixels]
        Rows along z, columns along y.

    Raises
    ------
    BadInput
        Names file and fault.
    """
    values = _read(path, (pixels, pixels), digits=False)
    if not ((values >= 0) & (values <= 2)).all():
        raise BadInput("holds efficiencies outside 0 to 2 (or no numbers)", path)
    if not values.any():
        raise BadInput("holds no pixel that sees anything: all efficiencies are 0", path)
    return values


def _read(path: str | Path, shape: tuple[int, int], digits: bool) -> NDArray[np.float64]:
    content = read_bytes(path, _LIMIT)
    try:
        if content.startswith(b"\x93NUMPY"):
            values = np.load(io.BytesIO(content), allow_pickle=False)
        elif content.startswith(b"SIMPLE  ="):
            values = _fits_image(content)
        else:
            values = _text(content, digits)
    except BadInput as error:
        raise error.within(path) from None
    except Exception as error:  # astropy and numpy raise many kinds on damaged files
        raise BadInput(f"cannot be read as FITS, npy or text ({reason(error)})", path) from None
    if values.shape != shape:
        found = "x".join(str(n) for n in values.shape)
        raise BadInput(f"has {found or 'no'} values, expected {shape[0]}x{shape[1]}", path)
    if values.dtype.kind not in "biuf":
        raise BadInput(f"holds values of kind {values.dtype}, expected numbers", path)
    return values.astype(np.float64)


def _fits_image(content: bytes) -> NDArray[Any]:
    from astropy.io import fits

    # From memory: given a name, astropy would also fetch addresses and unpack archives.
    with warnings.catch_warnings(action="ignore"), fits.open(io.BytesIO(content)) as file:
        for hdu in file:
            if hdu.is_image and len(hdu.shape) > 0:
                return np.array(hdu.data)
    raise BadInput("holds no image")


def _text(content: bytes, digits: bool) -> NDArray[np.float64]:
    try:
        lines = content.decode("ascii").splitlines()
    except UnicodeDecodeError:
        raise BadInput("is neither FITS, npy nor ASCII text") from None
    rows = []
    for number, line in enumerate(lines, 1):
        words = line.split("#")[0].replace(",", " ").split()
        if digits and len(words) == 1:
            words = list(words[0])
        if not words:
            continue
        try:
            rows.append([float(word) for word in words])
        except ValueError:
            raise BadInput(f"line {number} holds something other than numbers") from None
        if len(rows[-1]) != len(rows[0]):
            raise BadInput(f"line {number} has {len(rows[-1])} values, the first row {len(rows[0])}")
    if not rows:
        raise BadInput("holds no numbers")
    return np.array(rows)
