"""What jobs say, in the words of those who ordered them: where files lie on the server is nobody's business."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryocloud.catalog.fields import title
from cryocloud.compute.attempt import AttemptSpec

FOLDER_MARK = "\u2215"
"""Stands for the slash in the names of links to files that lie in folders of a dataset; looks like one, too."""
RESULT = "the result folder"
TEXT_LENGTH_MAX = 4000

# Elsewhere a slash is part of a unit (e/px/s), of a relative name or of an address (https://).
_ABSOLUTE_PATH = re.compile(r"""(?:^|(?<=[\s"'(=,:<>\[]))/(?:[^\s/:'"()<>,;]+/)+""")

_OPTION = re.compile(r"(?<![\w-])--([a-z0-9]+(?:-[a-z0-9]+)*)")
_ON_A_PAGE = (
    (re.compile(r"run (the same command|it) again"), "retry the job"),
    (re.compile(r" or choose another --out"), ""),
    (re.compile(r" \(cryocloud [a-z0-9 _-]+\)"), ""),
)


class PlainNames:
    """Names inputs as "Session 1/day one/a.mrc" or "job 4/particles.star" in what a job says, its results as "map.mrc".

    ``places`` are absolute folders with what people call them; None (the command line) leaves everything as it is.
    """

    def __init__(self, places: Mapping[str, str] | None, out: str) -> None:
        self._label: dict[str, str] = {}
        for place, label in {**places, out: ""}.items() if places is not None else ():
            self._label |= {place: label, str(Path(place).resolve()): label}
        self._tail = {
            os.path.relpath(place, out).lstrip("./"): label for place, label in self._label.items() if label
        }
        self._absolute = _any_of(self._label, "(?P<name>{})(?:/|(?![\\w-]))")
        # A table names files as they lie from its folder: ../../../datasets/ID/files/a.mrc.
        self._relative = _any_of(
            self._tail, r"(?:(?<![^\s:'\"()@])/[^\s:'\"()@]*/|(?<!\.\./))(?:\.\./)++(?P<name>{})/"
        )

    @classmethod
    def of(cls, spec: AttemptSpec) -> PlainNames:
        return cls(spec.names, spec.out)

    def clean(self, text: str) -> str:
        """The text without folders of the server, and with the remedies that a page offers; a very long one is cut."""
        if not self._label:
            return text
        if len(text) > TEXT_LENGTH_MAX:
            text = f"{text[:TEXT_LENGTH_MAX]}…"
        return without_command_line(without_folders(self.known_as(text)))

    def known_as(self, name: str) -> str:
        """A name as people know it; one that they wrote themselves, in a table, stays as it is."""
        if not self._label:
            return name
        name = self._relative.sub(lambda found: f"{self._tail[found['name']]}/", name)
        return self._absolute.sub(self._called, name).replace(FOLDER_MARK, "/")

    def clean_value(self, value: Any) -> Any:
        """The same for all texts inside."""
        match value:
            case str():
                return self.clean(value)
            case list() | tuple():
                return [self.clean_value(part) for part in value]
            case dict():
                return {name: self.clean_value(part) for name, part in value.items()}
        return value

    def _called(self, found: re.Match[str]) -> str:
        label = self._label[found["name"]]
        if found[0].endswith("/"):
            return f"{label}/" if label else ""
        return label or RESULT


def without_folders(text: str) -> str:
    """Of absolute paths the last part."""
    return _ABSOLUTE_PATH.sub("", text)


def without_command_line(text: str) -> str:
    """With the remedies that a page offers: parameters by their labels, a job to retry in place of a command."""
    for pattern, words in _ON_A_PAGE:
        text = pattern.sub(words, text)
    return _OPTION.sub(lambda found: f"“{title(found[1].replace('-', '_'))}”", text)


def _any_of(names: Mapping[str, str], pattern: str) -> re.Pattern[str]:
    longest_first = sorted(names, key=len, reverse=True)
    return re.compile(pattern.replace("{}", "|".join(map(re.escape, longest_first)) or r"(?!)"))
