"""Argon2 takes 100 MiB and all cores for one password, on purpose; so few are checked at once, and the rest wait."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

from django.contrib.auth.hashers import Argon2PasswordHasher

from cryocloud.web.configuration import configuration
from cryocloud.web.core.client_address import current_block
from cryocloud.web.core.errors import Busy

WAITING = 24
WAITING_IN_LANE = 4
WAIT_S = 8.0

# Set for a browser that is known to the account: it goes before the lanes of strangers.
device_lane: ContextVar[str] = ContextVar("device_lane", default="")


class HashingQueue:
    """Lanes by client take turns, so that somebody who sends a hundred log-ins waits for them alone."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._lock = threading.Lock()
        self._lanes: OrderedDict[str, deque[threading.Event]] = OrderedDict()

    @property
    def waiting(self) -> int:
        return sum(map(len, self._lanes.values()))

    @contextmanager
    def turn(self, lane: str, *, is_first: bool) -> Iterator[None]:
        """``Busy`` at once if too many wait, or after ``WAIT_S``."""
        mine = self._stand_in(lane, is_first=is_first)
        if mine is not None:
            self._wait(lane, mine)
        try:
            yield
        finally:
            self._pass_on()

    def _stand_in(self, lane: str, *, is_first: bool) -> threading.Event | None:
        """What to wait for; None if it is this one's turn at once."""
        with self._lock:
            if self._free:
                self._free -= 1
                return None
            in_lane = len(self._lanes.get(lane, ()))
            if in_lane >= WAITING_IN_LANE or (self.waiting >= WAITING and not is_first):
                raise _busy()
            mine = threading.Event()
            self._lanes.setdefault(lane, deque()).append(mine)
            if is_first:
                self._lanes.move_to_end(lane, last=False)
            return mine

    def _wait(self, lane: str, mine: threading.Event) -> None:
        if mine.wait(WAIT_S):
            return
        with self._lock:
            if not mine.is_set():
                self._lanes[lane].remove(mine)
                if not self._lanes[lane]:
                    del self._lanes[lane]
                raise _busy()

    def _pass_on(self) -> None:
        with self._lock:
            if not self._lanes:
                self._free += 1
                return
            lane, waiting = next(iter(self._lanes.items()))
            waiting.popleft().set()
            self._lanes.move_to_end(lane)
            if not waiting:
                del self._lanes[lane]


@cache
def _queue() -> HashingQueue:
    return HashingQueue(configuration().password_hashes_at_once)


def _busy() -> Busy:
    return Busy(
        "Many people log in at this moment. Nothing is wrong with your password: try again in a few seconds."
    )


class QueuedArgon2(Argon2PasswordHasher):
    def encode(self, password: str, salt: str) -> str:
        with _turn():
            return super().encode(password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        with _turn():
            return super().verify(password, encoded)


@contextmanager
def _turn() -> Iterator[None]:
    device = device_lane.get()
    with _queue().turn(device or current_block.get(), is_first=bool(device)):
        yield
