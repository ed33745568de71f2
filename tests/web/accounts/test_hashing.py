"""Hashing of passwords takes turns: few at once, no client before all others, and nobody for ever."""

from __future__ import annotations

import threading
import time

import pytest

from cryocloud.web.accounts import hashing
from cryocloud.web.accounts.hashing import HashingQueue
from cryocloud.web.core.errors import Busy

HASH_S = 0.05


class Crowd:
    """Threads that hash; in which order they came, and how many at once."""

    def __init__(self, queue):
        self.queue = queue
        self.order, self.refused = [], []
        self.running = self.running_most = 0
        self.threads = []
        self.lock = threading.Lock()

    def hash(self, lane, *, is_first=False):
        thread = threading.Thread(target=self._hash, args=(lane, is_first))
        thread.start()
        self.threads.append(thread)
        # It waits, hashes or is refused before the next one comes.
        while len(self.order) + len(self.refused) + self.queue.waiting < len(self.threads):
            time.sleep(0.001)

    def _hash(self, lane, is_first):
        try:
            with self.queue.turn(lane, is_first=is_first):
                with self.lock:
                    self.running += 1
                    self.running_most = max(self.running_most, self.running)
                    self.order.append(lane)
                time.sleep(HASH_S)
                with self.lock:
                    self.running -= 1
        except Busy:
            self.refused.append(lane)

    def join(self):
        for thread in self.threads:
            thread.join(timeout=10)
        return self


@pytest.mark.parametrize("at_once", [1, 3])
def test_no_more_than_allowed_hash_at_once(at_once):
    crowd = Crowd(HashingQueue(at_once))
    for n in range(12):
        crowd.hash(f"client {n}")
    assert crowd.join().running_most == at_once
    assert len(crowd.order) == 12


def test_a_client_that_sends_many_waits_for_them_alone():
    crowd = Crowd(HashingQueue(1))
    with crowd.queue.turn("many", is_first=False):
        for _ in range(4):
            crowd.hash("many")
        crowd.hash("one")
    assert crowd.join().order.index("one") <= 1


def test_a_known_device_is_next():
    crowd = Crowd(HashingQueue(1))
    with crowd.queue.turn("somebody", is_first=False):
        for n in range(8):
            crowd.hash(f"client {n}")
        crowd.hash("device", is_first=True)
    assert crowd.join().order[0] == "device"


def test_too_many_of_one_client_are_refused_at_once_and_nobody_else_is():
    crowd = Crowd(HashingQueue(1))
    with crowd.queue.turn("somebody", is_first=False):
        for _ in range(10):
            crowd.hash("many")
        crowd.hash("one")
    crowd.join()
    assert "one" in crowd.order
    assert crowd.refused == ["many"] * 6


def test_a_full_house_still_takes_known_devices(monkeypatch):
    monkeypatch.setattr(hashing, "WAITING", 4)
    crowd = Crowd(HashingQueue(1))
    with crowd.queue.turn("somebody", is_first=False):
        for n in range(10):
            crowd.hash(f"client {n}")
        crowd.hash("device", is_first=True)
    crowd.join()
    assert len(crowd.refused) == 6
    assert "device" in crowd.order


def test_who_waits_too_long_is_refused_and_leaves_no_trace(monkeypatch):
    monkeypatch.setattr(hashing, "WAIT_S", 0.02)
    queue = HashingQueue(1)
    crowd = Crowd(queue)
    with queue.turn("somebody", is_first=False):
        for n in range(5):
            crowd.hash(f"client {n}")
        crowd.join()
    assert len(crowd.refused) == 5
    with queue.turn("later", is_first=False):
        pass


def test_a_failure_passes_the_turn_on():
    queue = HashingQueue(1)
    with pytest.raises(ValueError), queue.turn("a", is_first=False):
        raise ValueError
    with queue.turn("b", is_first=False):
        pass


def test_a_crowded_log_in_is_told_and_counts_as_no_guess(member, another, monkeypatch):
    def full(*_, **__):
        raise hashing._busy()

    monkeypatch.setattr("django.contrib.auth.hashers.MD5PasswordHasher.verify", full)
    for _ in range(8):
        answer = another.log_in()
        assert answer.status_code == 503 and "Nothing is wrong with your password" in answer.content.decode()
    monkeypatch.undo()
    another.log_in()
    assert another.is_logged_in
