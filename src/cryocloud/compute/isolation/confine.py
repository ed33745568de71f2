"""Starts a module of ours behind walls: it sees the interpreter, what it may read and write, nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import cryocloud
from cryocloud.compute.isolation import seccomp
from cryocloud.compute.isolation.cells import Cell
from cryocloud.compute.isolation.inside import Limits
from cryocloud.compute.isolation.walls import Kind

ENVIRONMENT = (
    "PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "CUDA_VISIBLE_DEVICES",
)  # fmt: skip
THREAD_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
PROCESSES = 256
PROCESSES_PER_THREAD = 16
OPEN_FILES = 4096
FILE_BYTES = 4 << 40
CPU_S = 30 * 24 * 3600
SHARED_MEMORY_BYTES = 64 << 20
GPU_DEVICES = ("/dev/nvidia*", "/dev/nvidia-caps", "/dev/kfd", "/dev/dri")
_SIGNAL_CODES = 128
_SYSTEM = ("/usr", "/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives")
_LINKS = ("/bin", "/sbin", "/lib", "/lib64", "/lib32")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_FACTS = ("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/sys/devices/system/cpu")


@dataclass(frozen=True)
class Confinement:
    """What a process may see and use. ``scratch`` becomes its /tmp; ``hidden`` holds what nobody below may see.

    ``warm`` is a folder of compiled kernels and font lists that it may copy, "" for none.
    """

    kind: Kind
    readable: tuple[str, ...]
    writable: tuple[str, ...]
    scratch: str
    hidden: str
    memory_bytes: int
    threads: int = 1
    gpu: bool = False
    cpu_s: int = CPU_S
    file_bytes: int = FILE_BYTES
    alarm_s: int = 0
    warm: str = ""

    @property
    def processes(self) -> int:
        """Threads count as processes."""
        return PROCESSES + PROCESSES_PER_THREAD * self.threads

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Confinement:
        """From JSON."""
        given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
        return cls(**given)


def start_confined(
    confinement: Confinement, cell: Cell, arguments: list[str], *, stdin: Any, stdout: Any, stderr: Any
) -> subprocess.Popen[bytes]:
    """``python -m ARGUMENTS`` in a process group of its own, behind the walls."""
    is_namespaced = confinement.kind == "namespaces"
    inside = [
        sys.executable,
        "-m",
        "cryocloud.compute.isolation.inside",
        _limits(confinement),
        *arguments,
    ]
    calls = _filter_file() if is_namespaced and seccomp.is_supported() else None
    command = _bubblewrap(confinement, calls, inside) if is_namespaced else inside
    try:
        return subprocess.Popen(
            cell.command(command),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=_environment(confinement),
            cwd=None if is_namespaced else confinement.scratch,
            pass_fds=() if calls is None else (calls.fileno(),),
            process_group=0,
        )
    finally:
        if calls is not None:
            calls.close()


def own_status(confinement: Confinement | None, status: int) -> int:
    """The exit status of what ran inside, negative for the signal that ended it; bubblewrap tells signals as codes."""
    is_code = confinement is not None and confinement.kind == "namespaces" and status > _SIGNAL_CODES
    return _SIGNAL_CODES - status if is_code else status


def kept_environment(names: tuple[str, ...]) -> dict[str, str]:
    """Of our own environment, what others may see."""
    return {name: os.environ[name] for name in names if name in os.environ}


def _environment(confinement: Confinement) -> dict[str, str]:
    kept = kept_environment(ENVIRONMENT)
    own = "/tmp" if confinement.kind == "namespaces" else confinement.scratch
    threads = dict.fromkeys(THREAD_LIMITS, str(confinement.threads))
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_package()), kept.get("PYTHONPATH"))))
    # Waiting threads sleep: on a shared machine spinning ones tripled the CPU seconds of a refinement.
    return kept | threads | {"OMP_WAIT_POLICY": "passive", "TMPDIR": own, "HOME": own, "USER": "job"}


def _limits(confinement: Confinement) -> str:
    by_landlock = confinement.kind == "landlock"
    readable = (*_interpreter(), *confinement.readable, *_FACTS) if by_landlock else ()
    limits = Limits(
        memory_bytes=confinement.memory_bytes,
        # Without a namespace the kernel counts all processes of the user, those of the platform too.
        processes=confinement.processes if confinement.kind == "namespaces" else 0,
        open_files=OPEN_FILES,
        file_bytes=confinement.file_bytes,
        cpu_s=confinement.cpu_s,
        alarm_s=confinement.alarm_s,
        warm=confinement.warm,
        by_landlock=by_landlock,
        readable=(*readable, confinement.warm) if confinement.warm and by_landlock else readable,
        writable=(*confinement.writable, confinement.scratch, *_devices(confinement)) if by_landlock else (),
    )
    return json.dumps(asdict(limits))


def _devices(confinement: Confinement) -> tuple[str, ...]:
    return (*_DEVICES, *(_gpu_devices() if confinement.gpu else ()))


def _gpu_devices() -> list[str]:
    return sorted(
        str(path) for pattern in GPU_DEVICES for path in Path("/dev").glob(pattern.removeprefix("/dev/"))
    )


def _interpreter() -> list[str]:
    """Python, our package and what PYTHONPATH adds; the links of /bin and /lib where they are folders."""
    added = [
        path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and Path(path).exists()
    ]
    folders = [sys.prefix, sys.base_prefix, str(Path(sys.executable).parent), str(_package()), *added]
    libraries = [path for path in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if path]
    paths = [*_SYSTEM, *(link for link in _LINKS if not Path(link).is_symlink()), *folders, *libraries]
    return list(dict.fromkeys(str(Path(path).absolute()) for path in paths if Path(path).exists()))


def _package() -> Path:
    return Path(cryocloud.__file__).parents[1]


def _bubblewrap(confinement: Confinement, calls: IO[bytes] | None, inside: list[str]) -> list[str]:
    """The command. Outer folders come before inner ones, and everything that was made up is read-only at the end."""
    walls = [
        shutil.which("bwrap") or "bwrap", "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts",
        "--unshare-net", "--unshare-cgroup-try", "--hostname", "job", "--die-with-parent", "--cap-drop", "ALL",
    ]  # fmt: skip
    walls += [] if calls is None else ["--seccomp", str(calls.fileno())]
    # First, because the platform's home may lie below /tmp.
    walls += ["--bind", confinement.scratch, "/tmp"]
    walls += _mounts("--ro-bind", _interpreter())
    for link in _LINKS:
        walls += ["--symlink", str(Path(link).readlink()), link] if Path(link).is_symlink() else []
    walls += ["--proc", "/proc", "--dev", "/dev", "--size", str(SHARED_MEMORY_BYTES), "--tmpfs", "/dev/shm"]
    for device in _gpu_devices() if confinement.gpu else ():
        walls += ["--dev-bind", device, device]
    # Without the control groups, whose names and figures are those of other jobs.
    walls += ["--ro-bind", "/sys", "/sys", "--tmpfs", "/sys/fs"] if confinement.gpu else []
    walls += ["--size", "1048576", "--tmpfs", confinement.hidden] if confinement.hidden else []
    walls += _mounts(
        "--ro-bind-try", [*confinement.readable, *([confinement.warm] if confinement.warm else [])]
    )
    walls += _mounts("--bind", confinement.writable)
    made_up = ["/proc", "/dev", *(["/sys/fs"] if confinement.gpu else [])]
    made_up += [*([confinement.hidden] if confinement.hidden else []), "/"]
    walls += [word for path in made_up for word in ("--remount-ro", path)]
    return [*walls, "--chdir", "/tmp", "--", *inside]


def _mounts(how: str, paths: Iterable[str]) -> list[str]:
    return [word for path in sorted(set(paths)) for word in (how, path, path)]


def _filter_file() -> IO[bytes]:
    file = os.fdopen(os.memfd_create("calls"), "w+b", buffering=0)
    file.write(seccomp.program())
    file.seek(0)
    return file
