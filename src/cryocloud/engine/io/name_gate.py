"""The one gate for names inside files: where they lead, and whether this process may go there.

The tables of strangers name files anywhere. Once `restrict_names` was called, a name is followed part by part, links
included, and refused where it leaves the readable folders. Nothing outside is opened or looked at, not even whether it
exists, so that neither the answer nor its time says what is there. Without a restriction (the command line) names lead
anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cryocloud.engine.errors import InputError

NAME_CHARACTERS_MAX = 2048
_PART_BYTES_MAX = 255
# As Linux: more are a loop.
_LINKS_MAX = 40
_LAST_CONTROL_CHARACTER = 0x1F
_DELETE = 0x7F
_ROOT = Path("/")


class _Gate:
    """Readable places by the names that they are given, and the folders that lie above them."""

    def __init__(self, readable: Iterable[Path | str]) -> None:
        given = [Path.cwd() / place for place in readable]
        self._true_place = {place: place.resolve() for place in given}
        self._true_place |= {place: place for place in self._true_place.values()}
        self._above = {folder for place in self._true_place for folder in place.parents}

    def true_path(self, path: Path) -> Path | None:
        """The path with its links followed, or None as soon as it leaves the readable places.

        Each part is looked at only after the part before it was found to lie inside; a loop of more than
        40 links is left.
        """
        here, ahead = _ROOT, list(path.parts[:0:-1])
        is_inside, links = False, 0
        while ahead:
            part = ahead.pop()
            # What lies above is never a link, so that its parent is what the kernel would find.
            here = here.parent if part == ".." else here / part
            if not is_inside or part == "..":
                place = self._entered(here)
                if place is None and here not in self._above:
                    return None
                here, is_inside = place or here, place is not None
            elif (target := _link_target(here)) is not None:
                links += 1
                if links > _LINKS_MAX:
                    return None
                here = here.parent
                if target.is_absolute():
                    target = target.relative_to(_ROOT)
                    here, is_inside = _ROOT, False
                ahead += target.parts[::-1]
        return here if is_inside else None

    def _entered(self, path: Path) -> Path | None:
        """The path by its true name, if it is a readable place or lies below one."""
        if path in self._true_place:
            return self._true_place[path]
        return path if any(folder in self._true_place for folder in path.parents) else None


_gate: _Gate | None = None


def restrict_names(readable: Iterable[Path | str] | None) -> None:
    """From now on this process reads input files only below these places; None lifts the restriction."""
    global _gate  # noqa: PLW0603 (readers ask for it themselves, so that none can forget)
    _gate = None if readable is None else _Gate(readable)


def named_file(folder: Path, name: str, *, label: str, row: int) -> Path:
    """Where a file lies that row ``row`` (from 1) of a table in ``folder`` names under ``label``.

    Names count from the table's folder and, without a restriction, then from the working directory. A file that is
    found in neither place resolves to the table's folder.

    Raises
    ------
    InputError
        The name leads outside the readable places, or no file can have it.
    """
    fault = name_fault(name)
    if fault:
        raise InputError(f"{label} in row {row} {fault}; mend the name in the table")
    path = _resolved(folder, name)
    if path is None:
        raise InputError(
            f"{label} in row {row} names a file outside the inputs of this job; put the file into the dataset of "
            "the table, and name it as it lies from the table's folder"
        )
    return path


def find_named_file(folder: Path, name: str) -> Path | None:
    """The file as `named_file` finds it, or None if it is not there or must not be read."""
    path = None if name_fault(name) else _resolved(folder, name)
    return path if path is not None and _is_file(path) else None


def name_fault(name: str) -> str:
    """Why no file can have this name; empty for a usable one."""
    if not name:
        return "has an empty file name"
    if any(ord(mark) <= _LAST_CONTROL_CHARACTER or ord(mark) == _DELETE for mark in name):
        return "has a file name with a control character"
    try:
        parts = name.encode().split(b"/")
    except UnicodeEncodeError:
        return "has a file name that is not Unicode text"
    if len(name) > NAME_CHARACTERS_MAX or max(map(len, parts)) > _PART_BYTES_MAX:
        return f"has a file name of {len(name):,} characters, which no file can have"
    return ""


def require_readable(path: Path) -> None:
    """Each reader of input files asks first.

    Raises
    ------
    InputError
        The path leads outside the readable places.
    """
    if _gate is not None and _gate.true_path(path.absolute()) is None:
        raise InputError(
            f"{path.name}: leads outside the inputs of this job; put the file itself into the dataset"
        )


def is_readable_file(path: Path) -> bool:
    """Whether a file is there that may be read; of what lies outside nothing is asked."""
    true = path if _gate is None else _gate.true_path(path.absolute())
    return true is not None and _is_file(true)


def _resolved(folder: Path, name: str) -> Path | None:
    if _gate is not None:
        return _gate.true_path((folder / name).absolute())
    beside = folder / name
    return beside if _exists(beside) or not _exists(Path(name)) else Path(name).absolute()


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        # A name that is too long in its folder.
        return False


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _link_target(path: Path) -> Path | None:
    try:
        return path.readlink()
    except (OSError, ValueError):
        return None
