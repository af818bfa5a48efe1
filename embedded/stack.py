"""Bound on the stack from what gcc says of every frame and every call: no run is needed, no path is missed.

``gcc -fcallgraph-info=su`` writes a graph beside each object: functions with the size of their frame and whether it
is static, and who calls whom. The bound is the deepest path; recursion, a frame of unknown size or a call of an
unknown function is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from slewguard.subimages.errors import BadInput

FLAG = "-fcallgraph-info=su"
_NODE = re.compile(r'node: \{ title: "([^"]*)" label: "([^"]*)"')
_EDGE = re.compile(r'edge: \{ sourcename: "([^"]*)" targetname: "([^"]*)"')


def stack_bound(graphs: Iterable[Path], entry: str = "slewguard_judge") -> int:
    """Bytes of stack of the deepest path from a function, its own frame included.

    Parameters
    ----------
    graphs : iterable of Path
        The ``.ci`` files of all objects.
    entry : str

    Raises
    ------
    BadInput
        If no bound can be given.
    """
    frames: dict[str, int] = {}
    calls: dict[str, set[str]] = {}
    for path in graphs:
        text = path.read_text(encoding="utf-8")
        for title, label in _NODE.findall(text):
            size = re.search(r"(\d+) bytes \((static)\)", label)
            if size:
                frames[_plain(title)] = int(size[1])
            elif "bytes (" in label:
                raise BadInput(f"function {_plain(title)} has no static frame")
        for source, called in _EDGE.findall(text):
            calls.setdefault(_plain(source), set()).add(_plain(called))

    def deepest(name: str, path: tuple[str, ...]) -> int:
        if name in path:
            raise BadInput(f"function {name} calls itself")
        if name not in frames:
            raise BadInput(f"function {name} has no known frame")
        return frames[name] + max([deepest(called, (*path, name)) for called in calls.get(name, ())], default=0)

    return deepest(entry, ())


def _plain(title: str) -> str:
    """Name without the file that gcc puts before static functions, nor the suffix of a clone."""
    return title.rsplit(":", 1)[-1]
