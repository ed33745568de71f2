"""The lines that the guide gives to whoever verifies a signature: these, and no others."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

GUIDE = Path(__file__).parents[1] / "docs" / "guide" / "notices.md"


def is_genuine(*, any_time: bool = False) -> Callable[[str, Mapping[str, str], bytes], bool]:
    """``any_time`` is for a test that sets the clock of the platform forward: only the age is left unlooked at."""
    (lines,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(lines, names)
    verify: Callable[[str, Mapping[str, str], bytes], bool] = names["is_genuine"]
    if not any_time:
        return verify

    def at_its_time(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
        names["time"] = SimpleNamespace(time=lambda: float(headers["webhook-timestamp"]))
        return verify(secret, headers, body)

    return at_its_time
