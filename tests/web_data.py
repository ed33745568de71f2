"""A client that speaks tus to a real web process, right or wrong, and files that are simply there."""

from __future__ import annotations

import base64
import hashlib
import socket
import struct
import warnings
from typing import Any
from urllib.parse import urlsplit

import httpx

from cryocloud.web.core.ids import new_id
from cryocloud.web.core.places import partial_file
from cryocloud.web.core.tasks import run_next
from cryocloud.web.data.models import Dataset, DatasetFile
from cryocloud.web.data.services import begin_upload, finish_upload

OFFSET_TYPE = "application/offset+octet-stream"


def run_tasks() -> None:
    """What the worker would do, now."""
    while run_next(new_id()):
        pass


def bytes_of(answer: Any) -> bytes:
    with warnings.catch_warnings(
        action="ignore"
    ):  # Django's test client reads asynchronous content in one go
        return b"".join(answer)


def add_file(member: Any, dataset: Dataset, path: str, content: bytes) -> DatasetFile:
    """A file that has arrived whole, without the network."""
    upload = begin_upload(actor=member.actor, dataset=dataset, path=path, size_bytes=len(content))
    partial_file(upload.pk).parent.mkdir(parents=True, exist_ok=True)
    partial_file(upload.pk).write_bytes(content)
    file = finish_upload(upload.pk)
    assert file is not None
    return file


class Tus:
    """A client that does as told, right or wrong."""

    def __init__(self, address: str, secret: str = "", **headers: str) -> None:
        credential = {"Authorization": f"Bearer {secret}"} if secret else {}
        self.address = address
        self.headers = {"Tus-Resumable": "1.0.0", **credential, **headers}
        self.http = httpx.Client(base_url=address, timeout=150, headers=self.headers)

    def create(self, dataset_id: str, path: str, size: int, **headers: str) -> httpx.Response:
        metadata = ",".join(
            f"{key} {_base64(text)}" for key, text in (("dataset", dataset_id), ("path", path))
        )
        given = {"Upload-Length": str(size), "Upload-Metadata": metadata.strip()} | headers
        return self.http.post("/uploads/", headers=given)

    def created(self, dataset: Dataset, path: str, size: int) -> str:
        answer = self.create(dataset.pk, path, size)
        assert answer.status_code == 201, answer.text
        return answer.headers["location"]

    def patch(self, url: str, offset: int, content: bytes, **headers: str) -> httpx.Response:
        given = {"Upload-Offset": str(offset), "Content-Type": OFFSET_TYPE} | headers
        return self.http.patch(url, content=content, headers=given)

    def offset(self, url: str) -> int:
        answer = self.http.head(url)
        assert answer.status_code == 200, answer.status_code
        return int(answer.headers["upload-offset"])

    def begin_patch(self, url: str, offset: int, announced: int) -> socket.socket:
        """A PATCH by hand, whose body the caller sends and breaks off as it likes."""
        where = urlsplit(self.address)
        line = socket.create_connection((where.hostname or "", where.port or 0), timeout=150)
        headers = self.headers | {
            "Host": where.netloc,
            "Content-Type": OFFSET_TYPE,
            "Upload-Offset": str(offset),
            "Content-Length": str(announced),
        }
        lines = [f"PATCH {url} HTTP/1.1", *(f"{name}: {text}" for name, text in headers.items()), "", ""]
        line.sendall("\r\n".join(lines).encode())
        return line


def reset(line: socket.socket) -> None:
    """Break a connection off as a pulled cable does, without a good-bye."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.close()


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogateescape")).decode()


def sum_header(algorithm: str, content: bytes) -> dict[str, str]:
    digest = hashlib.new(algorithm, content).digest()
    return {"Upload-Checksum": f"{algorithm} {base64.b64encode(digest).decode()}"}
