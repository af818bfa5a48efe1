"""Files that a person hands in: checked before a reader opens them, so that none of them can block or run off."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from slewguard.subimages.errors import BadInput


def regular_file(path: str | Path) -> Path:
    """Return the path of a readable, non-empty regular file.

    Raises
    ------
    BadInput
        If it is missing, a folder, a pipe or device (opening one may block for ever), empty or not readable.
    """
    path = Path(path)
    try:
        status = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        raise BadInput(reason(error), path) from None
    if stat.S_ISDIR(status.st_mode):
        raise BadInput("is a folder, expected a file", path)
    if not stat.S_ISREG(status.st_mode):
        raise BadInput("is not a regular file", path)
    if not os.access(path, os.R_OK):
        raise BadInput("Permission denied", path)
    if status.st_size == 0:
        raise BadInput("file is empty", path)
    return path


def read_bytes(path: str | Path, limit: int) -> bytes:
    """Return the content of a regular file of at most ``limit`` bytes.

    Raises
    ------
    BadInput
        As :func:`regular_file`, or if the file is larger.
    """
    path = regular_file(path)
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise BadInput(reason(error), path) from None
    if len(content) > limit:
        raise BadInput(f"file is larger than {limit // 2**20} MiB, too large for what it should hold", path)
    return content


def reason(error: BaseException) -> str:
    """Return why an operation failed, in one line: the system's words where it has some."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return " ".join(str(error).split())[:200] or type(error).__name__
