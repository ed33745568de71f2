"""What happens to jobs and runs, as it happens: by server-sent events, or by asking where no stream can be held."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx

from cryocloud.client.platform.connection import Connection, Refusal
from cryocloud.client.platform.shapes import ENDED, Job, Run

POLL_S = 5.0
SILENCE_S = 45.0
RECONNECT_S = 1.0
CAUGHT_UP = "caught up"
"""Said by ``events`` whenever a stream begins or something was missed: ask for the state now."""


def watch_job(connection: Connection, job_id: str) -> Iterator[Job]:
    """The job as it is now, and again after each change, until it has ended."""
    job = _job(connection, job_id)
    yield job
    if job.is_ended:
        return
    for kind, content in events(connection, f"/events/jobs/{job_id}"):
        if kind == "job":
            told = {"progress": content["progress"], "progress_message": content["message"]}
            changed = job.model_copy(update=told | {"state": content["state"]})
        elif kind == CAUGHT_UP:
            changed = _job(connection, job_id)
        else:
            continue
        if changed.is_ended:
            yield _job(connection, job_id)
            return
        if changed != job:
            yield changed
        job = changed


def watch_run(connection: Connection, run_id: str) -> Iterator[Run]:
    """The run with its jobs as they are now, and again after each change, until it has ended or waits for a person."""
    run = _run(connection, run_id)
    yield run
    if run.is_ended:
        return
    for kind, content in events(connection, f"/events/projects/{run.project_id}"):
        if kind == "run" and content.get("id") == run_id:
            changed = _run(connection, run_id)
        elif (
            kind == "job" and content["id"] in {job.id for job in run.jobs} and content["state"] not in ENDED
        ):
            changed = run.model_copy(update={"jobs": tuple(_told(job, content) for job in run.jobs)})
        else:
            changed = _run(connection, run_id)
        if changed != run:
            yield changed
        run = changed
        if run.is_ended:
            return


def events(connection: Connection, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kind and content of each event, for ever; goes on after broken connections with what was missed."""
    last_id = ""
    while True:
        try:
            for event_id, kind, content in _stream(connection, path, last_id):
                last_id = event_id or last_id
                yield (CAUGHT_UP, {}) if kind in ("", "reset") else (kind, content)
        except httpx.TransportError:
            pass
        except Refusal as refusal:
            if refusal.status in (401, 403, 404):
                raise
            time.sleep(POLL_S)
            yield CAUGHT_UP, {}
        time.sleep(RECONNECT_S)


def _stream(connection: Connection, path: str, last_id: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    headers = {"Last-Event-ID": last_id} if last_id else {}
    timeout = httpx.Timeout(10.0, read=SILENCE_S)
    with connection.http.stream("GET", path, headers=headers, timeout=timeout) as response:
        if response.status_code != 200:
            response.read()
            message = f"{path}: answer {response.status_code}; no events to read"
            raise Refusal(response.status_code, message)
        fields: dict[str, str] = {}
        for line in response.iter_lines():
            if line:
                name, _, text = line.partition(":")
                fields[name] = text.removeprefix(" ")
                continue
            if "data" in fields or "retry" in fields:
                yield fields.get("id", ""), fields.get("event", ""), json.loads(fields.get("data", "{}"))
            fields = {}


def _told(job: Job, content: dict[str, Any]) -> Job:
    if job.id != content["id"]:
        return job
    return job.model_copy(
        update={
            "state": content["state"],
            "progress": content["progress"],
            "progress_message": content["message"],
        }
    )


def _job(connection: Connection, job_id: str) -> Job:
    return Job.model_validate(connection.get(f"/jobs/{job_id}"))


def _run(connection: Connection, run_id: str) -> Run:
    return Run.model_validate(connection.get(f"/runs/{run_id}"))
