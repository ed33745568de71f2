"""Folders to a dataset, over tus: several files at once, each going on where a broken connection left it."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from cryocloud.client.platform.connection import BUSY, Connection, Refusal, Unreachable, pauses, refusal_of
from cryocloud.client.platform.shapes import DatasetFile, Upload

CHUNK_BYTES = 32 << 20
READ_BYTES = 1 << 20
FILES_AT_ONCE = 3
TUS = {"Tus-Resumable": "1.0.0"}
OFFSET_DIFFERS = 409


@dataclass
class UploadProgress:
    """What has been done of a folder; ``failures`` are paths with the reason."""

    files: int
    total_bytes: int
    files_done: int = 0
    files_known: int = 0
    done_bytes: int = 0
    failures: dict[str, str] = field(default_factory=dict)


Watcher = Callable[[UploadProgress], None]


def upload_folder(
    connection: Connection, folder: Path, dataset_id: str, watcher: Watcher = lambda _: None
) -> UploadProgress:
    """All files below ``folder``, under their relative paths; files that are there already are left as they are."""
    paths = files_below(folder)
    if not paths:
        raise FileNotFoundError(f"{folder}: no files to upload")
    known = {file.path: file for file in _dataset_files(connection, dataset_id)}
    progress = UploadProgress(len(paths), sum(path.stat().st_size for path in paths))
    lock = threading.Lock()

    def add(
        sent_bytes: int = 0, done: int = 0, known: int = 0, failure: tuple[str, str] | None = None
    ) -> None:
        with lock:
            progress.done_bytes += sent_bytes
            progress.files_done += done
            progress.files_known += known
            if failure:
                progress.failures[failure[0]] = failure[1]
            watcher(progress)

    def upload(path: Path) -> None:
        name = path.relative_to(folder).as_posix() if folder.is_dir() else path.name
        try:
            was_there = _upload_one(connection, path, name, dataset_id, known.get(name), add)
        except (Refusal, Unreachable, OSError) as error:
            add(failure=(name, str(error)))
        else:
            add(done=1, known=int(was_there))

    with ThreadPoolExecutor(FILES_AT_ONCE) as threads:
        list(threads.map(upload, paths))
    return progress


def files_below(folder: Path) -> list[Path]:
    """Files to send, in order; what is hidden stays here. A single file stands for itself."""
    if folder.is_file():
        return [folder]
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return [
        path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def _dataset_files(connection: Connection, dataset_id: str) -> Iterator[DatasetFile]:
    for item in connection.items(f"/datasets/{dataset_id}/files"):
        yield DatasetFile.model_validate(item)


def _upload_one(
    connection: Connection,
    path: Path,
    name: str,
    dataset_id: str,
    known: DatasetFile | None,
    add: Callable[[int], None],
) -> bool:
    """True if the file was there already."""
    size_bytes, digest = path.stat().st_size, _sha256(path)
    if known is not None and (known.size_bytes, known.sha256) == (size_bytes, digest):
        add(size_bytes)
        return True
    order = {"path": name, "size_bytes": size_bytes, "sha256": digest}
    upload = Upload.model_validate(connection.send("POST", f"/datasets/{dataset_id}/uploads", order))
    add(upload.offset)
    _send_rest(connection, path, upload, add)
    return False


def _send_rest(connection: Connection, path: Path, upload: Upload, add: Callable[[int], None]) -> None:
    offset, waits = upload.offset, pauses()
    if offset == upload.size_bytes:  # nothing to send, but the server has yet to make it a file
        connection.head(upload.url, TUS)
    while offset < upload.size_bytes:
        try:
            reached = _send_chunk(connection, path, upload, offset)
        except (httpx.TransportError, _Again) as error:
            pause_s = next(waits, None)
            if pause_s is None:
                raise Unreachable(f"{upload.path}: given up at byte {offset}: {error}") from error
            time.sleep(pause_s)
            reached = int(connection.head(upload.url, TUS).headers["Upload-Offset"])
        else:
            waits = pauses()
        add(reached - offset)
        offset = reached


class _Again(Exception):
    """The server cannot take the bytes now, or counts otherwise than we do."""


def _send_chunk(connection: Connection, path: Path, upload: Upload, offset: int) -> int:
    length = min(CHUNK_BYTES, upload.size_bytes - offset)
    headers = TUS | {
        "Content-Type": "application/offset+octet-stream",
        "Upload-Offset": str(offset),
        "Content-Length": str(length),
    }
    response = connection.http.patch(upload.url, content=_bytes_of(path, offset, length), headers=headers)
    if response.status_code in BUSY or response.status_code == OFFSET_DIFFERS:
        raise _Again(str(refusal_of(response)))
    if response.status_code != 204:
        raise refusal_of(response)
    return int(response.headers["Upload-Offset"])


def _bytes_of(path: Path, offset: int, length: int) -> Iterator[bytes]:
    with path.open("rb") as stream:
        stream.seek(offset)
        while length > 0:
            part = stream.read(min(READ_BYTES, length))
            if not part:
                raise OSError(f"{path} has become shorter while it was sent; upload it again")
            length -= len(part)
            yield part


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
