"""How many requests work at the same time. Each has a thread of its own and a connection to the database."""

from __future__ import annotations

import asyncio
from collections import Counter

AT_ONCE = 32
PER_CLIENT = 8
WAIT_S = 20.0


class Turns:
    """First come, first served, but no client has more than a share; nobody waits for a client that waits."""

    def __init__(self) -> None:
        self._all = asyncio.Semaphore(AT_ONCE)
        self._lanes: dict[str, asyncio.Semaphore] = {}
        self._in_lane: Counter[str] = Counter()

    async def take(self, client: str) -> bool:
        """Whether the turn came in time; then ``give_back`` follows."""
        lane = self._lanes.setdefault(client, asyncio.Semaphore(PER_CLIENT))
        self._in_lane[client] += 1
        has_lane = False
        try:
            async with asyncio.timeout(WAIT_S):
                has_lane = await lane.acquire()
                return await self._all.acquire()
        except BaseException as error:
            if has_lane:
                lane.release()
            self._leave_lane(client)
            if isinstance(error, TimeoutError):
                return False
            raise

    def give_back(self, client: str) -> None:
        self._all.release()
        self._lanes[client].release()
        self._leave_lane(client)

    def _leave_lane(self, client: str) -> None:
        self._in_lane[client] -= 1
        if not self._in_lane[client]:
            del self._in_lane[client], self._lanes[client]
