"""The optional columns of a trigger set: brought to their types and ranges, whatever file they come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.subimages.contract import CAUSES, COLUMNS, FALSE, TRIGGER_KINDS, TRUE, UNCLEAR
from slewguard.subimages.errors import BadInput

LABEL_NAMES: Mapping[str, int] = {"true": TRUE, "false": FALSE, "unclear": UNCLEAR}
"""The labels as words, in files and tables for people."""

# An empty text is an alert of which the cause, or the algorithm, is not known.
_WORDS = {"cause": {b"", *(cause.encode() for cause in CAUSES)}, "trigger": {b"", *TRIGGER_KINDS}}


def as_column(name: str, values: NDArray[Any], first: int = 0) -> NDArray[Any]:
    """Return a column in the type of :data:`~slewguard.subimages.COLUMNS`.

    Parameters
    ----------
    name : str
        Name of the column.
    values : array [N]
        Numbers of any type (whole ones where the column holds integers), or bytes or text.
    first : int
        Number of the first alert, for messages.

    Raises
    ------
    BadInput
        If a value has no place in the column: a label other than -1, 0 and 1, an unknown cause (a cause
        misspelt would take a burst out of the certificate's population), a number out of range.
    """
    kind = COLUMNS[name]
    if kind.kind == "S":
        return _texts(name, values, first)
    if values.dtype.kind not in "biuf":
        raise BadInput(f"/{name} holds {values.dtype}, expected numbers")
    with np.errstate(over="ignore", invalid="ignore"):
        if kind.kind == "f":
            return values.astype(kind)
        limits = np.iinfo(kind)
        low, high = (UNCLEAR, TRUE) if name == "label" else (int(limits.min), int(limits.max))
        bad = np.zeros(values.shape, dtype=bool)
        if values.dtype.kind == "f":
            # Beyond 2^53 a float64 no longer holds every whole number.
            low, high = max(low, -(2**53)), min(high, 2**53)
            bad |= values != np.rint(values)
        bad |= ~((values >= low) & (values <= high))
    if bad.any():
        i = int(np.argmax(bad))
        raise BadInput(f"/{name}[{first + i}] is {values[i]}, expected a whole number from {low} to {high}")
    return values.astype(kind)


def _texts(name: str, values: NDArray[Any], first: int) -> NDArray[Any]:
    found = np.zeros(len(values), dtype=COLUMNS[name])
    for i, value in enumerate(values):
        if isinstance(value, str):
            value = value.encode("utf-8", "replace")
        if not isinstance(value, bytes):
            raise BadInput(f"/{name} holds {values.dtype}, expected text")
        word = value.rstrip(b" \0")
        if word not in _WORDS[name]:
            shown = word[:40].decode("ascii", "backslashreplace")
            known = ", ".join(sorted(w.decode() for w in _WORDS[name] if w))
            raise BadInput(f"/{name}[{first + i}] is {shown!r}, expected one of {known}")
        found[i] = word
    return found
