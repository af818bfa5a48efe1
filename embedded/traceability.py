"""Which lines of C carry out which layer of the model, and what tests them: a table printed beside the code."""

from __future__ import annotations

import re
from collections.abc import Mapping

from slewguard.embedded.selftest import checks
from slewguard.export.model import IntegerModel

RECORD = "traceability.csv"
_TESTS = {
    "plain": "tests/test_c.py::test_every_layer_equals_numpy",
    "fast": "tests/test_embedded_fast.py::test_every_layer_equals_numpy",
}
_VERDICT = (
    ("verdict", "features", "slewguard_count", "tests/test_c.py::test_sanity_limits_hold_to_the_unit"),
    ("verdict", "reasons", "slewguard_reason", "tests/test_c.py::test_sanity_limits_hold_to_the_unit"),
    ("verdict", "thresholds and sequence", "slewguard_decide", "tests/test_c.py::test_looks_at_one_event"),
)


def table(model: IntegerModel, style: str, files: Mapping[str, str]) -> str:
    """Text of ``traceability.csv``: layer, operator, C function, file, lines, number of the self-test's check, test.

    Parameters
    ----------
    model : IntegerModel
    style : str
        ``plain`` or ``fast``.
    files : mapping of str to str
        The printed C.
    """
    rows = ["layer,operator,function,file,first_line,last_line,selftest_check,test"]
    names = checks(model, layers=style == "plain")
    prefix = {"plain": ("slewguard_layer_",), "fast": ("slewguard_row_", "slewguard_end_")}[style]
    for number, layer in enumerate(model.layers):
        check = number + 2 if style == "plain" else 2
        for start in prefix:
            place = _lines(files["slewguard_network.c"], start + layer.name)
            if place:
                where = f"slewguard_network.c,{place[0]},{place[1]}"
                rows.append(f"{layer.name},{layer.op},{start}{layer.name},{where},{check},{_TESTS[style]}")
    for number, (what, operator, function, test) in enumerate(_VERDICT):
        place = _lines(files["slewguard.c"], function)
        assert place
        check = len(names) - 1 + max(number, 0)
        rows.append(f"{what},{operator},{function},slewguard.c,{place[0]},{place[1]},{check},{test}")
    return "\n".join(rows) + "\n"


def _lines(text: str, function: str) -> tuple[int, int] | None:
    """First and last line of a function's definition, from 1."""
    lines = text.splitlines()
    for i, line in enumerate(lines):
        if re.match(rf"\w+ {function}\(", line):
            body = next(j for j in range(i, len(lines)) if lines[j] in ("{", "}") or lines[j].endswith(";"))
            if lines[body] == "{":
                return i + 1, next(j for j in range(body, len(lines)) if lines[j] == "}") + 1
    return None
