"""``cryocloud doctor``: what this machine offers, and what is missing."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from cryocloud import __version__

ENGINE_PACKAGES = ("torch", "numpy", "scipy", "numba", "pandas", "starfile", "mrcfile", "gemmi", "matplotlib")
PROGRAMS = {
    "relion_refine": "benchmarks and comparison tests (Debian: apt-get install relion)",
    "chromium": "browser tests of the web pages (Debian: apt-get install chromium)",
    "bwrap": "isolation of jobs on a platform (Debian: apt-get install bubblewrap)",
    "git": "developing CryoCloud",
    "make": "developing CryoCloud",
}
MEMORY_WANTED_GB = 8
DISK_WANTED_GB = 20
TORCH_PROBE = """
import json, torch
devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
cpu = torch.backends.cpu.get_cpu_capability()
print(json.dumps({"cuda": torch.cuda.is_available(), "devices": devices, "cpu": cpu}))
"""


def doctor(arguments: list[str]) -> int:
    """Say what this machine offers; exit code 1 if jobs cannot run here."""
    argparse.ArgumentParser(prog="cryocloud doctor", description=doctor.__doc__).parse_args(arguments)
    missing: list[str] = []
    print(f"CryoCloud {__version__}, Python {platform.python_version()}, {platform.platform(terse=True)}\n")
    _say_machine(missing)
    runs = _say_engine(missing)
    _say_walls(missing)
    _say_programs(missing)
    print("\nmissing: " + ("nothing" if not missing else ""))
    for line in missing:
        print(f"  - {line}")
    return 0 if runs else 1


def _say_machine(missing: list[str]) -> None:
    memory_gb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    disk_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    _row("cores", f"{len(os.sched_getaffinity(0))} usable of {os.cpu_count()}")
    _row("memory", f"{memory_gb:.0f} GB, {_available_memory_gb():.0f} GB free")
    _row("disk", f"{disk_gb:.0f} GB free in {Path.cwd()}")
    if memory_gb < MEMORY_WANTED_GB:
        missing.append(f"memory: {memory_gb:.0f} GB; {MEMORY_WANTED_GB} GB or more for boxes above 256 px")
    if disk_gb < DISK_WANTED_GB:
        missing.append(f"disk: {disk_gb:.0f} GB free here; particle stacks of a usual project need more")


def _available_memory_gb() -> float:
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    kilobytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable"))
    return int(kilobytes) / 1e6


def _say_engine(missing: list[str]) -> bool:
    found = {name: _version(name) for name in ENGINE_PACKAGES}
    _row(
        "engine",
        ", ".join(f"{name} {version}" for name, version in found.items() if version) or "not installed",
    )
    absent = [name for name, version in found.items() if version is None]
    if absent:
        missing.append(f"engine: {', '.join(absent)}; install with: pip install 'cryocloud[engine]'")
        return False
    probe = subprocess.run([sys.executable, "-c", TORCH_PROBE], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        reason = (probe.stderr.strip().splitlines() or ["no message"])[-1]
        missing.append(f"torch is installed and does not load: {reason}")
        return False
    seen = json.loads(probe.stdout)
    _row("device", ", ".join(seen["devices"]) if seen["cuda"] else f"cpu ({seen['cpu']})")
    if not seen["cuda"]:
        missing.append("GPU: no CUDA device; everything runs on the CPU")
    return True


def _say_walls(missing: list[str]) -> None:
    """What would hold the jobs of strangers, if this machine served them."""
    asked = [sys.executable, "-m", "cryocloud.compute.isolation.walls"]
    found = subprocess.run(asked, capture_output=True, text=True, check=True)
    for wall in json.loads(found.stdout):
        stands = "stands" if wall["stands"] else "missing"
        _row("wall", f"{wall['name']}: {stands}; {wall['meaning']}")
        if not wall["stands"]:
            missing.append(f"{wall['name']}, for a platform that serves others: {wall['meaning']}")


def _say_programs(missing: list[str]) -> None:
    for program, purpose in PROGRAMS.items():
        path = shutil.which(program)
        _row(program, path or "not found")
        if path is None:
            missing.append(f"{program}: for {purpose}")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _row(name: str, text: str) -> None:
    print(f"  {name:<14} {text}")
