"""The end of an attempt, in one transaction: usage, job, result, the jobs that follow. It happens once."""

from __future__ import annotations

from dataclasses import dataclass, replace

from django.db import transaction

from cryocloud.catalog import load_job_type
from cryocloud.compute import attempt as protocol
from cryocloud.compute.foreign import BadRecord
from cryocloud.compute.plain_names import without_command_line
from cryocloud.web.core.clock import now
from cryocloud.web.metering.grants import Shortage
from cryocloud.web.metering.models import UsageRecord
from cryocloud.web.metering.services import Measured, record_usage
from cryocloud.web.results.publishing import Publication, record_result
from cryocloud.web.runs.advance import advance_run
from cryocloud.web.runs.forecasts import stored_cost
from cryocloud.web.runs.log import without_places
from cryocloud.web.runs.models import Attempt, Job
from cryocloud.web.runs.notices import publish_job, tell_of_job
from cryocloud.web.scheduling.dispatch import Leadership, clear_scratch
from cryocloud.web.scheduling.pausing import claim_of, pause_job
from cryocloud.web.scheduling.records import NOTHING, Spent, bounded, read_beat, read_exit

SUCCESS = (protocol.DONE, protocol.DONE_WITH_EXCEPTIONS)
FAULT_CODES = (protocol.INTERNAL_ERROR, protocol.DISK_FULL)
CANCELLED_TEXT = "Cancelled. A retry goes on from its last checkpoint."
UNREADABLE = "The record of the job's end cannot be read ({problem}). It costs nothing; retry the job."
LOST_TEXT = (
    "The computer stopped working on this job {tries} times, and it was begun again each time. Ask the operator to "
    "look at the machine, then retry the job: it goes on from its last checkpoint."
)


@dataclass(frozen=True)
class Ending:
    """What is known of the end; ``code`` is None where the runner left no record.

    ``cause`` is what the runner or the scheduler knows beyond the code.
    """

    code: int | None
    message: str = ""
    spent: Spent = NOTHING
    cause: str = ""


def read_ending(attempt: Attempt) -> Ending | None:
    """What ``exit.json`` proves, or None while there is none. A record that cannot be is a failure with that reason."""
    try:
        left = read_exit(attempt)
    except BadRecord as error:
        return Ending(protocol.INTERNAL_ERROR, UNREADABLE.format(problem=error), _last_beat(attempt))
    return None if left is None else Ending(left.code, left.message, left.spent, left.cause)


def lost_ending(attempt: Attempt) -> Ending:
    """For an attempt whose runner is gone without a record, measured up to its last heartbeat."""
    return Ending(None, "", _last_beat(attempt))


def _last_beat(attempt: Attempt) -> Spent:
    try:
        return read_beat(attempt) or NOTHING
    except BadRecord:
        return NOTHING


def end_attempt(
    leadership: Leadership, attempt_id: str, ending: Ending, publication: Publication | None = None
) -> bool:
    """False if another scheduler leads by now, or the attempt has ended already."""
    with transaction.atomic():
        job_id = Attempt.unscoped.values_list("job_id", flat=True).get(pk=attempt_id)
        held = Job.unscoped.select_for_update(of=("self",), no_key=True)
        job = held.select_related("organization").get(pk=job_id)
        attempt = Attempt.unscoped.select_for_update(no_key=True).get(pk=attempt_id)
        if attempt.state not in Attempt.OPEN or not leadership.holds():
            return False
        ending = replace(ending, message=plain_message(ending.message))
        attempt.state = _attempt_state(job, attempt, ending)
        _settle_job(job, attempt, ending, publication)
        _measure(job, attempt, ending)
        if publication is not None:
            record_result(attempt, publication)
        if job.state in Job.ENDED:
            job.finished_at = now()
        attempt.save()
        job.save()
        publish_job(job)
        tell_of_job(job)
        if job.run_id and job.state in Job.ENDED:
            advance_run(job.run_id)
    clear_scratch(attempt_id)
    return True


def _attempt_state(job: Job, attempt: Attempt, ending: Ending) -> Attempt.State:
    states = Attempt.State
    stopped_on_purpose = job.cancel_requested_at is not None or bool(attempt.stopped_for)
    if ending.code in SUCCESS:
        return states.SUCCEEDED
    if ending.code in (None, protocol.CANCELLED):
        return states.CANCELLED if stopped_on_purpose else states.LOST
    return states.FAILED


def _settle_job(job: Job, attempt: Attempt, ending: Ending, publication: Publication | None) -> None:
    states = Job.State
    job.message, job.progress_message = ending.message, ""
    match attempt.state:
        case Attempt.State.SUCCEEDED:
            assert publication is not None
            job.state = states.EXCEPTIONS if ending.code == protocol.DONE_WITH_EXCEPTIONS else states.DONE
            job.progress, job.metrics = 1.0, publication.metrics
            job.decisions, job.warnings = publication.decisions, publication.warnings
            job.exceptions = publication.exceptions
            job.doubt = job.doubt or load_job_type(job.job_type).doubt(job.metrics)
        case Attempt.State.FAILED:
            job.state = states.FAILED
        case Attempt.State.CANCELLED if job.cancel_requested_at is not None:
            job.state, job.message = states.CANCELLED, CANCELLED_TEXT
        case Attempt.State.CANCELLED:
            pause_job(job, Shortage(attempt.stopped_for))
        case _ if job.retries_left > 0:
            job.retries_left -= 1
            job.state, job.progress_message = states.QUEUED, "begins again from its last checkpoint"
        case _:
            job.state = states.FAILED
            job.message = LOST_TEXT.format(tries=job.attempts.filter(state=Attempt.State.LOST).count() + 1)


def _measure(job: Job, attempt: Attempt, ending: Ending) -> None:
    spent = bounded(attempt, ending.spent)
    attempt.exit_code, attempt.message, attempt.finished_at = ending.code, job.message, now()
    attempt.wall_s, attempt.cpu_s, attempt.peak_memory_bytes = spent.wall_s, spent.cpu_s, spent.memory_bytes
    record_usage(
        claim_of(attempt),
        Measured(
            job_id=job.pk,
            job_type=job.job_type,
            boot_id=spent.boot_id,
            from_s=spent.from_s,
            until_s=spent.until_s,
            cpu_s=spent.cpu_s,
            gpus=spent.gpus,
            gpu_class=spent.gpu_class,
            peak_memory_bytes=spent.memory_bytes,
            read_bytes=spent.read_bytes,
            written_bytes=spent.written_bytes,
            ended=attempt.state,
            exit_code=ending.code,
            cause=_cause(job, attempt, ending),
            is_fault=_is_fault(attempt, ending),
            was_stopped=bool(attempt.stopped_for),
            started_at=attempt.started_at or attempt.created_at,
            # A later attempt goes on from a checkpoint, and is no measure of the whole job.
            counted=stored_cost(job.forecast) if attempt.number == 1 else None,
        ),
    )


def _cause(job: Job, attempt: Attempt, ending: Ending) -> UsageRecord.Cause:
    causes = UsageRecord.Cause
    if attempt.state == Attempt.State.CANCELLED:
        return causes.CANCELLED if job.cancel_requested_at is not None else causes(attempt.stopped_for)
    if attempt.state == Attempt.State.LOST:
        return causes.LOST
    if ending.cause:
        return causes(ending.cause)
    of_code = {
        protocol.DONE: causes.DONE,
        protocol.DONE_WITH_EXCEPTIONS: causes.DONE,
        protocol.BAD_INPUT: causes.BAD_INPUT,
        protocol.DISK_FULL: causes.DISK,
    }
    return causes.FAULT if ending.code is None else of_code.get(ending.code, causes.FAULT)


def _is_fault(attempt: Attempt, ending: Ending) -> bool:
    """Faults of the platform, of its programs and of its machines cost nothing; a stop on purpose is none."""
    if attempt.state == Attempt.State.CANCELLED:
        return False
    return attempt.state == Attempt.State.LOST or ending.code in FAULT_CODES


def plain_message(text: str) -> str:
    """Without folders of the server, and with the remedy that a page offers."""
    return without_command_line(without_places(text))
