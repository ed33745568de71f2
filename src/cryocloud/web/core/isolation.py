"""The walls of this platform around whatever touches users' bytes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cryocloud.compute.isolation.confine import Confinement
from cryocloud.compute.isolation.walls import chosen
from cryocloud.web.configuration import configuration
from cryocloud.web.core.places import warm_folder


def confinement(
    *,
    readable: Iterable[Path],
    writable: Iterable[Path],
    memory_bytes: int,
    scratch: Path | None = None,
    threads: int = 1,
    gpu: bool = False,
) -> Confinement:
    """Walls that let through these files and folders, and hide the rest of the home."""
    settings = configuration()
    warm = warm_folder()
    return Confinement(
        kind=chosen(settings.isolation),
        readable=tuple(sorted({str(path) for path in readable})),
        writable=tuple(sorted({str(path) for path in writable})),
        scratch=str(scratch or ""),
        hidden=str(settings.home),
        memory_bytes=memory_bytes,
        threads=threads,
        cpu_s=settings.job_cpu_hours * 3600,
        gpu=gpu,
        warm=str(warm) if warm.is_dir() else "",
    )
