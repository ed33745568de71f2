"""From a queued job to a runner at work. The attempt is in the database before anything happens outside it."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from django.db import transaction
from django.db.models import Max

from cryocloud.catalog import load_job_type
from cryocloud.compute import attempt as protocol
from cryocloud.compute.attempt import AttemptSpec
from cryocloud.compute.body import COMMAND_LINE_ENVIRONMENT
from cryocloud.compute.foreign import remove_tree
from cryocloud.compute.isolation.confine import kept_environment
from cryocloud.compute.isolation.graphics import GPU_DEVICES
from cryocloud.web.core.clock import now
from cryocloud.web.core.isolation import confinement
from cryocloud.web.core.leases import holds_lease
from cryocloud.web.core.places import attempt_folder
from cryocloud.web.data.models import Dataset
from cryocloud.web.metering.grants import Shortage, reserve
from cryocloud.web.runs.forecasts import job_threads
from cryocloud.web.runs.lineage import data_behind
from cryocloud.web.runs.models import Attempt, Job
from cryocloud.web.runs.notices import publish_job, tell_of_job
from cryocloud.web.runs.references import parse_reference, resolve
from cryocloud.web.scheduling.fairness import free_slots, job_to_start
from cryocloud.web.scheduling.memory import memory_limit_bytes
from cryocloud.web.scheduling.pausing import claim_of, pause_job
from cryocloud.web.scheduling.processes import end_body
from cryocloud.web.scheduling.records import Spent, read_spent

LEASE = "scheduler"


@dataclass(frozen=True)
class Leadership:
    """Proof of being the one scheduler, checked in each transaction that matters."""

    owner: str
    fence: int

    def holds(self) -> bool:
        return holds_lease(LEASE, self.owner, self.fence)


def submit_next(leadership: Leadership, passed_over: set[str]) -> Attempt | None:
    """Write the intent to run the next job; organizations that have no compute left are added to ``passed_over``.

    A job whose project or run has reached its cap is paused, so that those of others come to their turn.
    """
    while free_slots() > 0:
        job = job_to_start(passed_over)
        if job is None:
            return None
        submitted = _submit(leadership, job.pk)
        if isinstance(submitted, Attempt):
            return submitted
        if submitted != Shortage.CAP:
            passed_over.add(job.organization_id)
    return None


def _submit(leadership: Leadership, job_id: str) -> Attempt | Shortage | None:
    with transaction.atomic():
        job = Job.unscoped.select_for_update(no_key=True).select_related("organization").get(pk=job_id)
        if job.state != Job.State.QUEUED or not leadership.holds():
            return None
        number = (job.attempts.aggregate(n=Max("number"))["n"] or 0) + 1
        attempt = Attempt(organization=job.organization, job=job, number=number, fence=leadership.fence)
        attempt.boot_id, attempt.submitted_s = protocol.boot_id(), time.monotonic()
        shortage = reserve(claim_of(attempt))
        if shortage == Shortage.CAP:
            pause_job(job, shortage)
            job.save()
            tell_of_job(job)
        if shortage is not None:
            return shortage
        attempt.save(force_insert=True)
        job.state, job.progress_message, job.message = Job.State.RUNNING, "starting", ""
        job.started_at = job.started_at or now()
        job.save()
        publish_job(job)
    return attempt


def prepare_folder(attempt: Attempt) -> None:
    """The attempt's folder with its order; repeated after a crash it leaves a complete one as it is.

    Raises ``InputGone`` if an input is not there any more.
    """
    directory = protocol.Attempt(attempt_folder(attempt.pk))
    if directory.spec_file.exists():
        return
    job = attempt.job
    directory.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    inputs = {
        one.name: resolve(job.project, one, job.inputs[one.name], directory.folder / "inputs" / one.name)
        for one in load_job_type(job.job_type).inputs
        if one.name in job.inputs
    }
    out, scratch, links = (directory.folder / name for name in ("out", "tmp", "inputs"))
    former = _checkpoint_of_former(attempt, out)
    for folder in (out, scratch, links, directory.handover):
        folder.mkdir(exist_ok=True, mode=0o700)
    threads = job_threads()
    has_gpu = any(Path(device).exists() for device in GPU_DEVICES)
    data = {links: "", **data_behind(job)}
    walls = confinement(
        readable=[directory.spec_file, *data],
        writable=[out, directory.handover],
        scratch=scratch,
        memory_bytes=memory_limit_bytes(job),
        threads=threads,
        gpu=has_gpu,
    )
    directory.write_spec(
        AttemptSpec(
            attempt_id=attempt.pk,
            job_type=job.job_type,
            version=job.version,
            parameters=job.parameters,
            inputs=inputs,
            out=str(out),
            seed=job.seed,
            threads=threads,
            # Where there is no GPU the job need not load a library to find that out.
            device="auto" if has_gpu else "cpu",
            resumed=former is not None,
            spent_wall_s=former.wall_s if former else 0.0,
            spent_cpu_s=former.cpu_s if former else 0.0,
            readable=[str(path) for path in data],
            names={str(path): name for path, name in (data | _names_of_links(job, links)).items()},
            confinement=asdict(walls),
        )
    )


def _names_of_links(job: Job, links: Path) -> dict[Path, str]:
    """Links that were made for files of a dataset go by the dataset's name."""
    given = ((name, parse_reference(str(text))) for name, text in job.inputs.items())
    ids = {name: one.id for name, one in given if one is not None and one.kind == "dataset"}
    rows = Dataset.unscoped.filter(organization_id=job.organization_id, pk__in=ids.values())
    called = dict(rows.values_list("pk", "name"))
    return {links / name: called.get(pk, "") for name, pk in ids.items()}


def _checkpoint_of_former(attempt: Attempt, out: Path) -> Spent | None:
    """Take over what the attempt before left in its ``out``; nothing if it refused its input."""
    before = attempt.job.attempts.filter(number__lt=attempt.number).order_by("-number").first()
    if before is None or before.exit_code == protocol.BAD_INPUT:
        return None
    former = protocol.Attempt(attempt_folder(before.pk))
    left = former.folder / "out"
    if not out.exists():
        if not left.exists():
            return None
        end_body(former)
        left.rename(out)
    spec, spent = former.read_spec(), read_spent(before)
    return Spent(spec.spent_wall_s + spent.wall_s, spec.spent_cpu_s + spent.cpu_s)


def start_runner(attempt: Attempt) -> subprocess.Popen[bytes]:
    """A runner in a session of its own, without the platform's settings and secrets in its environment."""
    folder = attempt_folder(attempt.pk)
    environment = kept_environment(COMMAND_LINE_ENVIRONMENT)
    with (folder / "runner.log").open("ab") as log:
        return subprocess.Popen(
            ["nice", "-n", "5", sys.executable, "-m", "cryocloud.compute.runner", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            cwd=folder,
            umask=0o077,
            start_new_session=True,
        )


def clear_scratch(attempt_id: str) -> None:
    for name in ("tmp", "inputs", "handover"):
        remove_tree(attempt_folder(attempt_id) / name)
