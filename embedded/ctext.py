"""Pieces of C text: names, comments, strings, nested loops and tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTH = 100


def comment(text: str) -> str:
    """Text that is harmless within a C comment, whatever a model is called."""
    return re.sub(r"[^A-Za-z0-9 ._+-]", "_", text)


def string(text: str) -> str:
    """C string literal of the UTF-8 bytes of a text; what is not plain ASCII becomes an octal escape.

    The question mark is escaped too, since C99 still has trigraphs.
    """
    plain = (chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in text.encode())
    return '"' + "".join(plain) + '"'


def dimensions(shape: Iterable[int]) -> str:
    """Brackets of an array type: ``[8][28][28]``."""
    return "".join(f"[{n}]" for n in shape)


def c_type(dtype: np.dtype[Any]) -> str:
    """Fixed-width C type of an integer dtype."""
    return f"{dtype.name}_t"


def pointer(dtype: np.dtype[Any], shape: Sequence[int], *, const: bool = False) -> str:
    """Type of a pointer to the first element of an array: ``const int8_t (*)[56][56]``."""
    return f"{'const ' if const else ''}{c_type(dtype)} (*){dimensions(shape[1:])}"


def indent(lines: Iterable[str], levels: int = 1) -> list[str]:
    """Shift lines to the right by four columns a level."""
    return [" " * 4 * levels + line if line else line for line in lines]


def nest(loops: Sequence[tuple[str, int]], body: Sequence[str], *, unroll: bool = False) -> list[str]:
    """Nested ``for`` loops from 0 to literal bounds about a body; a loop of one turn is left out.

    Parameters
    ----------
    loops : sequence of (variable, bound)
        Outermost first.
    body : sequence of str
    unroll : bool
        Ask a static analyser to follow every turn, so that it bounds the sum that the loops form: an ACSL comment.
    """
    lines = list(body)
    for variable, bound in reversed(loops):
        if bound > 1:
            head = f"for (int32_t {variable} = 0; {variable} < {bound}; {variable}++) {{"
            note = [f"/*@ loop unroll {bound}; */"] if unroll else []
            lines = [*note, head, *indent(lines), "}"]
    return lines


def index(variable: str, bound: int) -> str:
    """Loop variable as an array index; 0 where :func:`nest` leaves the loop out."""
    return variable if bound > 1 else "0"


def position(stride: int, variable: str, bound: int, tap: str, taps: int) -> str:
    """Where a kernel's tap lies: ``2 * row + y``, without the terms that are always 0."""
    terms = []
    if bound > 1:
        terms.append(variable if stride == 1 else f"{stride} * {variable}")
    if taps > 1:
        terms.append(tap)
    return " + ".join(terms) or "0"


def table_body(values: NDArray[Any]) -> list[str]:
    """Lines of the braces that initialise a constant array of integers of any shape."""
    suffix = "u" if values.dtype == np.uint32 else ""
    width = max(len(str(v)) for v in values.ravel().tolist()) + len(suffix)
    return _braces(values.tolist(), width, suffix)


def _braces(values: Any, width: int, suffix: str) -> list[str]:
    if not isinstance(values[0], list):
        flat = [f"{f'{v}{suffix}':>{width}}" for v in values]
        if len(flat) * (width + 2) <= WIDTH - 16:
            return ["{" + ", ".join(flat) + "}"]
        return ["{", *indent(table_rows(flat)), "}"]
    inner = [_braces(value, width, suffix) for value in values]
    if all(len(lines) == 1 for lines in inner):
        line = "{" + ", ".join(lines[0] for lines in inner) + "}"
        if not isinstance(values[0][0], list) and len(line) <= WIDTH - 16:
            return [line]
    rows = []
    for lines in inner:
        rows += [*lines[:-1], lines[-1] + ","]
    return ["{", *indent(rows), "}"]


def table_rows(values: Sequence[str]) -> list[str]:
    """Lines of comma-separated values, as many to a line as fit, in columns."""
    width = max(len(value) for value in values)
    n = (WIDTH - 16) // (width + 2)
    rows = [", ".join(f"{value:>{width}}" for value in values[i : i + n]) for i in range(0, len(values), n)]
    return [*(row + "," for row in rows[:-1]), rows[-1]]
