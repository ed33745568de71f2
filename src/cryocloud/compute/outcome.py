"""The last word of a job process, taken at its word only where it can be checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from cryocloud.compute import attempt as protocol
from cryocloud.compute.foreign import BadRecord

CODES = (
    protocol.DONE, protocol.INTERNAL_ERROR, protocol.BAD_INPUT, protocol.DONE_WITH_EXCEPTIONS,
    protocol.DISK_FULL, protocol.CANCELLED,
)  # fmt: skip
MESSAGE_LENGTH = 2000
NAME_LENGTH = 200
DECISIONS_MAX = 1000
WARNINGS_MAX = 1000
METRICS_MAX = 1000
COUNT_MAX = 10**9
NUMBER_MAX = 1e300
_VALUE_DEPTH = 4
_VALUE_ITEMS = 1000


@dataclass(frozen=True)
class Outcome:
    """How a job says that it ended."""

    code: int
    message: str = ""
    device: str | None = None
    decisions: tuple[dict[str, Any], ...] = ()
    warnings: tuple[str, ...] = ()
    exceptions: int = 0


def read_outcome(value: Any) -> Outcome:
    """From JSON. Raises ``BadRecord`` if a field is missing, of another kind or out of bounds."""
    _require(isinstance(value, dict), "is no object")
    code = value.get("code")
    _require(type(code) is int and code in CODES, f"has no known code ({str(code)[:40]})")
    return Outcome(
        code=code,
        message=_text(value.get("message", ""), MESSAGE_LENGTH, "message"),
        device=None if value.get("device") is None else _text(value["device"], NAME_LENGTH, "device"),
        decisions=checked_decisions(value.get("decisions", [])),
        warnings=checked_warnings(value.get("warnings", [])),
        exceptions=checked_count(value.get("exceptions", 0), "exceptions"),
    )


def checked_decisions(value: Any) -> tuple[dict[str, Any], ...]:
    """Decisions, each of what was decided, the value and the reason."""
    _require(isinstance(value, list) and len(value) <= DECISIONS_MAX, "decisions is no short list")
    return tuple(_decision(one) for one in value)


def checked_warnings(value: Any) -> tuple[str, ...]:
    """Sentences about what casts doubt on the result."""
    _require(isinstance(value, list) and len(value) <= WARNINGS_MAX, "warnings is no short list")
    return tuple(_text(one, MESSAGE_LENGTH, "a warning") for one in value)


def checked_metrics(value: Any) -> dict[str, float | None]:
    """Numbers by name, None for one that was not finite."""
    _require(isinstance(value, dict) and len(value) <= METRICS_MAX, "metrics is no short object")
    for name, number in value.items():
        _require(len(name) <= NAME_LENGTH and name.isprintable(), "a metric has a strange name")
        _require(number is None or is_number(number), f"{name} is no number")
    return dict(value)


def checked_count(value: Any, name: str) -> int:
    """A whole number from 0 to a billion."""
    _require(type(value) is int and 0 <= value <= COUNT_MAX, f"{name} is no count")
    return int(value)


def is_number(value: Any) -> bool:
    """Whether it is finite, bounded, and neither text nor truth value."""
    if type(value) not in (int, float):
        return False
    return abs(value) <= NUMBER_MAX and math.isfinite(value)


def _decision(value: Any) -> dict[str, Any]:
    _require(isinstance(value, dict) and value.keys() == {"what", "value", "why"}, "a decision lacks a part")
    _require(_is_plain(value["value"], _VALUE_DEPTH), "a decision has a strange value")
    return {
        "what": _text(value["what"], NAME_LENGTH, "what"),
        "value": value["value"],
        "why": _text(value["why"], MESSAGE_LENGTH, "why"),
    }


def _is_plain(value: Any, depth: int) -> bool:
    if value is None or isinstance(value, bool) or is_number(value):
        return True
    if isinstance(value, str):
        return len(value) <= MESSAGE_LENGTH and _is_text(value)
    if not isinstance(value, list | dict) or depth == 0 or len(value) > _VALUE_ITEMS:
        return False
    inner = value if isinstance(value, list) else [*value, *value.values()]
    return all(_is_plain(one, depth - 1) for one in inner)


def _text(value: Any, length: int, name: str) -> str:
    _require(isinstance(value, str) and _is_text(value), f"{name} is no text")
    return str(value)[:length]


def _is_text(value: str) -> bool:
    """Databases keep neither lone surrogates nor NUL."""
    return "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise BadRecord(f"the record of the job {problem}")
