"""Names of point groups, checked before anything starts."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

POINT_GROUP = re.compile(r"[CD][1-9]\d?|T|O|I[1-4]?")


def _point_group(name: str) -> str:
    text = name.strip().upper()
    if not POINT_GROUP.fullmatch(text):
        raise ValueError("is not a point group; known are C1 to C99, D1 to D99, T, O, I and I1 to I4")
    return text


PointGroup = Annotated[str, AfterValidator(_point_group)]
"""C1 to C99, D1 to D99, T, O, I (= I2), I1 to I4, in capitals."""


def group_order(name: str) -> int:
    """Number of operators of a point group; 1 for a name that is none."""
    text = name.strip().upper()
    if not POINT_GROUP.fullmatch(text):
        return 1
    polyhedral = {"T": 12, "O": 24, "I": 60}
    if text[0] in polyhedral:
        return polyhedral[text[0]]
    return int(text[1:]) * (2 if text[0] == "D" else 1)
