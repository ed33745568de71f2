"""A pytest plugin that sets the clock of its process apart by ``COLLECTION_CLOCK_S`` before any test is imported."""

from __future__ import annotations

import ctypes
import datetime
import gc
import os
import time
from typing import Any

APART_S = float(os.environ.get("COLLECTION_CLOCK_S", "0"))


def _set_apart() -> None:
    true_time, true_time_ns, true_now = time.time, time.time_ns, datetime.datetime.now
    true_localtime, true_gmtime = time.localtime, time.gmtime

    def now(cls: type[datetime.datetime], tz: datetime.tzinfo | None = None) -> datetime.datetime:
        return cls.fromtimestamp(true_now().timestamp() + APART_S, tz)

    def utcnow(cls: type[datetime.datetime]) -> datetime.datetime:
        return now(cls, datetime.UTC).replace(tzinfo=None)

    def today(cls: type[datetime.date]) -> datetime.date:
        return cls.fromtimestamp(true_now().timestamp() + APART_S)

    time.time = lambda: true_time() + APART_S
    time.time_ns = lambda: true_time_ns() + int(APART_S * 1e9)
    time.localtime = lambda moment_s=None: true_localtime(time.time() if moment_s is None else moment_s)
    time.gmtime = lambda moment_s=None: true_gmtime(time.time() if moment_s is None else moment_s)
    _replace(datetime.datetime, now=classmethod(now), utcnow=classmethod(utcnow), today=classmethod(today))
    _replace(datetime.date, today=classmethod(today))


def _replace(kind: type, **methods: Any) -> None:
    """In place: compiled modules hold on to these classes, and break when another stands under the name."""
    gc.get_referents(kind.__dict__)[0].update(methods)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(kind))


if APART_S:
    _set_apart()
