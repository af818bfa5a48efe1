"""Size of the core installation and time of the imports: ``python -m slewguard.benchmarks.install_size``.

Run it in a fresh environment after ``pip install .``. Counted is every file of slewguard and of what it requires
without extras, the byte code that pip compiles included; pip and setuptools, which the environment brought, are not.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from slewguard.benchmarks.command import as_command
from slewguard.benchmarks.provenance import machine
from slewguard.subimages.atomic import atomic_output

LIMIT_MB = 450
REPEATS = 7
MODULES = ("slewguard.export", "slewguard.subimages", "slewguard.cli.main")


def required(name: str) -> set[str]:
    """Names of a package and of all that it requires here, without extras."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        package = canonicalize_name(waiting.pop())
        if package in found:
            continue
        found.add(package)
        for text in distribution(package).requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found


def size(package: str) -> dict[str, int]:
    """Bytes of a package's files: ``files`` as pip unpacked them, ``byte_code`` as it compiled them."""
    found = {"files": 0, "byte_code": 0}
    for entry in distribution(package).files or ():
        place = Path(str(entry.locate()))
        if place.is_file():
            found["byte_code" if place.suffix == ".pyc" else "files"] += place.stat().st_size
    return found


def import_seconds(module: str) -> float:
    """Least processor time of several to import a module in a new process: a busy machine does not count."""
    code = f"import time; t = time.process_time(); import {module}; print(time.process_time() - t)"
    command = [sys.executable, "-c", code]
    return min(float(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(REPEATS))


def measure() -> dict[str, Any]:
    """Sizes of all packages of the core and the times of its imports."""
    try:
        packages = {name: size(name) for name in sorted(required("slewguard"))}
    except PackageNotFoundError as error:
        raise SystemExit(f"{error.name} is not installed: nothing to measure") from error
    total = sum(sum(found.values()) for found in packages.values())
    return {
        "machine": machine(),
        "megabytes": total / 1e6,
        "packages": packages,
        "import_seconds": {module: import_seconds(module) for module in MODULES},
    }


def main() -> None:
    """Print the figures, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write")
    arguments = parser.parse_args()
    result = measure()
    by_size = sorted(result["packages"].items(), key=lambda item: -sum(item[1].values()))
    for name, found in by_size:
        print(f"{name:20} {sum(found.values()) / 1e6:7.1f} MB, {found['byte_code'] / 1e6:5.1f} of it byte code")
    print(f"{'all':20} {result['megabytes']:7.1f} MB, limit {LIMIT_MB}")
    for module, seconds in result["import_seconds"].items():
        print(f"import {module:24} {seconds:.3f} s")
    if arguments.json:
        with atomic_output(arguments.json) as beside:
            beside.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    as_command(main)
