"""What lies in a folder of results: every file by what it holds, whatever it is called.

Read are JSON files as the verbs and benchmarks write them, and ledgers. All other files are listed with their hash.
Nothing in a file is trusted: a file that cannot be read is told with its fault.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slewguard.subimages.errors import BadInput
from slewguard.subimages.paths import read_bytes

LARGEST = 64 * 2**20
"""Bytes of a file that is read; a larger one is listed without its hash."""
MOST_FILES = 2000
_LEDGER = ("sequence", "look", "cause", "label", "score", "verdict", "slew_without", "slew_with", "outcome")
_FORMATS = {
    "slewguard-latency": "latency",
    "slewguard-scorecard": "scorecard",
    "slewguard-model": "model",
    "slewguard-package": "package",
    "slewguard-baseline": "baseline",
}
_KEYS = (
    ("chain", ("slews_without", "slews_with", "bursts_vetoed")),
    ("evaluation", ("n_true", "n_false", "auc", "rejection_at_retention")),
    ("run", ("recipe", "data", "split")),
    ("quantised", ("parameters_int8", "parameters_float", "bytes")),
    ("targets", ("counts",)),
    ("faults", ("kinds", "physical", "model_files")),
    ("dividend", ("today", "rows", "lowest_at_equal_false_slews")),
)


@dataclass(frozen=True)
class File:
    """A file of the folder.

    Parameters
    ----------
    name : str
        Path within the folder, with ``/``.
    size : int or None
        Bytes.
    sha256 : str or None
        None where it was not read.
    kind : str
        What it holds, ``other`` where that is not known.
    fault : str
        Why it could not be read, empty if it could.
    """

    name: str
    size: int | None
    sha256: str | None
    kind: str
    fault: str = ""


@dataclass
class Results:
    """Contents of a folder, by kind.

    Parameters
    ----------
    files : list of File
    found : dict of kind to list of (file name, content)
        Content as JSON has it, of a ledger a list of rows as dictionaries of text.
    """

    files: list[File] = field(default_factory=list)
    found: dict[str, list[tuple[str, Any]]] = field(default_factory=dict)

    def of(self, kind: str) -> list[tuple[str, Any]]:
        """What there is of a kind."""
        return self.found.get(kind, [])


def read_results(folder: str | Path) -> Results:
    """Read a folder with all below it; links are not followed.

    Raises
    ------
    BadInput
        If there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise BadInput("no such folder of results", folder)
    results = Results()
    for number, name in enumerate(_names(folder, "")):
        if number == MOST_FILES:
            results.files.append(
                File("…", None, None, "other", f"more than {MOST_FILES:,} files; the rest is not read")
            )
            break
        results.files.append(_read(folder / name, name, results))
    return results


def _names(folder: Path, above: str) -> Iterator[str]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_dir(follow_symlinks=False):
            yield from _names(Path(entry.path), f"{above}{entry.name}/")
        elif entry.is_file(follow_symlinks=False):
            yield above + entry.name


def _read(path: Path, name: str, results: Results) -> File:
    size = None
    try:
        size = path.stat().st_size
        if size > LARGEST:
            return File(name, size, None, "other", "too large to be read")
        content = read_bytes(path, LARGEST)
    except (OSError, BadInput) as error:
        return File(name, size, None, "other", error.fault if isinstance(error, BadInput) else type(error).__name__)
    digest = hashlib.sha256(content).hexdigest()
    try:
        found = list(_contents(name, content))
    except (ValueError, RecursionError, csv.Error) as error:
        return File(name, size, digest, "other", f"not readable: {str(error)[:120]}")
    for kind, what in found:
        results.found.setdefault(kind, []).append((name, what))
    return File(name, size, digest, ", ".join(dict.fromkeys(kind for kind, _ in found)) or "other")


def _contents(name: str, content: bytes) -> Iterator[tuple[str, Any]]:
    if name.endswith(".json"):
        yield from _kinds(json.loads(content))
    elif name.endswith(".csv"):
        rows = csv.DictReader(io.StringIO(content.decode("utf-8")))
        if set(_LEDGER) <= set(rows.fieldnames or ()):
            yield "ledger", list(rows)


def _kinds(content: Any) -> Iterator[tuple[str, Any]]:
    """Kinds of results that a JSON file holds."""
    if isinstance(content, list) and content and all(isinstance(row, dict) for row in content):
        for kind, key in (("conformance", "bytes_compared"), ("bench", "p50_us")):
            if key in content[0]:
                yield kind, content
    if not isinstance(content, Mapping):
        return
    if {"figures", "conformance", "bench", "chain"} <= set(content):  # of the demo
        for part in (content["conformance"], content["bench"], content["chain"]):
            yield from _kinds(part)
        for of_set in content["figures"].values() if isinstance(content["figures"], dict) else ():
            for figures in of_set.values() if isinstance(of_set, dict) else ():
                yield from _kinds(figures)
        return
    stated = content.get("format")
    if isinstance(stated, str) and stated in _FORMATS:
        yield _FORMATS[stated], content
        return
    for kind, keys in _KEYS:
        if set(keys) <= set(content):
            yield kind, content
            return
    rows = content.get("rows")
    if isinstance(rows, list) and rows and isinstance(rows[0], dict) and "bytes_compared" in rows[0]:
        yield "conformance", rows


def same_ledgers(ledgers: list[tuple[str, list[dict[str, str]]]]) -> list[tuple[list[str], list[dict[str, str]]]]:
    """Put ledgers together that differ in their column ``engine`` alone: names (file and engine) and rows of each."""
    groups: dict[str, tuple[list[str], list[dict[str, str]]]] = {}
    for name, rows in ledgers:
        kept = json.dumps([{k: v for k, v in row.items() if k != "engine"} for row in rows])
        engine = rows[0].get("engine") if rows else None
        names, _ = groups.setdefault(hashlib.sha256(kept.encode()).hexdigest(), ([], rows))
        names.append(f"{name} ({engine})" if engine else name)
    return list(groups.values())
