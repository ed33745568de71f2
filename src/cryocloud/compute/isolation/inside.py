"""The first thing that runs inside: limits, where needed Landlock and the filter of calls, then the module.

``python -m cryocloud.compute.isolation.inside LIMITS MODULE ARGUMENT...``, LIMITS as JSON of ``Limits``.
"""

from __future__ import annotations

import json
import os
import resource
import runpy
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from cryocloud.compute.isolation import landlock, seccomp

OUT_OF_MEMORY = 77
_CPU_GRACE_S = 5
WARM_CACHES = {"numba": "NUMBA_CACHE_DIR", "matplotlib": "MPLCONFIGDIR"}


@dataclass(frozen=True)
class Limits:
    """What a process may use. ``readable`` and ``writable`` are enforced here only where no namespace does it."""

    memory_bytes: int
    processes: int
    open_files: int
    file_bytes: int
    cpu_s: int
    alarm_s: int
    warm: str
    by_landlock: bool
    readable: tuple[str, ...]
    writable: tuple[str, ...]


def main(arguments: list[str]) -> None:
    limits = Limits(**json.loads(arguments[0]))
    if limits.alarm_s:
        # Ends a tool whose caller was killed, so that nothing runs on for nobody.
        signal.alarm(limits.alarm_s)
    _take_warm_caches(limits.warm)
    _set_limits(limits)
    if limits.by_landlock:
        landlock.restrict_self(limits.readable, limits.writable)
        if seccomp.is_supported():
            seccomp.restrict_self(with_signals=landlock.holds_signals())
    sys.argv = arguments[1:]
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    except MemoryError:
        # Skips the ends of libraries, which may need memory too.
        os._exit(OUT_OF_MEMORY)


def _take_warm_caches(warm: str) -> None:
    """Compiled kernels and the list of fonts as a copy of one's own: what others can write, nobody should run."""
    scratch = Path(os.environ["TMPDIR"])
    for name, variable in WARM_CACHES.items():
        own = scratch / "caches" / name
        if warm and (Path(warm) / name).is_dir():
            shutil.copytree(Path(warm, name), own, dirs_exist_ok=True)
        own.mkdir(parents=True, exist_ok=True)
        os.environ[variable] = str(own)


def _set_limits(limits: Limits) -> None:
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_DATA: limits.memory_bytes,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_FSIZE: limits.file_bytes,
    }
    if limits.processes:
        wanted[resource.RLIMIT_NPROC] = limits.processes
    for kind, most in wanted.items():
        hard = resource.getrlimit(kind)[1]
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (least, least))
    # SIGXCPU first, which says what happened; the kernel's SIGKILL looks like a lack of memory.
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + _CPU_GRACE_S))


if __name__ == "__main__":
    main(sys.argv[1:])
