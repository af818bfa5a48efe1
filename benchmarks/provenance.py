"""On what a benchmark ran (processor and versions, no host and no path), and putting its table into a page."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from slewguard.subimages.atomic import atomic_output

PAGE = Path(__file__).parent.parent / "docs" / "arithmetic.md"
PACKAGES = ("slewguard", "numpy", "onnx", "onnxruntime", "tflite-runtime", "ai-edge-litert", "torch", "brevitas")


def machine() -> dict[str, Any]:
    """Processor, number of processors, Python and the versions of what is installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "versions": found,
    }


def put_table(page: Path, marker: str, table: str) -> None:
    """Replace what stands between the two comments ``<!-- marker -->`` of a page; without the page, do nothing."""
    if not page.is_file():
        return
    before, _, after = page.read_text(encoding="utf-8").split(f"<!-- {marker} -->")
    with atomic_output(page) as beside:
        text = f"{before}<!-- {marker} -->\n\n{table}\n\n<!-- {marker} -->{after}"
        beside.write_text(text, encoding="utf-8", newline="\n")


def _processor() -> str:
    """Model of the processor and whether it has VNNI, where the system tells it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or "unknown processor"
    lines = text.splitlines()
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown processor")
    return f"{name}{' with AVX512-VNNI' if 'avx512_vnni' in text else ''}"
