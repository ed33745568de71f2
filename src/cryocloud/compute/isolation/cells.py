"""Control groups: memory and number of processes of an attempt, limited by the kernel where we may make groups.

Version 1 as root, version 2 where the system has given a subtree to us (systemd: ``Delegate=memory pids``).
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_PREFIX = "cryocloud-"
_OWN_LEAF = "platform"
_END_S = 10.0
# Enters each group before it becomes the command, so that nothing is ever outside of them.
_ENTER = 'for group in $1; do echo $$ > "$group/cgroup.procs" || exit 71; done; shift; exec "$@"'


@dataclass(frozen=True)
class Cell:
    """The groups of one attempt or tool; none where the kernel gives none."""

    groups: tuple[Path, ...]

    def command(self, command: list[str]) -> list[str]:
        """The command as it starts inside."""
        if not self.groups:
            return command
        return ["/bin/sh", "-c", _ENTER, "sh", " ".join(map(str, self.groups)), *command]

    def processes(self) -> set[int]:
        found: set[int] = set()
        for group in self.groups:
            with suppress(OSError):
                found |= {int(pid) for pid in (group / "cgroup.procs").read_text().split()}
        return found

    def end(self) -> None:
        """Kill what is left inside and remove the groups."""
        deadline_s = time.monotonic() + _END_S
        while (left := self.processes()) and time.monotonic() < deadline_s:
            for pid in left:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        for group in self.groups:
            with suppress(OSError):
                group.rmdir()


def make_cell(name: str, *, memory_bytes: int, processes: int) -> Cell:
    """Groups with these limits; where they cannot be made, a cell without walls."""
    made = []
    for controller, base in _bases().items():
        group = base / f"{_PREFIX}{name}"
        try:
            group.mkdir(exist_ok=True)
            _limit(group, controller, memory_bytes, processes)
        except OSError:
            with suppress(OSError):
                group.rmdir()
            continue
        made.append(group)
    return Cell(tuple(made))


def cell_of(name: str) -> Cell:
    """The groups that were made under this name and still exist."""
    groups = (base / f"{_PREFIX}{name}" for base in _bases().values())
    return Cell(tuple(group for group in groups if group.is_dir()))


def limits() -> tuple[str, ...]:
    """What the kernel limits here, of "memory" and "pids"."""
    found = set()
    for controller in _bases():
        found |= {"memory", "pids"} if controller == "unified" else {controller}
    return tuple(sorted(found))


def settle() -> None:
    """Step into a leaf of the subtree that was given to us: groups with processes cannot pass on controllers."""
    own = _unified(_own_groups().get("", "/"))
    if own is None or own.name == _OWN_LEAF or not os.access(own, os.W_OK):
        return
    leaf = own / _OWN_LEAF
    with suppress(OSError):
        leaf.mkdir(exist_ok=True)
        for pid in (own / "cgroup.procs").read_text().split():
            (leaf / "cgroup.procs").write_text(pid)
        (own / "cgroup.subtree_control").write_text("+memory +pids")


def _limit(group: Path, controller: str, memory_bytes: int, processes: int) -> None:
    if controller == "unified":
        (group / "memory.max").write_text(str(memory_bytes))
        (group / "pids.max").write_text(str(processes))
        with suppress(OSError):
            (group / "memory.swap.max").write_text("0")
    elif controller == "memory":
        (group / "memory.limit_in_bytes").write_text(str(memory_bytes))
        with suppress(OSError):
            (group / "memory.memsw.limit_in_bytes").write_text(str(memory_bytes))
    else:
        (group / "pids.max").write_text(str(processes))


@cache
def _bases() -> dict[str, Path]:
    """Where groups can be made, by controller; "unified" is version 2 with both."""
    own = _own_groups()
    unified = _unified(own.get("", "/"))
    if unified is not None:
        base = unified.parent if unified.name == _OWN_LEAF else unified
        passed_on = _words(base / "cgroup.subtree_control")
        if {"memory", "pids"} <= passed_on and os.access(base, os.W_OK):
            return {"unified": base}
    bases = {name: ROOT / name / own[name].lstrip("/") for name in ("memory", "pids") if name in own}
    return {name: base for name, base in bases.items() if os.access(base, os.W_OK)}


def _unified(own: str) -> Path | None:
    return ROOT / own.lstrip("/") if (ROOT / "cgroup.controllers").is_file() else None


def _own_groups() -> dict[str, str]:
    """Path by controller, as /proc/self/cgroup has it; the empty name is version 2."""
    found = {}
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            found.update(dict.fromkeys(controllers.split(","), path))
    return found


def _words(path: Path) -> set[str]:
    with suppress(OSError):
        return set(path.read_text().split())
    return set()
