"""Records of attempts, and a claim on compute, without any job."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from cryocloud.web.core.clock import now
from cryocloud.web.core.ids import new_id
from cryocloud.web.metering.grants import Claim
from cryocloud.web.metering.models import UsageRecord
from cryocloud.web.organizations.models import Organization


def claim(organization: Organization, **changes: Any) -> Claim:
    return Claim(**{"organization_id": organization.pk, "attempt_id": new_id()} | changes)


@pytest.fixture
def record(db: None) -> Callable[..., UsageRecord]:
    """``record(organization, billed_s)``: an attempt that has ended, now if no moment is given."""

    def make(
        organization: Organization, billed_s: int, *, at: datetime | None = None, **changes: Any
    ) -> UsageRecord:
        moment = at or now()
        values: dict[str, Any] = {
            "attempt_id": new_id(), "job_type": "ctf", "wall_s": float(billed_s), "until_s": float(billed_s),
            "cpu_s": 2.0 * billed_s, "peak_memory_bytes": 10**9, "ended": "succeeded", "cause": "done",
            "exit_code": 0, "started_at": moment, "finished_at": moment,
        }  # fmt: skip
        return UsageRecord.unscoped.create(organization=organization, billed_s=billed_s, **values | changes)

    return make
