"""Which walls this machine can put around a process that touches users' bytes, found out by trying.

``python -m cryocloud.compute.isolation.walls`` prints them as JSON.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import asdict, dataclass
from functools import cache
from typing import Literal

from cryocloud.compute.isolation import cells, landlock, seccomp

Kind = Literal["namespaces", "landlock", "none"]
WISHES = ("auto", "namespaces", "landlock", "off")
_TRY_S = 10.0
_REMEDY = "install bubblewrap (Debian: apt-get install bubblewrap) and allow user namespaces"


class NoWalls(Exception):
    """The isolation that was asked for is not to be had here; the message says why, and the remedy."""


@dataclass(frozen=True)
class Wall:
    """One line for people: what it is, whether it stands, and what that means."""

    name: str
    stands: bool
    meaning: str


@cache
def namespaces_problem() -> str:
    """Why bubblewrap cannot isolate here; empty if it can."""
    program = shutil.which("bwrap")
    if program is None:
        return "bubblewrap is not installed"
    command = [program, "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"]
    try:
        tried = subprocess.run(command, capture_output=True, text=True, timeout=_TRY_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not run: {error}"
    said = (tried.stderr.strip().splitlines() or [f"it ended with code {tried.returncode}"])[-1]
    return "" if tried.returncode == 0 else f"bubblewrap cannot make namespaces: {said}"


def chosen(wish: str) -> Kind:
    """The isolation for a wish of the operator: "auto" takes the best there is, "off" none.

    Raises ``NoWalls`` if a certain one is wished for and cannot be had.
    """
    if wish == "off":
        return "none"
    if wish in ("auto", "namespaces") and not namespaces_problem():
        return "namespaces"
    if wish in ("auto", "landlock") and landlock.version():
        return "landlock"
    if wish == "auto":
        return "none"
    raise NoWalls(f"isolation “{wish}” is not possible here: {namespaces_problem()}; {_REMEDY}")


def require_for_strangers(wish: str) -> None:
    """Raise ``NoWalls`` where nothing would hold the jobs of people whom the operator does not know."""
    if wish != "off" and chosen(wish) == "none":
        raise NoWalls(
            f"jobs cannot be isolated on this machine ({namespaces_problem()}; no Landlock), and anybody may sign up. "
            f"{_REMEDY[0].upper()}{_REMEDY[1:]}; or close the sign-up with CRYOCLOUD_SIGN_UP_OPEN=false; or take the "
            "risk with CRYOCLOUD_ISOLATION=off"
        )


def report(wish: str = "auto") -> list[Wall]:
    """Every wall and whether it stands, for ``cryocloud doctor``, the operator's page and the log at the start."""
    kind = chosen(wish)
    limited = cells.limits()
    return [
        Wall("isolation of jobs", kind != "none", _words(kind)),
        Wall("filter of system calls", kind != "none" and seccomp.is_supported(), _CALLS),
        Wall("signals", kind == "namespaces" or (kind == "landlock" and _holds_signals()), _SIGNALS),
        Wall("memory limit by the kernel", "memory" in limited, _MEMORY),
        Wall("process limit by the kernel", "pids" in limited, _PROCESSES),
    ]


def _holds_signals() -> bool:
    return landlock.holds_signals() or seccomp.is_supported()


_CALLS = "mounts, tracing, kernel keys, BPF, io_uring and sockets are refused to jobs"
_SIGNALS = "a job can signal none but its own processes"
_MEMORY = "by control groups; without them each process is limited and the runner watches their sum"
_PROCESSES = "by control groups; without them the runner counts the processes of a job"


def _words(kind: Kind) -> str:
    match kind:
        case "namespaces":
            return "bubblewrap: own users, processes, network and files; a job sees its inputs and its output folder"
        case "landlock":
            return (
                f"Landlock only ({namespaces_problem()}): a job reads its inputs and writes its output "
                f"folder, but sees names and sizes of the machine's files; {_REMEDY}"
            )
    return (
        f"NONE: jobs run with the platform's own rights ({namespaces_problem() or 'switched off'}); {_REMEDY}"
    )


if __name__ == "__main__":
    print(json.dumps([asdict(wall) for wall in report()]))
