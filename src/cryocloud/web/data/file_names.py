"""Names of uploaded files: relative paths that mean the same on every system and never lead out of their dataset."""

from __future__ import annotations

import unicodedata

from cryocloud.web.core.errors import Refused
from cryocloud.web.data.models import PATH_LENGTH

COMPONENT_BYTES = 255
_DEPTH = 32
_REMEDY = "rename the file, or upload it under a plain relative name such as micrographs/one.mrc"
_DIRECTION_MARKS = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def checked_path(path: str) -> str:
    """The path, if it can be kept; otherwise ``Refused`` with what is wrong about it."""
    problem = _problem(path)
    if problem:
        shown = path[:80].encode("unicode_escape").decode()
        raise Refused(f"“{shown}” {problem}; {_REMEDY}.", {"path": problem})
    return path


def folders_of(path: str) -> list[str]:
    """The folders above a file: "a/b/c" lies in "a" and "a/b"."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def _problem(path: str) -> str:
    if not path:
        return "is no name"
    if len(path) > PATH_LENGTH:
        return f"has {len(path)} characters, more than the {PATH_LENGTH} that are kept"
    if path.startswith("/"):
        return "is an absolute name"
    if "\\" in path:
        return "holds a backslash, which some systems take for a folder"
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in path):
        return "holds a control character"
    if not _DIRECTION_MARKS.isdisjoint(path):
        return "holds a mark that turns the direction of reading"
    return _component_problem(path.split("/"))


def _component_problem(parts: list[str]) -> str:
    if len(parts) > _DEPTH:
        return f"lies {len(parts) - 1} folders deep, more than {_DEPTH - 1}"
    if ".." in parts:
        return "leads outside the dataset"
    if "." in parts or "" in parts:
        return "has an empty or “.” part"
    if any(len(part.encode()) > COMPONENT_BYTES for part in parts):
        return f"has a part of more than {COMPONENT_BYTES} bytes"
    return ""
