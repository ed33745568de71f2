"""One thing that is said of an order before it is placed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """``field`` is a parameter or an input; empty for what concerns the whole order."""

    field: str
    level: Literal["error", "warning", "info"]
    text: str
