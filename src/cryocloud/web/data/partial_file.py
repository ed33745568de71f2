"""Bytes of an upload that have arrived so far, in a file that one writer at a time makes longer."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from pathlib import Path

from cryocloud.web.core import places
from cryocloud.web.core.disk_room import REFUSAL, require_room
from cryocloud.web.core.errors import DiskFull, PlatformError


class Busy(PlatformError):
    """Somebody else is sending this file at this moment."""

    status = 423


def received_bytes(upload_id: str, size_bytes: int) -> int:
    """The offset of an upload: the length of its partial file, or everything if that has become a blob."""
    try:
        return min(size_bytes, places.partial_file(upload_id).stat().st_size)
    except FileNotFoundError:
        return size_bytes if places.blob_file(upload_id).exists() else 0


def hash_of_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class PartialFile:
    """Open for writing. The lock is the system's: it ends with the process, however that ends."""

    def __init__(self, upload_id: str) -> None:
        require_room()
        self.path = places.partial_file(upload_id)
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self.descriptor = os.open(self.path, flags, 0o600)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.length = os.fstat(self.descriptor).st_size
            if self.length == 0 and places.blob_file(upload_id).exists():
                self.path.unlink(missing_ok=True)
                raise Busy("This file has arrived already.")
        except BlockingIOError:
            self.close()
            raise Busy("This file is being sent by another connection right now; try again later.") from None
        except Busy:
            self.close()
            raise

    def append(self, content: bytes | bytearray | memoryview) -> int:
        """Write as much as the disk takes above its reserve; ``DiskFull`` leaves what went in."""
        require_room()
        rest = memoryview(content)
        while rest:
            try:
                written = os.pwrite(self.descriptor, rest, self.length)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise DiskFull(REFUSAL) from None
                raise
            self.length += written
            rest = rest[written:]
        return self.length

    def truncate(self, length: int) -> None:
        os.ftruncate(self.descriptor, length)
        self.length = length

    def sync(self) -> None:
        os.fsync(self.descriptor)

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def settle(partial: Path, blob: Path) -> None:
    """Make a complete partial file the blob; repeating it does no harm."""
    while not blob.exists():
        blob.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            partial.chmod(0o400)
            partial.replace(blob)
        except FileNotFoundError:
            # Another call was quicker, or a deletion took the folder, which was empty, away again.
            if not blob.exists() and not partial.exists():
                raise
    for folder in (blob.parent, partial.parent):
        sync_folder(folder)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def link_under_name(blob: Path, named: Path) -> None:
    """A hard link under the file's own name, for jobs; whatever an aborted upload left there is replaced."""
    named.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        os.link(blob, named)
    except FileExistsError:
        if named.samefile(blob):
            return
        named.unlink()
        os.link(blob, named)
