"""Resumable uploads: tus 1.0 (creation, termination, checksum, expiration) under ``/uploads/``, before Django.

A Django view sees a body only when it is complete, and so loses all of it when a connection drops. Here the bytes go
into the partial file as they come, and its length is the offset that the next connection goes on from.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.conf import settings
from django.db import close_old_connections
from django.utils.http import http_date

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.credentials import Credential
from cryocloud.web.accounts.guessing import count_wrong_secret
from cryocloud.web.configuration import configuration
from cryocloud.web.core.client_address import current_block
from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import Forbidden, NotFound, PlatformError, Refused
from cryocloud.web.data.arrivals import Gone, Receiver, Silent
from cryocloud.web.data.models import Dataset, Upload
from cryocloud.web.data.partial_file import received_bytes
from cryocloud.web.data.services import abort_upload, begin_upload, finish_upload
from cryocloud.web.data.tasks import finish_arrival
from cryocloud.web.data.uploads import prolong
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Role
from cryocloud.web.organizations.watch import watch

PREFIX = "/uploads/"
VERSION = "1.0.0"
EXTENSIONS = "creation,termination,checksum,expiration"
CHECKSUMS = ("sha256", "sha1")
FINISHED_AT_ONCE_BYTES = 64 << 20
_METADATA_BYTES = 16 << 10
_COMMON = (
    (b"tus-resumable", VERSION.encode()),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
_log = logging.getLogger("cryocloud.uploads")
_receiver = Receiver()
Answered = TypeVar("Answered")


class TusError(PlatformError):
    """A request that the protocol does not allow."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Request:
    """What is needed of an ASGI request."""

    method: str
    upload_id: str
    headers: dict[str, str]
    receive: Any

    @classmethod
    def of(cls, scope: Any, receive: Any) -> Request:
        headers = {name.decode("latin-1"): content.decode("latin-1") for name, content in scope["headers"]}
        method = headers.get("x-http-method-override", scope["method"]).upper()
        return cls(method, scope["path"].removeprefix(PREFIX).strip("/"), headers, receive)

    def number(self, name: str) -> int:
        text = self.headers.get(name, "")
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise TusError(400, f"{name}: “{text[:40]}” is no number of bytes.")
        return int(text)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """The ASGI application."""
    request = Request.of(scope, receive)
    try:
        async with ThreadSensitiveContext():
            answer = await _answer(request)
    except PlatformError as error:
        fields = error.fields if isinstance(error, Refused) else {}
        answer = Answer(error.status, body=json.dumps({"error": str(error), "fields": fields}).encode())
    except Gone:
        return
    except Exception:
        _log.exception("upload failed", extra={"upload_id": request.upload_id})
        answer = Answer(500, body=b'{"error": "Something went wrong here. Resume the upload.", "fields": {}}')
    await _send(send, answer)


async def _send(send: Any, answer: Answer) -> None:
    headers = [*_COMMON, (b"content-length", str(len(answer.body)).encode())]
    if answer.body:
        headers.append((b"content-type", b"application/json"))
    headers += [(name.lower().encode(), content.encode()) for name, content in answer.headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _answer(request: Request) -> Answer:
    if request.method == "OPTIONS":
        return Answer(204, _abilities())
    if request.headers.get("tus-resumable") != VERSION:
        return Answer(412, {"Tus-Version": VERSION}, b'{"error": "Send Tus-Resumable: 1.0.0.", "fields": {}}')
    acts: dict[str, Callable[[Request, Actor], Awaitable[Answer]]]
    acts = {"HEAD": _head, "PATCH": _patch, "DELETE": _delete} if request.upload_id else {"POST": _create}
    act = acts.get(request.method)
    if act is None:
        raise TusError(405, f"{request.method} is not possible here; {', '.join(acts)} are.")
    return await act(request, await _database(lambda: _actor_of(request)))


def _abilities() -> dict[str, str]:
    return {
        "Tus-Version": VERSION,
        "Tus-Extension": EXTENSIONS,
        "Tus-Max-Size": str(configuration().upload_bytes_max),
        "Tus-Checksum-Algorithm": ",".join(CHECKSUMS),
    }


async def _database(act: Callable[[], Answered]) -> Answered:
    """Run something that uses the database in the thread of this request."""

    def run() -> Answered:
        close_old_connections()
        try:
            return act()
        finally:
            close_old_connections()

    return await sync_to_async(run)()


def _actor_of(request: Request) -> Actor:
    headers = request.headers
    credential = _credential(request)
    actor = credential.actor()
    if actor is None:
        if credential.token_hash:
            count_wrong_secret("token", current_block.get())
        raise TusError(401, "Log in, or send a token: “Authorization: Bearer cryo_…”.")
    # Browsers name no origin when they only look, which a page of others could not read anyway.
    if credential.session_key and request.method != "HEAD":
        _require_own_page(headers)
    return actor


def _credential(request: Request) -> Credential:
    return Credential.of_headers(request.headers.get("authorization", ""), request.headers.get("cookie", ""))


def _require_own_page(headers: dict[str, str]) -> None:
    """A cookie counts only with the origin of our own pages: browsers send it along from others' pages too."""
    origin = headers.get("origin", "")
    host = urlsplit(f"//{headers.get('host', '')}")
    is_here = host.hostname in settings.ALLOWED_HOSTS and urlsplit(origin).netloc == host.netloc
    if not (origin == configuration().address or (origin and is_here)):
        raise Forbidden(f"Uploads are taken from the pages of {configuration().address} only.")


async def _create(request: Request, actor: Actor) -> Answer:
    if "upload-defer-length" in request.headers:
        raise TusError(400, "Upload-Defer-Length: announce the size of the file with Upload-Length.")
    size_bytes = request.number("upload-length")
    metadata = _metadata(request.headers.get("upload-metadata", ""))

    def begin() -> Upload:
        dataset = access.get(actor, Dataset, metadata.get("dataset", ""), needs=Role.EDITOR)
        return begin_upload(
            actor=actor,
            dataset=dataset,
            path=metadata.get("path", metadata.get("filename", "")),
            size_bytes=size_bytes,
            sha256=metadata.get("sha256", ""),
        )

    upload = await _database(begin)
    if size_bytes == 0:
        await _finish(upload)
    return Answer(201, {"Location": f"{PREFIX}{upload.pk}", "Upload-Offset": "0", **_expiry(upload)})


def _metadata(header: str) -> dict[str, str]:
    if len(header) > _METADATA_BYTES:
        raise TusError(400, "Upload-Metadata is too long.")
    try:
        pairs = [part.split() for part in header.split(",") if part.strip()]
        return {
            pair[0]: base64.b64decode(pair[1] if pair[1:] else "", validate=True).decode() for pair in pairs
        }
    except (binascii.Error, UnicodeDecodeError):
        raise TusError(400, "Upload-Metadata: values are UTF-8 text in base64.") from None


async def _head(request: Request, actor: Actor) -> Answer:
    upload = await _database(lambda: _upload(actor, request.upload_id))
    offset = _offset(upload)
    if offset == upload.size_bytes and upload.state == Upload.State.OPEN:
        await _finish(upload)
    path = base64.b64encode(upload.path.encode()).decode()
    dataset = base64.b64encode(upload.dataset_id.encode()).decode()
    headers = {
        "Upload-Offset": str(offset),
        "Upload-Length": str(upload.size_bytes),
        "Upload-Metadata": f"dataset {dataset},path {path}",
    }
    return Answer(200, headers | _expiry(upload))


async def _delete(request: Request, actor: Actor) -> Answer:
    upload = await _database(lambda: _upload(actor, request.upload_id))
    await _database(lambda: abort_upload(actor=actor, upload=upload))
    _receiver.forget(upload.pk)
    return Answer(204)


async def _patch(request: Request, actor: Actor) -> Answer:
    if request.headers.get("content-type") != "application/offset+octet-stream":
        raise TusError(415, "Content-Type must be application/offset+octet-stream.")
    given = request.number("upload-offset")
    checksum = _checksum(request.headers.get("upload-checksum", ""))
    upload = await _database(lambda: _upload(actor, request.upload_id))
    if upload.state == Upload.State.DONE:
        raise TusError(409, f"{upload.path} has arrived completely.")
    offset = await _append(request, upload, given, checksum)
    if offset == upload.size_bytes:
        await _finish(upload)
    else:
        await _database(lambda: prolong(upload))
    return Answer(204, {"Upload-Offset": str(offset), **_expiry(upload)})


async def _append(request: Request, upload: Upload, given: int, checksum: tuple[Any, bytes] | None) -> int:
    arrival = await _receiver.claim(upload.pk)
    right = access.Right(_credential(request), upload.organization_id, Role.EDITOR)
    held = watch.begin(right, arrival.forbid)
    try:
        begin = arrival.file.length
        if given != begin:
            raise TusError(409, f"Upload-Offset is {given}, but {begin} bytes are here; ask with HEAD.")
        wanted = upload.size_bytes - begin
        if "content-length" in request.headers and request.number("content-length") > wanted:
            raise TusError(413, f"{upload.path} was announced with {upload.size_bytes} bytes; this is more.")
        try:
            surplus = await _receiver.take(
                arrival, request.receive, wanted, checksum[0] if checksum else None
            )
        except Silent:
            if arrival.is_forbidden:
                raise Forbidden("You may no longer upload here. Ask an owner of the organization.") from None
            raise TusError(408, "Nothing came for a while. What has arrived is kept: resume.") from None
        if checksum is not None and checksum[0].digest() != checksum[1]:
            await asyncio.to_thread(arrival.file.truncate, begin)
            _receiver.forget(upload.pk)
            raise TusError(460, "The checksum is not that of the bytes which arrived; send them again.")
        if surplus:
            raise TusError(413, f"{upload.path} was announced with {upload.size_bytes} bytes; this is more.")
        return arrival.file.length
    finally:
        watch.drop(held)
        _receiver.release(arrival)


def _checksum(header: str) -> tuple[Any, bytes] | None:
    if not header:
        return None
    algorithm, _, encoded = header.partition(" ")
    if algorithm not in CHECKSUMS:
        raise TusError(400, f"Upload-Checksum: “{algorithm[:20]}” is not one of {', '.join(CHECKSUMS)}.")
    try:
        return hashlib.new(algorithm), base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise TusError(400, "Upload-Checksum: the sum is written in base64.") from None


def _upload(actor: Actor, upload_id: str) -> Upload:
    upload = access.get(actor, Upload, upload_id, needs=Role.EDITOR, purpose=access.Purpose.READ)
    if upload.source:
        raise NotFound
    if upload.state == Upload.State.ABORTED:
        raise TusError(410, f"{upload.path}: {upload.problem or 'this upload was stopped'}.")
    if upload.state == Upload.State.OPEN and upload.expires_at <= now():
        raise TusError(410, f"{upload.path}: nothing arrived for 7 days; upload it again.")
    return upload


def _offset(upload: Upload) -> int:
    if upload.state == Upload.State.DONE:
        return upload.size_bytes
    return received_bytes(upload.pk, upload.size_bytes)


async def _finish(upload: Upload) -> None:
    """Make it a file at once if its hash is known or soon computed; else the worker does it."""
    digest = _receiver.full_hash(upload.pk, upload.size_bytes)
    if not digest and upload.size_bytes > FINISHED_AT_ONCE_BYTES:
        await _database(lambda: finish_arrival.enqueue(upload.pk, organization_id=upload.organization_id))
        return
    await _database(lambda: finish_upload(upload.pk, sha256=digest))
    _receiver.forget(upload.pk)
    fresh = await _database(lambda: Upload.unscoped.get(pk=upload.pk))
    if fresh.state == Upload.State.ABORTED:
        raise TusError(460, f"{upload.path} {fresh.problem}.")


def _expiry(upload: Upload) -> dict[str, str]:
    return {"Upload-Expires": http_date(upload.expires_at.timestamp())}
