"""The privacy policy: one text, its version, the day from which it holds, and its hash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

TEXT = Path(__file__).parent.parent / "templates" / "public" / "policy_text.html"


@dataclass(frozen=True)
class Policy:
    version: str
    effective_on: date
    text: str
    sha256: str


# A text that has been in force is never edited: a change is a new version with a hash of its own.
VERSIONS = {"1.0": (date(2026, 11, 23), "9219374ca5a358ab900412477d7da833c3df558f2fd708f166b406f5b5b321d9")}


@cache
def current_policy() -> Policy:
    version = max(VERSIONS)
    effective_on, _ = VERSIONS[version]
    content = TEXT.read_bytes()
    return Policy(version, effective_on, content.decode(), hashlib.sha256(content).hexdigest())
