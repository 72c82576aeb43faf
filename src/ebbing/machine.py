"""What figures were measured on. Imports nothing heavy: what measures memory depends on that."""

import os
import platform
import shlex
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any


def describe(command: str | None = None, *, device: str = "cpu") -> dict[str, Any]:
    """Versions, hardware and the command, by default the Python script that runs.

    Args:
        command: what was run.
        device: what models ran on, as torch names it; an accelerator is called by its name.
    """
    accelerator = {} if device == "cpu" else {"accelerator": _accelerator(device)}
    return {
        "command": command or shlex.join(["python", *sys.argv]),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ("ebbing", "torch")}},
        "hardware": {"cpu": cpu(), "cores": os.cpu_count(), "platform": f"{platform.system()} {platform.machine()}"}
        | accelerator,
    }


def _accelerator(device: str) -> str:
    """Name of an accelerator, where torch tells it."""
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def cpu() -> str:
    """Name of the processor, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
