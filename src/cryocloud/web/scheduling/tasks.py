"""Compiled kernels for confined jobs, what unfinished attempts left behind, and warnings before compute ends."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from datetime import timedelta

from django.db.models import Q
from django_tasks import task

from cryocloud.compute.attached import ATTACHED
from cryocloud.compute.foreign import remove_tree
from cryocloud.compute.warm import is_warm
from cryocloud.web.core import disk_room
from cryocloud.web.core.clock import now
from cryocloud.web.core.models import BackgroundTask
from cryocloud.web.core.periodic import every
from cryocloud.web.core.places import attempt_folder, warm_folder
from cryocloud.web.lifecycle.letters import write_to_owners
from cryocloud.web.metering.limits import compute_limit
from cryocloud.web.metering.models import Reservation, UsageRecord
from cryocloud.web.metering.services import running_compute_s, used_compute_s
from cryocloud.web.organizations.models import Organization
from cryocloud.web.organizations.states import standing
from cryocloud.web.runs.models import Attempt, Job

TIMEOUT_S = 3600
NICENESS = 10
UNFINISHED_KEPT = timedelta(days=7)
LOG = "log.txt"
WARNED_AT_PERCENT = (80, 95)
SPAN_MAX = timedelta(days=400)


@every(timedelta(hours=24))
def order_warming() -> None:
    """At the first start, and after the kernels have changed."""
    if is_warm(warm_folder()) or importlib.util.find_spec("torch") is None:
        return
    waiting = BackgroundTask.objects.filter(path=warm_kernels.module_path)
    if not waiting.filter(state__in=(BackgroundTask.State.READY, BackgroundTask.State.RUNNING)).exists():
        warm_kernels.enqueue()


@task(priority=-60)
def warm_kernels() -> None:
    """Jobs that start meanwhile compile for themselves."""
    command = ["nice", "-n", str(NICENESS), sys.executable, "-m", "cryocloud.compute.warm"]
    with subprocess.Popen([*command, str(warm_folder()), ATTACHED], stdin=subprocess.PIPE) as warming:
        try:
            code = warming.wait(TIMEOUT_S)
        finally:
            warming.terminate()
    if code:
        raise RuntimeError(f"the kernels were not compiled: it ended with code {code}")


@every(timedelta(minutes=1))
def warn_of_compute() -> None:
    """Owners are told once a span when most of what they may use is used, and once more when nearly all is."""
    used_lately = UsageRecord.unscoped.filter(finished_at__gte=now() - SPAN_MAX).values("organization_id")
    at_work = Reservation.unscoped.values("organization_id")
    for organization in Organization.objects.filter(Q(pk__in=used_lately) | Q(pk__in=at_work)).order_by("pk"):
        _warn(organization)


def _warn(organization: Organization) -> None:
    limit = compute_limit(organization)
    if not limit.limit_s or not standing(organization).may_compute:
        return
    used_s = used_compute_s(organization) + running_compute_s(organization)
    reached = max(
        (percent for percent in WARNED_AT_PERCENT if 100 * used_s >= percent * limit.limit_s), default=None
    )
    if reached is None:
        return
    write_to_owners(
        organization,
        key=f"compute-{reached}:{limit.from_at.isoformat() if limit.from_at else 'all'}",
        title=f"{reached} % of the compute of {organization.name} is used",
        message=(
            f"{used_s / 3600:,.1f} of {limit.limit_s / 3600:,.1f} hours are used. When nothing is left, jobs at work "
            "write a checkpoint and pause; they go on by themselves as soon as there is compute again."
        ),
        path="/organization/usage/",
    )


@every(timedelta(minutes=30))
def remove_unfinished_work() -> None:
    """What attempts left that did not succeed, a week after; while the disk is low at once, the oldest first.

    Until then a retry goes on from there. The log stays, and so does everything of a job that is queued or at work.
    """
    is_low = disk_room.is_low()
    unfinished = Attempt.unscoped.filter(
        state__in=(Attempt.State.FAILED, Attempt.State.CANCELLED, Attempt.State.LOST),
        job__state__in=Job.ENDED,
    )
    if not is_low:
        unfinished = unfinished.filter(finished_at__lte=now() - UNFINISHED_KEPT)
    for attempt_id in unfinished.order_by("finished_at").values_list("pk", flat=True).iterator():
        if _remove_results(attempt_id) and is_low and not disk_room.is_low():
            return


def _remove_results(attempt_id: str) -> bool:
    """Whether there was anything."""
    out = attempt_folder(attempt_id) / "out"
    left = [path for path in out.iterdir() if path.name != LOG] if out.is_dir() else []
    for path in left:
        remove_tree(path)
    return bool(left)
