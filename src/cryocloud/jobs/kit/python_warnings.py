"""Warnings of Python and its libraries: those that bear on the result are said in plain words."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable
from typing import TextIO

MEANINGS = (
    (
        re.compile(r"overflow encountered|value too large"),
        "some numbers grew too large to be computed with, so that parts of the result may be wrong: look for pixels "
        "of extreme values in the input",
    ),
    (
        re.compile(r"invalid value encountered|divide by zero encountered"),
        "some numbers could not be computed (a division by zero, or the like), so that parts of the result may be "
        "empty: look for images without any contrast in the input",
    ),
)
"""What of the numbers of a library bears on a result."""


def explain_python_warnings(tell: Callable[[str], None]) -> None:
    """From now on ``tell`` gets each meaning once; the words of Python go to standard error."""
    told: set[str] = set()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        print(warnings.formatwarning(message, category, filename, lineno, line), end="", file=sys.stderr)
        words = _meaning(str(message)) if issubclass(category, RuntimeWarning) else ""
        if words and words not in told:
            told.add(words)
            tell(words)

    warnings.showwarning = show


def _meaning(text: str) -> str:
    return next((words for pattern, words in MEANINGS if pattern.search(text)), "")
