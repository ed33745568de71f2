"""A pytest plugin that writes the collected names, and those that hold bare binary, to ``COLLECTION_WRITTEN``."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest


def pytest_collection_finish(session: pytest.Session) -> None:
    collected = {
        "names": [item.nodeid for item in session.items],
        "bare": [item.nodeid for item in session.items if _holds_bare_binary(item)],
    }
    Path(os.environ["COLLECTION_WRITTEN"]).write_text(json.dumps(collected), encoding="utf-8")


def _holds_bare_binary(item: pytest.Item) -> bool:
    """Whether pytest spelled out bytes that are no text, for want of an id."""
    callspec = getattr(item, "callspec", None)
    values = callspec.params.values() if callspec else ()
    binaries = [value for value in values if isinstance(value, bytes) and not _is_text(value)]
    return any(value.decode("latin-1").encode("unicode_escape").decode() in item.nodeid for value in binaries)


def _is_text(value: bytes) -> bool:
    return value.isascii() and all(sign.isprintable() or sign in "\r\n\t" for sign in value.decode("ascii"))
