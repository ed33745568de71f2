"""What runners left behind, read as what it may be: damaged, forged or of another version."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from cryocloud.compute import attempt as protocol
from cryocloud.compute.foreign import BadRecord, read_json_below
from cryocloud.compute.outcome import CODES, MESSAGE_LENGTH, is_number
from cryocloud.web.core.clock import now
from cryocloud.web.core.places import attempt_folder
from cryocloud.web.runs.models import Attempt

CLOCK_SLACK_S = 60.0
CORES_MAX = 4096
BYTES_MAX = 1 << 50
GPUS_MAX = 64
CAUSES = ("", "memory", "limit")
NAME_LENGTH = 80
BOOT_LENGTH = 40


@dataclass(frozen=True)
class Spent:
    """What one attempt used, or those whose checkpoint is taken over.

    ``boot_id`` is empty where the interval is not known, only how long it was.
    """

    wall_s: float
    cpu_s: float
    memory_bytes: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    boot_id: str = ""
    from_s: float = 0.0
    until_s: float = 0.0
    gpus: int = 0
    gpu_class: str = ""


NOTHING = Spent(0.0, 0.0)


@dataclass(frozen=True)
class Exit:
    """What ``exit.json`` says; ``cause`` is what only the runner knows of it."""

    code: int
    message: str
    spent: Spent
    cause: str = ""


def read_exit(attempt: Attempt) -> Exit | None:
    """None while there is none; ``BadRecord`` for one that cannot be."""
    left = _read(attempt, protocol.Attempt(attempt_folder(attempt.pk)).exit_file.name)
    if left is None:
        return None
    code, message = left.get("code"), left.get("message")
    if type(code) is not int or code not in CODES:
        raise BadRecord(f"exit.json has no known code ({str(code)[:40]})")
    if not isinstance(message, str):
        raise BadRecord("exit.json has no message")
    cause = left.get("cause", "")
    if cause not in CAUSES:
        raise BadRecord("exit.json has no known cause")
    return Exit(code, message[:MESSAGE_LENGTH], _spent(attempt, left, "peak_memory_bytes"), cause)


def read_beat(attempt: Attempt) -> Spent | None:
    """The last heartbeat; None while there is none."""
    left = _read(attempt, protocol.Attempt(attempt_folder(attempt.pk)).heartbeat_file.name)
    return None if left is None else _spent(attempt, left, "memory_bytes")


def read_spent(attempt: Attempt) -> Spent:
    """What is known of an attempt that has ended: by its record, its last heartbeat, or nothing."""
    for read in (_spent_by_exit, read_beat):
        try:
            found = read(attempt)
        except BadRecord:
            continue
        if found is not None:
            return found
    return NOTHING


def bounded(attempt: Attempt, spent: Spent) -> Spent:
    """Nothing below zero, and no second before the attempt was submitted or after now.

    On the same machine since the same boot the steady clock tells, whoever sets the other one meanwhile.
    """
    if spent.boot_id and spent.boot_id == attempt.boot_id == protocol.boot_id():
        from_s = min(max(spent.from_s, attempt.submitted_s), time.monotonic())
        until_s = min(max(spent.until_s, from_s), time.monotonic())
        passed_s = time.monotonic() - attempt.submitted_s
    else:
        passed_s = max(0.0, (now() - attempt.created_at).total_seconds()) + CLOCK_SLACK_S
        from_s = max(0.0, spent.from_s)
        until_s = from_s + min(max(spent.wall_s, 0.0), passed_s)
    return replace(
        spent,
        wall_s=until_s - from_s,
        from_s=from_s,
        until_s=until_s,
        cpu_s=min(max(spent.cpu_s, 0.0), passed_s * CORES_MAX),
        memory_bytes=min(max(spent.memory_bytes, 0), BYTES_MAX),
        read_bytes=min(max(spent.read_bytes, 0), BYTES_MAX),
        written_bytes=min(max(spent.written_bytes, 0), BYTES_MAX),
        gpus=min(max(spent.gpus, 0), GPUS_MAX),
    )


def _spent_by_exit(attempt: Attempt) -> Spent | None:
    left = read_exit(attempt)
    return None if left is None else left.spent


def _read(attempt: Attempt, name: str) -> dict[str, Any] | None:
    try:
        left = read_json_below(attempt_folder(attempt.pk), name)
    except FileNotFoundError:
        return None
    if not isinstance(left, dict):
        raise BadRecord(f"{name} is no object")
    return left


def _spent(attempt: Attempt, left: dict[str, Any], memory: str) -> Spent:
    found: dict[str, Any] = {name: left.get(name) for name in ("wall_s", "cpu_s", memory)}
    # Runners of earlier versions did not tell these.
    found |= {
        name: left.get(name, 0) for name in ("from_s", "until_s", "read_bytes", "written_bytes", "gpus")
    }
    if not all(is_number(number) and number >= 0 for number in found.values()):
        raise BadRecord("a record has no seconds that can be")
    boot_id, gpu_class = left.get("boot_id", ""), left.get("gpu_class", "")
    if not all(isinstance(text, str) and text.isprintable() for text in (boot_id, gpu_class)):
        raise BadRecord("a record names no boot")
    return bounded(
        attempt,
        Spent(
            wall_s=float(found["wall_s"]),
            cpu_s=float(found["cpu_s"]),
            memory_bytes=int(found[memory]),
            read_bytes=int(found["read_bytes"]),
            written_bytes=int(found["written_bytes"]),
            boot_id=boot_id[:BOOT_LENGTH],
            from_s=float(found["from_s"]),
            until_s=float(found["until_s"]),
            gpus=int(found["gpus"]),
            gpu_class=gpu_class[:NAME_LENGTH],
        ),
    )
