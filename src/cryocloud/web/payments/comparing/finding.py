from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Found:
    """Something that does not agree: its kind, what it is about, and a sentence for people."""

    kind: str
    subject: str
    words: str


Check = Callable[[], Iterator[Found]]
