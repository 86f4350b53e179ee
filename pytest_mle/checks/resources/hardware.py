"""What a measurement of time ran on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

CPU_INFO = Path("/proc/cpuinfo")
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def hardware_fingerprint() -> dict[str, Any]:
    """Return what identifies the machine for a comparison of times: CPU, cores, clock governor, load, system."""
    return {
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "cpu": _cpu_model(),
        "cpu_count": os.cpu_count(),
        "usable_cpus": len(os.sched_getaffinity(0)),
        "governor": GOVERNOR.read_text(encoding="utf-8").strip() if GOVERNOR.is_file() else "unknown",
        "load_before": round(os.getloadavg()[0], 2),
    }


def _cpu_model() -> str:
    # ARM boards have no such line; there the device tree names the board.
    for path, key in ((CPU_INFO, "model name"), (CPU_INFO, "Hardware")):
        if path.is_file():
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                name, _, value = line.partition(":")
                if name.strip() == key:
                    return value.strip()
    board = Path("/proc/device-tree/model")
    if board.is_file():
        return board.read_text(encoding="utf-8", errors="replace").strip("\x00\n ")
    return platform.processor() or "unknown"
