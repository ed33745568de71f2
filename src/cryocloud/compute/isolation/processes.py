"""What a process and all that it started use at this moment, from /proc."""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


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
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError, ValueError):
                pid = int(entry.name)
                children[int(process_stat(pid)[1])].append(pid)
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return found


def use_of(root: int) -> Use:
    """What ``root`` and its descendants use; what they have waited for is in their processor time."""
    cpu_s, memory_bytes = 0.0, 0
    tree = tree_of(root)
    for pid in tree:
        with suppress(OSError, ValueError):
            cpu_s += sum(int(ticks) for ticks in process_stat(pid)[11:15]) / _TICKS_PER_S
            memory_bytes += _own_memory_bytes(pid)
    return Use(len(tree), cpu_s, memory_bytes)


def _own_memory_bytes(pid: int) -> int:
    total = 0
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(("RssAnon:", "RssShmem:", "VmSwap:")):
            total += int(line.split()[1]) * 1024
    return total
