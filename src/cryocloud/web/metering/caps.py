"""Caps that people set: how much a project or a run may be billed in all, whatever the plan would allow."""

from __future__ import annotations

from cryocloud.web.core.errors import Refused

CAP_HOURS_MAX = 1_000_000
CAP_S_MAX = CAP_HOURS_MAX * 3600
FIELD = "compute_cap_hours"


def cap_of_text(text: str) -> int | None:
    """Seconds of what somebody typed as hours; blank: no cap."""
    text = text.strip().replace(",", ".")
    if not text:
        return None
    try:
        hours = float(text)
    except ValueError:
        hours = -1.0
    if not 0 <= hours <= CAP_HOURS_MAX:
        message = f"“{text[:20]}” cannot be used; give hours from 0 to {CAP_HOURS_MAX:,}, or leave it blank for no cap."
        raise Refused(f"{FIELD}: {message}", {FIELD: message})
    return round(hours * 3600)


def check_cap(cap_s: int | None) -> None:
    if cap_s is not None and not 0 <= cap_s <= CAP_S_MAX:
        raise Refused(
            f"compute_cap_s: {cap_s} is not between 0 and {CAP_S_MAX}", {"compute_cap_s": f"0 to {CAP_S_MAX}"}
        )


def hours_text(cap_s: int | None) -> str:
    """As it would be typed."""
    return "" if cap_s is None else f"{cap_s / 3600:.4f}".rstrip("0").rstrip(".")
