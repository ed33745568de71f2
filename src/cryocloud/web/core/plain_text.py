"""Names and reasons that people type and that later stand in mails, pages and the audit log."""

from __future__ import annotations

import re
import unicodedata

from cryocloud.web.core.errors import Refused

REASON_LENGTH = 500
_LIKE_A_LINK = re.compile(r"://|www\.|@", re.IGNORECASE)


def clean_name(text: str, *, field: str, length_max: int = 120) -> str:
    """One line, without control characters and without anything that a mail program makes a link of."""
    visible = "".join(" " if unicodedata.category(letter)[0] in "CZ" else letter for letter in text)
    name = " ".join(visible.split())
    if not name:
        raise Refused("A name is needed.", {field: "Give a name."})
    if len(name) > length_max:
        raise Refused(
            "The name is too long.",
            {field: f"This has {len(name)} characters; give at most {length_max}."},
        )
    if _LIKE_A_LINK.search(name):
        raise Refused(
            "The name looks like an address.", {field: f"“{name}” looks like an address; give a plain name."}
        )
    return name


def checked_reason(reason: str) -> str:
    """Why somebody of staff decides so, in one line."""
    said = " ".join(reason.split())
    if not said:
        raise Refused("A reason is needed.", {"reason": "Say why; it stands in the audit log."})
    if len(said) > REASON_LENGTH:
        raise Refused(
            "The reason is too long.",
            {"reason": f"This has {len(said)} characters; give at most {REASON_LENGTH}."},
        )
    return said
