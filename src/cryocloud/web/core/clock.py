"""The one clock of the platform. Everything that asks for the time asks here, so that tests can set it."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from cryocloud.web.configuration import configuration


def now() -> datetime:
    """The present moment, aware, in UTC."""
    if configuration().test_seams:
        from cryocloud.web.seams.test_clock import present

        return present()
    return datetime.now(UTC)


def age_s(facts: os.stat_result) -> float:
    """Seconds since a file was last written. Files carry the machine's time, which no test sets."""
    return datetime.now(UTC).timestamp() - facts.st_mtime
