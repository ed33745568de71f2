"""What lasts longer than a question - event streams, uploads, downloads - ends with the right to it.

One watch a process asks the one door again, every two seconds and for all of them together, in four queries.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from django.db import DatabaseError, connection
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.credentials import Credential
from cryocloud.web.organizations.access import Right, rights_in_force
from cryocloud.web.organizations.models import Role

CHECK_S = 2.0

_log = logging.getLogger("cryocloud.access")


@dataclass(eq=False)
class Holder:
    """Something long, and how it is ended in the event loop once its right is gone."""

    right: Right
    end: Callable[[], object]


class Watch:
    """Ends the holders whose right is gone."""

    def __init__(self) -> None:
        self.holders: set[Holder] = set()
        self.beating: asyncio.Task[None] | None = None
        self.database = ThreadPoolExecutor(max_workers=1, thread_name_prefix="access")

    def begin(self, right: Right, end: Callable[[], object]) -> Holder:
        """Called in the event loop."""
        holder = Holder(right, end)
        self.holders.add(holder)
        if self.beating is None or self.beating.done():
            self.beating = asyncio.create_task(self._beat())
        return holder

    def drop(self, holder: Holder) -> None:
        self.holders.discard(holder)

    async def _beat(self) -> None:
        while self.holders:
            await asyncio.sleep(CHECK_S)
            held = list(self.holders)
            rights = {holder.right for holder in held}
            try:
                left = await asyncio.get_running_loop().run_in_executor(self.database, _ask, rights)
            except DatabaseError:
                _log.exception("rights could not be read")
                continue
            for holder in held:
                if holder.right not in left and holder in self.holders:
                    self.holders.discard(holder)
                    _log.info("ended with its right", extra={"organization": holder.right.organization_id})
                    holder.end()


def _ask(rights: set[Right]) -> set[Right]:
    try:
        return rights_in_force(rights)
    except DatabaseError:
        connection.close()
        raise


watch = Watch()


class _WatchedPieces:
    """The pieces of a download. The task that sends them is cancelled, so that one that stands still ends too."""

    def __init__(self, pieces: AsyncIterator[bytes], right: Right) -> None:
        self.pieces, self.right = pieces, right
        self.holder: Holder | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self.holder is None:
            sending = asyncio.current_task()
            assert sending is not None
            self.holder = watch.begin(self.right, sending.cancel)
        return await anext(self.pieces)

    def close(self) -> None:
        if self.holder is not None:
            watch.drop(self.holder)


def while_allowed(
    request: HttpRequest, actor: Actor, organization_id: str, response: HttpResponseBase
) -> HttpResponseBase:
    """A download that breaks off, visibly shorter than announced, when the actor may no longer read there."""
    if isinstance(response, StreamingHttpResponse):
        right = Right(Credential.of_request(request, actor), organization_id, Role.VIEWER)
        response.streaming_content = _WatchedPieces(response.streaming_content, right)  # type: ignore[arg-type]
    return response
