"""The machine on which times were taken, as far as it can change them; no host name and no path."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

from slewguard.cli.provenance import versions


def describe_host(core: int | None) -> dict[str, Any]:
    """Describe processor, kernel, frequency control, load and software.

    Parameters
    ----------
    core : int or None
        The processor to which timed processes are pinned.

    Returns
    -------
    dict
        What the system does not tell is None.
    """
    cpuinfo = _text("/proc/cpuinfo") or ""
    fields = dict(line.split(":", 1) for line in cpuinfo.splitlines() if ":" in line)
    about = {key.strip(): value.strip() for key, value in fields.items()}
    memory = next((line.split()[1] for line in (_text("/proc/meminfo") or "").splitlines() if "MemTotal" in line), None)
    frequency = f"/sys/devices/system/cpu/cpu{core or 0}/cpufreq"
    flags = set(about.get("flags", "").split())
    return {
        "processor": about.get("model name") or platform.processor() or platform.machine(),
        "extensions": sorted(flags & {"avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8"}),
        "virtual": "hypervisor" in flags if flags else None,
        "processors": os.cpu_count(),
        "pinned_to": core,
        "threads": 1,
        "memory_kib": None if memory is None else int(memory),
        "governor": _text(f"{frequency}/scaling_governor"),
        "driver": _text(f"{frequency}/scaling_driver"),
        "kernel": f"{platform.system()} {platform.release()}",
        "libc": " ".join(platform.libc_ver()).strip() or None,
        "clock_ns": round(time.get_clock_info("perf_counter").resolution * 1e9),
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "versions": versions(),
    }


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
