"""The ASGI application in front of all others: it decides what a request may cost before anybody works on it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from cryocloud.web.core.client_address import address_block, current_block
from cryocloud.web.core.disk_room import REFUSAL, is_low
from cryocloud.web.core.errors import Busy, PlatformError
from cryocloud.web.front.bodies import (
    HELD_BYTES_MAX,
    HELD_BYTES_PER_CLIENT,
    HELD_FORM_BYTES_MAX,
    HELD_FORM_BYTES_PER_CLIENT,
    Body,
    HeldBytes,
    body_bytes_max,
    large_form,
)
from cryocloud.web.front.refusals import refusal
from cryocloud.web.front.turns import Turns

Application = Callable[[Any, Any, Any], Awaitable[None]]
_log = logging.getLogger("cryocloud.front")
BUSY = "More is asked for at this moment than can be answered. Try again in a few seconds."


class FrontDoor:
    """Counts requests and bodies by client. What ``before_turns`` matches is answered without waiting for a turn.

    ``admit_form`` raises unless a form of so many bytes may be sent to a dataset.
    """

    def __init__(
        self,
        application: Application,
        *,
        before_turns: tuple[str, ...],
        admit_form: Callable[[Any, str, int], Awaitable[None]],
        requests_per_client: int,
        body_wait_s: float,
    ) -> None:
        self._application = application
        self._before_turns = before_turns
        self._admit_form = admit_form
        self._requests_per_client = requests_per_client
        self._body_wait_s = body_wait_s
        self._running: Counter[str] = Counter()
        self._held = HeldBytes(HELD_BYTES_MAX, HELD_BYTES_PER_CLIENT)
        self._held_forms = HeldBytes(HELD_FORM_BYTES_MAX, HELD_FORM_BYTES_PER_CLIENT)
        self._turns = Turns()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        client = address_block(scope["client"][0] if scope.get("client") else "")
        current_block.set(client)
        if self._running[client] >= self._requests_per_client:
            await _refuse(scope, send, None, 429, "Too many requests run at the same time; close some pages.")
            return
        self._running[client] += 1
        try:
            body = Body(scope, receive, bytes_max=body_bytes_max(scope), wait_s=self._body_wait_s)
            passage = _Passage(client, body, send, self._held, self._turns)
            passage.wants_turn = not scope["path"].startswith(self._before_turns)
            if dataset_id := large_form(scope):
                await self._serve_large_form(scope, passage, client, dataset_id)
            else:
                await self._serve(scope, passage)
        finally:
            self._running[client] -= 1
            if not self._running[client]:
                del self._running[client]

    async def _serve_large_form(self, scope: Any, passage: _Passage, client: str, dataset_id: str) -> None:
        size_bytes = passage.body.announced_bytes
        try:
            await self._admit_form(scope, dataset_id, size_bytes)
            if not self._held_forms.take(client, size_bytes):
                raise Busy(BUSY)
        except PlatformError as error:
            passage.body.refuse(error.status, str(error))
            await self._serve(scope, passage)
            return
        try:
            await self._serve(scope, passage)
        finally:
            self._held_forms.give_back(client, size_bytes)

    async def _serve(self, scope: Any, passage: _Passage) -> None:
        try:
            if passage.body.refusal is None:
                await self._application(scope, passage.receive, passage.send)
        finally:
            passage.end()
        if passage.body.refusal is not None and not passage.is_answered:
            await _refuse(scope, passage.send_on, passage.body, *passage.body.refusal)


class _Passage:
    """One request on its way through the door, and its answer on the way back."""

    def __init__(self, client: str, body: Body, send: Any, held: HeldBytes, turns: Turns) -> None:
        self.body = body
        self.send_on = send
        self.is_answered = False
        self.wants_turn = True
        self._client = client
        self._held = held
        self._held_bytes = 0
        self._turns = turns
        self._has_turn = False
        self._closes = False

    async def receive(self) -> Any:
        before = self.body.received_bytes
        message = await self.body.receive()
        if message["type"] != "http.request":
            return message
        arrived = self.body.received_bytes - before
        if arrived and self.body.is_counted:
            if not self._held.take(self._client, arrived):
                return self.body.refuse(503, BUSY)
            self._held_bytes += arrived
        elif arrived and self.body.is_large_form and is_low():
            return self.body.refuse(507, REFUSAL)
        # The last piece is handed over when it is this request's turn: a slow body keeps nobody else waiting.
        if self.body.is_complete and self.wants_turn:
            self.wants_turn = False
            self._has_turn = await self._turns.take(self._client)
            if not self._has_turn:
                return self.body.refuse(503, BUSY)
        return message

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.is_answered = True
            self._give_turn_back()
            self._closes = not self.body.is_complete
            if self._closes:
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
        elif self._closes and not message.get("more_body", False):
            await self.send_on({**message, "more_body": True})
            await self.body.drain()
            message = {"type": "http.response.body"}
        await self.send_on(message)

    def end(self) -> None:
        self._give_turn_back()
        if self._held_bytes:
            self._held.give_back(self._client, self._held_bytes)

    def _give_turn_back(self) -> None:
        if self._has_turn:
            self._has_turn = False
            self._turns.give_back(self._client)


async def _refuse(scope: Any, send: Any, body: Body | None, status: int, sentence: str) -> None:
    _log.info("refused", extra={"method": scope["method"], "status": status, "reason": sentence})
    start, content = refusal(scope["path"], status, sentence)
    await send(start)
    await send({"type": "http.response.body", "body": content, "more_body": True})
    if body is not None:
        await body.drain()
    await send({"type": "http.response.body"})
