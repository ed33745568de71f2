"""How much memory an attempt may use."""

from __future__ import annotations

import os

from cryocloud.catalog import load_job_type
from cryocloud.web.configuration import configuration
from cryocloud.web.runs.models import Job
from cryocloud.web.runs.preflight import facts_behind

SHARE_OF_MACHINE = 0.9
HEADROOM_FACTOR = 2.0
HEADROOM_BYTES = 4 << 30


def memory_limit_bytes(job: Job) -> int:
    """Twice the forecast and 4 GiB for libraries, at most what the machine has; without a forecast, a slot's share."""
    machine_bytes = SHARE_OF_MACHINE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    job_type = load_job_type(job.job_type)
    facts = facts_behind(job)
    if not facts.items:
        return int(machine_bytes / configuration().slots)
    forecast = job_type.forecast(job_type.parameters.model_validate(job.parameters), facts)
    return int(min(machine_bytes, HEADROOM_FACTOR * forecast.memory_bytes + HEADROOM_BYTES))
