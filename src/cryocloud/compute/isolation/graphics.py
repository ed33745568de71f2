"""The GPU of this machine, as its driver names it."""

from __future__ import annotations

import re
from pathlib import Path

GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
_NVIDIA = Path("/proc/driver/nvidia/gpus")
NAME_LENGTH = 80


def graphics_class() -> str:
    """Such as "NVIDIA H200"; "GPU" for one of a kind that has no name here, empty where there is none."""
    for information in sorted(_NVIDIA.glob("*/information")):
        found = re.search(
            r"^Model:\s*(.+)$", information.read_text(encoding="utf-8", errors="replace"), re.MULTILINE
        )
        return found.group(1).strip()[:NAME_LENGTH] if found else "GPU"
    return "GPU" if any(Path(device).exists() for device in GPU_DEVICES) else ""
