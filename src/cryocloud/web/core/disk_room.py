"""Room on the disk of the home. Below a reserve nothing new is taken, so that log-in, deletion and jobs' ends work.

SQLite needs room even to delete. Should the reserve be used up all the same (a job, or another program on the disk), a
ballast of bytes and inodes that is kept in the home is let go, and kept again as soon as there is room.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from django.db import OperationalError

from cryocloud.web.configuration import configuration
from cryocloud.web.core.errors import DiskFull

SHARE = 0.05
BYTES_MIN = 32 << 20
INODES_SHARE = 0.01
INODES_MIN = 1000
INODES_SHARE_MAX = 0.1
BALLAST_BYTES = 64 << 20
BALLAST_INODES = 64
# Let go while this part of the ballast is still free besides it: the last pages belong to the database.
_NEARLY_NOTHING = 0.25

REFUSAL = (
    "The disk of the server has no room for anything new at the moment. What has arrived is kept: try again, or "
    "resume, in a few minutes. Deleting datasets and emptying the trash help and still work."
)

_log = logging.getLogger("cryocloud.disk")


@dataclass(frozen=True)
class Room:
    """What is free on a disk, and how much of that is reserved. No limit on inodes is told as 0 inodes in all."""

    all_bytes: int
    free_bytes: int
    all_inodes: int
    free_inodes: int

    @property
    def reserved_bytes(self) -> int:
        return min(configuration().disk_reserve_bytes, max(BYTES_MIN, int(SHARE * self.all_bytes)))

    @property
    def reserved_inodes(self) -> int:
        wanted = max(INODES_MIN, int(INODES_SHARE * self.all_inodes))
        return min(wanted, int(INODES_SHARE_MAX * self.all_inodes))

    @property
    def ballast_bytes(self) -> int:
        return min(BALLAST_BYTES, self.reserved_bytes // 4)

    @property
    def ballast_inodes(self) -> int:
        return min(BALLAST_INODES, self.reserved_inodes // 4)

    @property
    def shortage(self) -> str:
        """What there is too little of, in words for the operator; empty if there is enough."""
        if self.free_bytes < self.reserved_bytes:
            return (
                f"{self.free_bytes / 2**20:.0f} MiB are free, fewer than the reserve of "
                f"{self.reserved_bytes / 2**20:.0f} MiB; nothing new is taken until there is room"
            )
        if self.all_inodes and self.free_inodes < self.reserved_inodes:
            return (
                f"{self.free_inodes:,} inodes are free, fewer than the reserve of {self.reserved_inodes:,}; "
                "nothing new is taken until there is room"
            )
        return ""


def room() -> Room:
    """Of the file system that holds the home. Raises ``OSError`` if there is none."""
    found = os.statvfs(configuration().home)
    return Room(
        found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize, found.f_files, found.f_favail
    )


def is_low() -> bool:
    return bool(room().shortage)


def require_room() -> None:
    """Raise while the reserve is touched. Tenants are told no figures of the server."""
    if is_low():
        raise DiskFull(REFUSAL)


def lacks_room(error: BaseException) -> bool:
    """Whether something failed because the disk is full, and will succeed once there is room."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, DiskFull) or (isinstance(error, OperationalError) and is_low())


def keep_ballast() -> None:
    """Let the ballast go if the disk is really full, make it if there is room; for one process, every second or so.

    It asks nothing of the database, which may be waiting for just this.
    """
    found = room()
    folder = configuration().home / "ballast"
    bytes_left = found.free_bytes < _NEARLY_NOTHING * found.ballast_bytes
    inodes_left = found.all_inodes and found.free_inodes < _NEARLY_NOTHING * found.ballast_inodes
    if folder.exists() and (bytes_left or inodes_left):
        shutil.rmtree(folder, ignore_errors=True)
        _log.warning("the ballast was let go: %s", found.shortage)
    elif not folder.exists() and not _without_ballast(found).shortage:
        _make_ballast(folder, found)
        _log.info("the ballast is there: %s bytes, %s inodes", found.ballast_bytes, found.ballast_inodes)


def _without_ballast(found: Room) -> Room:
    return replace(
        found,
        free_bytes=found.free_bytes - found.ballast_bytes,
        free_inodes=found.free_inodes - found.ballast_inodes,
    )


def _make_ballast(folder: Path, found: Room) -> None:
    making = folder.with_name("ballast.making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(mode=0o700)
    with (making / "bytes").open("wb") as stream:
        if found.ballast_bytes:
            os.posix_fallocate(stream.fileno(), 0, found.ballast_bytes)
    for number in range(found.ballast_inodes):
        (making / f"inode{number}").touch(mode=0o600)
    making.rename(folder)
