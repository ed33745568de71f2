"""Server-sent events: ``/events/projects/ID``, ``/events/jobs/ID``, ``/events/datasets/ID``, before Django.

One hub a process asks the database for new events, once for all its readers and only while it has any. Each stream
has a bounded queue; who reads too slowly is let go and comes back with the id of the last event it saw.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qs

from django.db import DatabaseError, connection

from cryocloud.web.accounts.credentials import Credential
from cryocloud.web.accounts.guessing import count_wrong_secret
from cryocloud.web.core.client_address import current_block
from cryocloud.web.core.errors import NotFound, PlatformError, TooManyRequests
from cryocloud.web.core.events import (
    dataset_topic,
    events_in_order,
    job_topic,
    latest_event_id,
    project_topic,
)
from cryocloud.web.core.models import Event, TenantRecord
from cryocloud.web.data.models import Dataset
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Role
from cryocloud.web.organizations.watch import watch
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Job

POLL_S = 0.75
HEARTBEAT_S = 15.0
SEND_S = 30.0
RECONNECT_MS = 2000
QUEUE_LENGTH = 200
BACKLOG = 500
EVENTS_A_POLL = 2000
STREAMS_PER_USER = 40
STREAMS = 5000

HEARTBEAT = b": still here\n\n"
RESET = b"event: reset\ndata: {}\n\n"

_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
_log = logging.getLogger("cryocloud.events")
Answer = TypeVar("Answer")


class NotLoggedIn(PlatformError):
    """No credential, or one that has ended."""

    status = 401


class Full(PlatformError):
    """No more streams fit into the process."""

    status = 503


@dataclass(frozen=True)
class Subject:
    """What a stream is about."""

    model: type[TenantRecord]
    topic: Callable[[str], str]


SUBJECTS = {
    "projects": Subject(Project, project_topic),
    "jobs": Subject(Job, job_topic),
    "datasets": Subject(Dataset, dataset_topic),
}


@dataclass(eq=False)
class Stream:
    """One open connection."""

    right: access.Right
    subject: Subject
    object_id: str
    user_id: str
    waiting: asyncio.Queue[tuple[int, bytes]] = field(default_factory=lambda: asyncio.Queue(QUEUE_LENGTH))
    is_ended: bool = False

    @property
    def topic(self) -> str:
        return self.subject.topic(self.object_id)

    def put(self, event_id: int, text: bytes) -> None:
        try:
            self.waiting.put_nowait((event_id, text))
        except asyncio.QueueFull:
            self.end()

    def end(self) -> None:
        """Whatever waits is given up; the reader comes back and asks for it again."""
        while not self.waiting.empty():
            self.waiting.get_nowait()
        self.is_ended = True
        self.waiting.put_nowait((0, b""))


class EventHub:
    """Hands each new event to the streams of its topic."""

    def __init__(self) -> None:
        self.streams: dict[str, set[Stream]] = defaultdict(set)
        self.per_user: Counter[str] = Counter()
        self.last_id = 0
        self.starting = asyncio.Lock()
        self.beating: asyncio.Task[None] | None = None
        self.database = ThreadPoolExecutor(max_workers=2, thread_name_prefix="events")

    async def ask(self, question: Callable[[], Answer]) -> Answer:
        """Run a query outside the event loop, in a thread that keeps its connection."""

        def answer() -> Answer:
            try:
                return question()
            except DatabaseError:
                connection.close()
                raise

        return await asyncio.get_running_loop().run_in_executor(self.database, answer)

    async def join(self, stream: Stream) -> None:
        async with self.starting:
            if self.beating is None or self.beating.done():
                self.last_id = await self.ask(latest_event_id)
                self.beating = asyncio.create_task(self._beat())
        if self.per_user[stream.user_id] >= STREAMS_PER_USER:
            raise TooManyRequests(
                f"{STREAMS_PER_USER} event streams of yours are open already; close some pages."
            )
        if self.per_user.total() >= STREAMS:
            raise Full("Too many event streams are open; ask for the state instead, and try again later.")
        self.per_user[stream.user_id] += 1
        self.streams[stream.topic].add(stream)

    def leave(self, stream: Stream) -> None:
        self.streams[stream.topic].discard(stream)
        if not self.streams[stream.topic]:
            del self.streams[stream.topic]
        self.per_user[stream.user_id] -= 1
        if not self.per_user[stream.user_id]:
            del self.per_user[stream.user_id]

    async def _beat(self) -> None:
        heartbeat_s = time.monotonic()
        while self.streams:
            await asyncio.sleep(POLL_S)
            moment_s = time.monotonic()
            try:
                await self._hand_out()
            except DatabaseError:
                _log.exception("events could not be read")
            if moment_s - heartbeat_s > HEARTBEAT_S:
                heartbeat_s = moment_s
                for stream in self._all():
                    stream.put(0, HEARTBEAT)

    async def _hand_out(self) -> None:
        for event in await self.ask(lambda: _events_after(self.last_id)):
            self.last_id = event.id
            readers = self.streams.get(event.topic)
            if readers:
                text = event_text(event)
                for stream in readers:
                    stream.put(event.id, text)

    def _all(self) -> list[Stream]:
        return [stream for readers in self.streams.values() for stream in readers]


hub = EventHub()


def event_text(event: Event) -> bytes:
    """An event on the wire."""
    return f"id: {event.id}\nevent: {event.kind}\ndata: {json.dumps(event.content)}\n\n".encode()


async def application(scope: Any, receive: Any, send: Any) -> None:
    """The ASGI application."""
    try:
        stream = await _open(scope)
        await hub.join(stream)
    except PlatformError as error:
        await _refuse(send, error.status, str(error))
        return
    held = watch.begin(stream.right, stream.end)
    try:
        await _serve(stream, _last_seen(scope), receive, send)
    finally:
        watch.drop(held)
        hub.leave(stream)


async def _open(scope: Any) -> Stream:
    if scope["method"] != "GET":
        raise _MethodNotAllowed("Event streams are read with GET.")
    credential = credential_of(scope)
    actor = await hub.ask(credential.actor)
    if actor is None:
        if credential.token_hash:
            place = current_block.get()
            await hub.ask(lambda: count_wrong_secret("token", place))
        raise NotLoggedIn("Log in, or send a token: “Authorization: Bearer cryo_…”.")
    parts = scope["path"].strip("/").split("/")
    if len(parts) != 3 or parts[1] not in SUBJECTS:
        raise NotFound
    subject = SUBJECTS[parts[1]]
    found = await hub.ask(lambda: access.get(actor, subject.model, parts[2]))
    right = access.Right(credential, found.organization_id, Role.VIEWER)
    return Stream(right, subject, parts[2], actor.user.id)


def credential_of(scope: Any) -> Credential:
    headers = dict(scope["headers"])
    given = (headers.get(name, b"").decode("latin-1") for name in (b"authorization", b"cookie"))
    return Credential.of_headers(*given)


class _MethodNotAllowed(PlatformError):
    status = 405


async def _serve(stream: Stream, seen: int | None, receive: Any, send: Any) -> None:
    headers = [*_HEADERS, (b"content-type", b"text/event-stream"), (b"x-accel-buffering", b"no")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    last, opening = await hub.ask(lambda: _opening(stream.topic, seen, hub.last_id))
    gone = asyncio.create_task(_end_when_gone(stream, receive))
    try:
        await _send_soon(send, opening)
        while not stream.is_ended:
            event_id, text = await stream.waiting.get()
            if text and not 0 < event_id <= last:
                await _send_soon(send, text)
        await _send_soon(send, b"", more=False)
    except TimeoutError:
        _log.info("a reader of events stands still", extra={"topic": stream.topic})
    finally:
        gone.cancel()


async def _send_soon(send: Any, body: bytes, *, more: bool = True) -> None:
    async with asyncio.timeout(SEND_S):
        await _send(send, body, more=more)


async def _send(send: Any, body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def _end_when_gone(stream: Stream, receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    stream.end()


async def _refuse(send: Any, status: int, message: str) -> None:
    headers = [*_HEADERS, (b"content-type", b"application/json; charset=utf-8")]
    if status == 405:
        headers.append((b"allow", b"GET"))
    body = json.dumps({"error": message, "fields": {}}).encode()
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await _send(send, body, more=False)


def _opening(topic: str, seen: int | None, newest: int) -> tuple[int, bytes]:
    """What a reader gets at once, and the id up to which that goes; ``newest`` is the last that was handed out.

    A reader that missed more than is kept is told to ``reset``: to ask for the state instead. One that names an event
    which does not exist (its database was replaced) begins anew; a page may know events that nobody was handed yet.
    """
    hello = f"retry: {RECONNECT_MS}\n"
    if seen is None or seen > latest_event_id():
        return 0, f"{hello}id: {newest}\n\n".encode()
    missed = list(events_in_order().filter(topic=topic, id__gt=seen).order_by("id")[: BACKLOG + 1])
    kept_from = Event.objects.order_by("id").values_list("id", flat=True).first() or 0
    if len(missed) > BACKLOG or seen < kept_from - 1:
        return newest, f"{hello}id: {newest}\n".encode() + RESET
    last = missed[-1].id if missed else seen
    return last, f"{hello}id: {last}\n\n".encode() + b"".join(event_text(event) for event in missed)


def _events_after(last_id: int) -> list[Event]:
    """New events of all topics."""
    return list(events_in_order().filter(id__gt=last_id).order_by("id")[:EVENTS_A_POLL])


def _last_seen(scope: Any) -> int | None:
    """The id that a browser sends when it reconnects, else the one that the page was made with."""
    header = dict(scope["headers"]).get(b"last-event-id", b"").decode("latin-1")
    text = header or parse_qs(scope["query_string"].decode("latin-1")).get("after", [""])[0]
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
