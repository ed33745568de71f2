"""Run beside a platform at work: nearly all of a trial's compute is used up, as by an attempt that has just ended."""

from __future__ import annotations

import os
import sys
from datetime import timedelta

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "cryocloud.web.settings"
django.setup()

from django.db.models import Sum  # noqa: E402

from cryocloud.web.configuration import configuration  # noqa: E402
from cryocloud.web.core.clock import now  # noqa: E402
from cryocloud.web.core.ids import new_id  # noqa: E402
from cryocloud.web.metering.models import UsageRecord  # noqa: E402
from cryocloud.web.organizations.models import Organization  # noqa: E402
from cryocloud.web.projects.models import Project  # noqa: E402


def main(name: str, left_s: int) -> None:
    organization = Organization.objects.get(name=name)
    used = UsageRecord.unscoped.filter(organization=organization).aggregate(sum=Sum("billed_s"))["sum"] or 0
    seconds, moment = configuration().trial_compute_hours * 3600 - used - left_s, now()
    UsageRecord.unscoped.create(
        organization=organization,
        attempt_id=new_id(),
        project_id=Project.unscoped.get(organization=organization).pk,
        job_type="refine",
        wall_s=seconds,
        cpu_s=seconds,
        peak_memory_bytes=0,
        billed_s=seconds,
        ended="succeeded",
        cause=UsageRecord.Cause.DONE,
        started_at=moment - timedelta(seconds=seconds),
        finished_at=moment,
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
