"""What a process and all that it started use at this moment, from /proc."""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PARENT, _GROUP, _SESSION, _THREADS = 1, 2, 3, 17


@dataclass(frozen=True)
class Use:
    """Of a tree of processes. ``memory_bytes`` is what they hold of their own; mapped files do not count."""

    processes: int
    cpu_s: float
    memory_bytes: int


def process_stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on (field 3 of proc(5) is number 0 here)."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    return text[text.rindex(")") + 2 :].split()


def tree_of(root: int) -> list[int]:
    """``root`` and its descendants, those of other process groups, sessions and namespaces too."""
    children: dict[int, list[int]] = defaultdict(list)
    for pid in _all_processes():
        if fields := _fields(pid):
            children[int(fields[_PARENT])].append(pid)
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return found


def group_lives(leader: int, session: int) -> bool:
    """Whether anything is left of the process group, which goes on when its leader has ended."""
    wanted = [str(leader), str(session)]
    return any(
        fields[_GROUP : _SESSION + 1] == wanted and is_living(fields)
        for fields in map(_fields, _all_processes())
    )


def is_living(fields: list[str]) -> bool:
    """By the fields of its stat. One whose first thread has ended looks dead while others go on."""
    return fields[0] not in "ZX" or int(fields[_THREADS]) > 1


def use_of_children() -> Use:
    """What descends from this process and uses; what they have waited for is in their processor time."""
    cpu_s, memory_bytes = 0.0, 0
    tree = tree_of(os.getpid())[1:]
    for pid in tree:
        with suppress(OSError, ValueError):
            cpu_s += sum(int(ticks) for ticks in process_stat(pid)[11:15]) / _TICKS_PER_S
            memory_bytes += _own_memory_bytes(pid)
    return Use(len(tree), cpu_s, memory_bytes)


@dataclass(frozen=True)
class Traffic:
    """Bytes that were asked of the kernel to read and to write, from its memory or from disks."""

    read_bytes: int = 0
    written_bytes: int = 0

    def since(self, before: Traffic) -> Traffic:
        return Traffic(self.read_bytes - before.read_bytes, self.written_bytes - before.written_bytes)


def traffic_of(pid: int) -> Traffic:
    """Of a process and of all its children that have been waited for; nothing where the kernel does not count."""
    try:
        counts = _io_counts(pid)
        return Traffic(counts["rchar"], counts["wchar"])
    except (OSError, ValueError, KeyError):
        return Traffic()


def traffic_of_children() -> Traffic:
    """Of what descends from this process at the moment."""
    found = [traffic_of(pid) for pid in tree_of(os.getpid())[1:]]
    return Traffic(sum(one.read_bytes for one in found), sum(one.written_bytes for one in found))


def written_by(root: int) -> int:
    """Bytes that a tree of processes has sent to disks, with those of children that have been waited for."""
    size_bytes = 0
    for pid in tree_of(root):
        with suppress(OSError, ValueError):
            counts = _io_counts(pid)
            size_bytes += counts["write_bytes"] - counts["cancelled_write_bytes"]
    return size_bytes


def _io_counts(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/io").read_text(encoding="ascii").splitlines()
    return {name: int(count) for name, _, count in (line.partition(": ") for line in lines)}


def _own_memory_bytes(pid: int) -> int:
    """All threads tell of the same memory, except one that has ended, which may be the first."""
    for thread in (f"/proc/{pid}", *map(str, Path(f"/proc/{pid}/task").iterdir())):
        lines = Path(f"{thread}/status").read_text(encoding="ascii", errors="replace").splitlines()
        found = [line for line in lines if line.startswith(("RssAnon:", "RssShmem:", "VmSwap:"))]
        if found:
            return sum(int(line.split()[1]) for line in found) * 1024
    return 0


def _all_processes() -> list[int]:
    return [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]


def _fields(pid: int) -> list[str]:
    """Empty for a process that has gone."""
    with suppress(OSError, ValueError):
        return process_stat(pid)
    return []
