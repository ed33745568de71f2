"""How much memory an attempt may use."""

from __future__ import annotations

from cryocloud.web.configuration import configuration
from cryocloud.web.runs.forecasts import machine_memory_bytes, stored_cost, stored_range
from cryocloud.web.runs.models import Job

SHARE_OF_MACHINE = 0.9
HEADROOM_FACTOR = 2.0
HEADROOM_BYTES = 4 << 30


def memory_limit_bytes(job: Job) -> int:
    """Twice the high end of the forecast and 4 GiB, at most what the machine has; without one, a slot's share.

    What other jobs took never lowers it below twice what was counted and 4 GiB.
    """
    machine_bytes = SHARE_OF_MACHINE * machine_memory_bytes()
    expected = stored_range(job.forecast, "memory_bytes")
    if expected is None:
        return int(machine_bytes / configuration().slots)
    counted = stored_cost(job.forecast)
    most_bytes = max(expected.high, counted.memory_bytes if counted else 0.0)
    return int(min(machine_bytes, HEADROOM_FACTOR * most_bytes + HEADROOM_BYTES))
