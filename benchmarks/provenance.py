"""On what a benchmark ran: the processor and the versions of the runtimes, no host and no path."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

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


def _processor() -> str:
    """Model of the processor and whether it has VNNI, where the system tells it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or "unknown processor"
    lines = text.splitlines()
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown processor")
    return f"{name}{' with AVX512-VNNI' if 'avx512_vnni' in text else ''}"
