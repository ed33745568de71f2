"""What runners left behind, read as what it may be: damaged, forged or of another version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cryocloud.compute import attempt as protocol
from cryocloud.compute.foreign import BadRecord, read_json_below
from cryocloud.compute.outcome import CODES, MESSAGE_LENGTH, is_number
from cryocloud.web.core.clock import now
from cryocloud.web.core.places import attempt_folder
from cryocloud.web.runs.models import Attempt

CLOCK_SLACK_S = 60.0
CORES_MAX = 4096
MEMORY_BYTES_MAX = 1 << 50


@dataclass(frozen=True)
class Spent:
    """Seconds of one attempt, or of those whose checkpoint is taken over."""

    wall_s: float
    cpu_s: float
    memory_bytes: int = 0


NOTHING = Spent(0.0, 0.0)


@dataclass(frozen=True)
class Exit:
    """What ``exit.json`` says."""

    code: int
    message: str
    spent: Spent


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
    return Exit(code, message[:MESSAGE_LENGTH], _spent(attempt, left, "peak_memory_bytes"))


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
    """No seconds below zero, and none beyond those that have passed on the clock of the platform."""
    passed_s = max(0.0, (now() - attempt.created_at).total_seconds()) + CLOCK_SLACK_S
    wall_s = min(max(spent.wall_s, 0.0), passed_s)
    return Spent(
        wall_s=wall_s,
        cpu_s=min(max(spent.cpu_s, 0.0), passed_s * CORES_MAX),
        memory_bytes=min(max(spent.memory_bytes, 0), MEMORY_BYTES_MAX),
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
    numbers: list[Any] = [left.get(name) for name in ("wall_s", "cpu_s", memory)]
    if not all(is_number(number) and number >= 0 for number in numbers):
        raise BadRecord("a record has no seconds that can be")
    wall_s, cpu_s, memory_bytes = numbers
    return bounded(attempt, Spent(float(wall_s), float(cpu_s), int(memory_bytes)))
