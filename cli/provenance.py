"""Where a result comes from: what was run, with which versions, on which inputs."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    *("slewguard", "numpy", "scipy", "h5py", "torch", "brevitas"),
    *("onnx", "onnxruntime", "tflite-runtime", "ai-edge-litert"),
)


def provenance(activity: str, config: Mapping[str, Any], inputs: Mapping[str, Path]) -> dict[str, Any]:
    """Describe an activity in the manner of ctapipe: activity, configuration, inputs, versions.

    Parameters
    ----------
    activity : str
        The verb.
    config : mapping
        Its options.
    inputs : mapping of role to file
        Named by file name and SHA-256, not by path.
    """
    return {
        "activity": activity,
        "config": dict(config),
        "inputs": {
            role: {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
            for role, path in inputs.items()
            if path.is_file()
        },
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions of the packages that can change a result, where installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
