"""What jobs took, of all organizations; no more leaves here than a correction for each job type."""

from __future__ import annotations

from cryocloud.catalog.forecasting import REVISION, Cost, Experience, Record, learn
from cryocloud.web.metering.models import UsageRecord

RECORDS_READ = 10_000
SUCCEEDED = "succeeded"


def experience() -> Experience:
    """Learnt anew from the latest records of jobs that ended well; one query, some dozen milliseconds."""
    rows = UsageRecord.unscoped.filter(ended=SUCCEEDED, counted_revision=REVISION).order_by("-finished_at")
    columns = rows.values_list(
        "organization_id",
        "job_type",
        "counted_cpu_s",
        "counted_wall_s",
        "counted_memory_bytes",
        "cpu_s",
        "wall_s",
        "peak_memory_bytes",
    )
    return learn(
        Record(job_type, Cost(*numbers[:3]), Cost(*numbers[3:]), organization)
        for organization, job_type, *numbers in columns[:RECORDS_READ]
    )
