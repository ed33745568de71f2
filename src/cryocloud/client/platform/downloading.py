"""Files from the server: whole or the rest of them, and never kept under their name unless the checksum is right."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import httpx

from cryocloud.client.platform.connection import API, BUSY, Connection, Unreachable, pauses, refusal_of

READ_BYTES = 1 << 18
PARTIAL = ".part"


class WrongChecksum(Exception):
    """What arrived is not what the server announced."""


def place_below(folder: Path, name: str) -> Path:
    """Where a file called ``name`` by the server goes; a name that leads out of the folder is refused."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in name:
        raise ValueError(f"the server names a file {name!r}, which is no relative path")
    return folder.joinpath(*path.parts)


def download(
    connection: Connection,
    path: str,
    target: Path,
    *,
    size_bytes: int,
    sha256: str,
    add: Callable[[int], None] = lambda _: None,
) -> bool:
    """Fetch ``API path`` into ``target``; False if it was there already with the right checksum."""
    if target.is_file() and target.stat().st_size == size_bytes and _sha256(target) == sha256:
        add(size_bytes)
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + PARTIAL)
    if partial.exists() and partial.stat().st_size > size_bytes:
        partial.unlink()
    add(partial.stat().st_size if partial.exists() else 0)
    _fetch_rest(connection, API + path, partial, size_bytes, add)
    if _sha256(partial) != sha256:
        partial.unlink()
        raise WrongChecksum(f"{target.name}: the checksum is not the one announced; download it again")
    partial.replace(target)
    return True


def _fetch_rest(
    connection: Connection, path: str, partial: Path, size_bytes: int, add: Callable[[int], None]
) -> None:
    partial.touch()
    waits, have = pauses(), partial.stat().st_size
    while have < size_bytes:
        problem = _fetch(connection, path, partial, have, add)
        reached = partial.stat().st_size
        if reached >= size_bytes:
            return
        waits = pauses() if reached > have else waits
        have = reached
        pause_s = next(waits, None)
        if pause_s is None:
            raise Unreachable(f"{partial.name}: given up at byte {have}: {problem}")
        time.sleep(pause_s)


def _fetch(connection: Connection, path: str, partial: Path, have: int, add: Callable[[int], None]) -> str:
    """One try; what went wrong, if anything did. The bytes that came are kept."""
    headers = {"Range": f"bytes={have}-", "Accept-Encoding": "identity"} if have else {}
    try:
        with connection.http.stream("GET", path, headers=headers) as response:
            if response.status_code in BUSY:
                return f"answer {response.status_code}"
            if response.status_code >= 300:
                response.read()
                raise refusal_of(response)
            is_rest = response.status_code == 206
            if have and not is_rest:
                add(-have)
            with partial.open("ab" if is_rest else "wb") as stream:
                for part in response.iter_bytes(READ_BYTES):
                    stream.write(part)
                    add(len(part))
    except httpx.TransportError as error:
        return str(error) or type(error).__name__
    return "the answer was too short"


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
