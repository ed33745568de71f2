"""A job or a run, followed on the terminal until it has ended."""

from __future__ import annotations

from cryocloud.catalog.metrics import spoken_number
from cryocloud.client.platform.client import CryoCloud
from cryocloud.client.platform.display import Progress
from cryocloud.client.platform.shapes import ENDED, WAITING, Job, Run

EXIT_CODES = {"done": 0, "exceptions": 3, "waiting": 4, "cancelled": 130}
FAILED = 1


def follow(server: CryoCloud, reference: str) -> int:
    """Exit code of its end: 0 done, 3 completed with exceptions, 4 waits for a person, 130 cancelled, 1 failed."""
    kind, _, object_id = reference.rpartition(":")
    if kind == "run":
        return _follow_run(server, object_id)
    return _follow_job(server, object_id)


def _follow_job(server: CryoCloud, job_id: str) -> int:
    progress = None
    for job in server.watch(job_id):
        progress = progress or Progress(_title(job))
        progress.show(job.progress, job.progress_message or job.state)
    assert progress is not None
    for warning in job.warnings:
        progress.say(f"warning: {warning}")
    progress.say(_ending(job))
    return EXIT_CODES.get(job.state, FAILED)


def _follow_run(server: CryoCloud, run_id: str) -> int:
    told: set[str] = set()
    progress = Progress("")
    for run in server.watch_run(run_id):
        for job in run.jobs:
            if job.state in ENDED and job.id not in told:
                told.add(job.id)
                progress.say(_ending(job))
            elif job.state == "running":
                progress.title = _title(job)
                progress.show(job.progress, job.progress_message)
    for warning in run.warnings:
        progress.say(f"warning: {warning}")
    progress.say(_run_ending(run))
    return EXIT_CODES.get(run.state, FAILED)


def _title(job: Job) -> str:
    return f"{job.number:03d} {job.job_type}"


def _ending(job: Job) -> str:
    if job.state == "done":
        return f"{_title(job)}: done"
    if job.state == "exceptions":
        return f"{_title(job)}: completed with exceptions ({job.exceptions}; see exceptions.csv)"
    return f"{_title(job)}: {job.state}. {job.message}".rstrip(" .") + "."


def _run_ending(run: Run) -> str:
    spoken = (spoken_number(name, value) for name, value in run.key_numbers.items())
    numbers = ", ".join(f"{one.label} {one.text}" for one in spoken)
    if run.state == WAITING:
        return f"{run.workflow} waits: {run.doubt} Decide on the page of the run, or accept it there or by the API."
    return f"{run.workflow} {run.state}: {numbers or run.message}".rstrip(": ")
