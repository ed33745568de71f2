"""Running a peer program: CPU seconds of its processes, and results kept so that a long run is done once."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# One rank of an MPI program: "times" prints the user and system time of the program it ran.
_RANK = '"$@"; code=$?; times > "$RANK_TIMES/$OMPI_COMM_WORLD_RANK"; exit $code'

OURS = [str(Path(sys.executable).with_name("cryocloud"))]
"""The command of the environment that the benchmark runs in."""


@dataclass(frozen=True)
class PeerRun:
    """One finished run. ``rank_cpu_s`` has an entry for each MPI rank (one for a plain program)."""

    command: list[str]
    cpu_s: float
    rank_cpu_s: list[float]
    wall_s: float


def version(program: str) -> str:
    """First line that the program says about its version."""
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    return " ".join(answer.split())


def run_program(command: list[str], folder: Path, log: Path) -> PeerRun:
    """Run a program in a folder with one thread; its output goes to ``log``."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with log.open("w") as stream:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run(command, cwd=folder, stdout=stream, stderr=stream, env=environment, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return PeerRun(command, cpu_s, [cpu_s], time.monotonic() - start)


def run_ranks(command: list[str], ranks: int, folder: Path, log: Path) -> PeerRun:
    """Run an MPI program and measure each rank by itself: the leader of RELION only waits, and spins meanwhile."""
    times = folder / "rank_times"
    shutil.rmtree(times, ignore_errors=True)
    times.mkdir()
    mpirun = [
        "mpirun",
        "--allow-run-as-root",
        "--oversubscribe",
        "-n",
        str(ranks),
        "-x",
        f"RANK_TIMES={times}",
    ]
    finished = run_program([*mpirun, "bash", "-c", _RANK, "rank", *command], folder, log)
    rank_cpu_s = [_children_s((times / str(rank)).read_text()) for rank in range(ranks)]
    return PeerRun([*mpirun[:5], *command], sum(rank_cpu_s), rank_cpu_s, finished.wall_s)


def _children_s(times: str) -> float:
    """Bash's "times": the shell's own user and system time, then its children's, as 1m2.345s."""
    fields = times.splitlines()[1].split()
    return sum(
        60 * float(minutes) + float(seconds[:-1]) for minutes, seconds in (f.split("m") for f in fields)
    )


def key_of(**facts: Any) -> str:
    """Short name for everything that a result depends on; files enter by content."""
    digest = hashlib.sha256()
    for name in sorted(facts):
        value = facts[name]
        digest.update(name.encode())
        digest.update(
            value.read_bytes() if isinstance(value, Path) else json.dumps(value, sort_keys=True).encode()
        )
    return digest.hexdigest()[:16]
