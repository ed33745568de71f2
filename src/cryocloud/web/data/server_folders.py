"""Folders of the server that the operator has opened for import: what lies in them, and nothing around them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryocloud.web.configuration import configuration
from cryocloud.web.core.errors import Refused
from cryocloud.web.data.file_names import checked_path

FILES_MAX = 50_000


@dataclass(frozen=True)
class ServerFile:
    """A regular file under an open folder: where it lies, and its name below the chosen folder."""

    source: Path
    path: str
    size_bytes: int


def granted_folders(organization_id: str) -> list[Path]:
    """Those that the operator has opened for this organization."""
    return [one.path for one in configuration().server_folders if one.is_open_for(organization_id)]


def open_folder(text: str, organization_id: str) -> Path:
    """The folder, with all links resolved, if it lies inside one of those that the organization may import."""
    granted = granted_folders(organization_id)
    if not granted:
        raise Refused(
            "No folder of the server is open for your organization. The operator names folders and the organizations "
            f"that may import them in CRYOCLOUD_SERVER_FOLDERS; yours has the id {organization_id}.",
            {"folder": "import from the server is not set up"},
        )
    folder = _resolved(text)
    if (
        folder is None
        or not any(folder.is_relative_to(one.resolve()) for one in granted)
        or not folder.is_dir()
    ):
        named = ", ".join(str(one) for one in granted)
        raise Refused(
            f"“{text[:200]}” is no folder that may be imported. Name one that lies in {named}.",
            {"folder": "is no folder that may be imported"},
        )
    return folder


def files_in(folder: Path) -> list[ServerFile]:
    """All regular files below, in order of their names; links are passed over, so nothing outside is reached."""
    found: list[ServerFile] = []
    for file in _walk(folder):
        found.append(file)
        if len(found) > FILES_MAX:
            raise Refused(
                f"{folder} holds more than {FILES_MAX:,} files. Import its folders one by one.",
                {"folder": f"holds more than {FILES_MAX:,} files"},
            )
    if not found:
        raise Refused(f"{folder} holds no files.", {"folder": "holds no files"})
    return sorted(found, key=lambda file: file.path)


def open_source(text: str, organization_id: str) -> int:
    """A descriptor of a file that was listed, unless the grant has ended or a way to it has become a way out since."""
    source = Path(text)
    if source.parent != open_folder(str(source.parent), organization_id):
        raise Refused(f"“{source.name}” is reached through a link now; it is not imported.")
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise Refused(f"“{source.name}” cannot be opened any more ({error.strerror}).") from None
    is_there = Path(f"/proc/self/fd/{descriptor}").readlink() == source  # no folder became a link meanwhile
    if not is_there or not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Refused(f"“{source.name}” is no regular file in the folder that was named.")
    return descriptor


def _resolved(text: str) -> Path | None:
    if not text.startswith("/") or "\0" in text:
        return None
    try:
        return Path(text).resolve(strict=True)
    except OSError:
        return None


def _walk(folder: Path) -> Iterator[ServerFile]:
    for parent, folders, names in os.walk(folder, followlinks=False):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            source = Path(parent) / name
            facts = source.lstat()
            if stat.S_ISREG(facts.st_mode) and not name.startswith("."):
                relative = str(source.relative_to(folder)).encode("utf-8", "replace").decode()
                yield ServerFile(source, checked_path(relative), facts.st_size)
