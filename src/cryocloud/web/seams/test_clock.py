"""A clock that a tester sets forward, for all processes of one home; from the moment set it goes on ticking."""

from __future__ import annotations

import fcntl
import json
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

from cryocloud.web.configuration import configuration

FILE = "test-clock.json"


class ClockRefused(Exception):
    """Why the clock was not set."""


def ahead() -> timedelta:
    """How far the clock of this home is before the machine's."""
    path = configuration().home / FILE
    try:
        facts = path.stat()
    except FileNotFoundError:
        return timedelta(0)
    return _read(path, facts.st_mtime_ns, facts.st_ino)


@lru_cache(maxsize=8)
def _read(path: Path, *_: int) -> timedelta:
    kept = json.loads(path.read_text(encoding="ascii"))
    return datetime.fromisoformat(kept["set_to"]) - datetime.fromisoformat(kept["set_at"])


def present() -> datetime:
    """The moment as the home sees it."""
    return datetime.now(UTC) + ahead()


def set_clock(moment: datetime) -> None:
    """From now on all processes of the home see this moment, and what follows it."""
    site = configuration()
    if not site.test_seams:
        raise ClockRefused("The clock can be set with CRYOCLOUD_TEST_SEAMS=on only.")
    if moment.tzinfo is None:
        raise ClockRefused(f"{moment.isoformat()} has no time zone; write {moment.isoformat()}Z for UTC.")
    path = site.home / FILE
    site.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stands = present()
        if moment < stands:
            raise ClockRefused(
                f"The clock stands at {stands:%Y-%m-%d %H:%M:%S} UTC and goes forward only; "
                f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC is before that. Make a new home to begin earlier."
            )
        fresh = path.with_suffix(".next")
        kept = {"set_to": moment.isoformat(), "set_at": datetime.now(UTC).isoformat()}
        fresh.write_text(json.dumps(kept), encoding="ascii")
        fresh.replace(path)
