"""Reading what a job body wrote, or whoever got into one: no link is followed, nothing waits or is endless."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

RECORD_BYTES_MAX = 4 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class BadRecord(Exception):
    """What was left is no record; the message says why, in words that name no place of the server."""


def open_below(folder: Path, name: str) -> int:
    """A descriptor of the regular file ``name`` ("plots/a.png") below ``folder``, with no link on the way to it.

    Raises ``FileNotFoundError`` if there is nothing, ``BadRecord`` if there is something else.
    """
    parts = Path(name).parts
    if not parts or ".." in parts or Path(name).is_absolute() or "\0" in name:
        raise BadRecord("a name leads out of its folder")
    at = _open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, None)
    try:
        for part in parts[:-1]:
            inner = _open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, at)
            os.close(at)
            at = inner
        return _regular(_open(parts[-1], _READ, at), parts[-1])
    finally:
        os.close(at)


def read_below(folder: Path, name: str, bytes_max: int = RECORD_BYTES_MAX) -> bytes:
    """The content of a file of at most ``bytes_max``; raises as ``open_below`` does."""
    descriptor = open_below(folder, name)
    with os.fdopen(descriptor, "rb") as stream:
        size_bytes = os.fstat(descriptor).st_size
        if size_bytes > bytes_max:
            raise BadRecord(f"{name} has {size_bytes:,} bytes, more than {bytes_max:,}")
        return stream.read(bytes_max)


def read_json_below(folder: Path, name: str, bytes_max: int = RECORD_BYTES_MAX) -> Any:
    """The JSON value of a file; raises ``BadRecord`` for what is none, and for numbers that are not finite."""
    return parse_json(read_below(folder, name, bytes_max), name)


def parse_json(content: bytes, name: str) -> Any:
    """The value of JSON whose numbers are finite."""
    try:
        return json.loads(content, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise BadRecord(f"{name} is no JSON of finite numbers ({str(error)[:80]})") from None


def is_own_file(path: Path, bytes_max: int) -> bool:
    """Whether a regular file of at most ``bytes_max`` lies there, and under no other name."""
    try:
        facts = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1 and facts.st_size <= bytes_max


def open_to_append(path: Path) -> int:
    """A regular file to write at its end; what else lies there under that name is removed first."""
    with suppress(BadRecord, OSError):
        return _regular(os.open(path, _APPEND, 0o600), path.name)
    remove_tree(path)
    return os.open(path, _APPEND | os.O_EXCL, 0o600)


def remove_tree(path: Path) -> None:
    """Whatever it is, and however deep: the standard library gives up on folders in thousands of folders."""
    _run_quietly("rm", "-rf", "--one-file-system", "--", str(path))
    if os.path.lexists(path):
        # An ordinary user has to open folders first that the job has closed.
        _run_quietly("chmod", "-R", "u+rwx", "--", str(path))
        _run_quietly("rm", "-rf", "--one-file-system", "--", str(path))


def _run_quietly(*command: str) -> None:
    subprocess.run(command, stderr=subprocess.DEVNULL, check=False)


def _open(part: str | Path, flags: int, at: int | None) -> int:
    try:
        return os.open(part, flags, dir_fd=at)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise BadRecord(f"{Path(part).name} cannot be opened ({getattr(error, 'strerror', error)})") from None


def _regular(descriptor: int, name: str) -> int:
    facts = os.fstat(descriptor)
    # None: another record took its place by rename since it was opened.
    if stat.S_ISREG(facts.st_mode) and facts.st_nlink <= 1:
        return descriptor
    os.close(descriptor)
    raise BadRecord(f"{name} is no file of its own")


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:20]} is too large")
    return number
