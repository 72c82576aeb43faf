"""What figures were measured on, for the files in results/. Imports nothing heavy: memory.py depends on that."""

import os
import platform
import shlex
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any


def describe() -> dict[str, Any]:
    """Versions, hardware and the command."""
    return {
        "command": shlex.join(["python", *sys.argv]),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ("ebbing", "torch")}},
        "hardware": {"cpu": cpu(), "cores": os.cpu_count(), "platform": f"{platform.system()} {platform.machine()}"},
    }


def cpu() -> str:
    """Name of the processor, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
