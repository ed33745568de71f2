"""What the page of a job shows, gathered from its rows and its folder."""

from __future__ import annotations

import csv
from dataclasses import dataclass

from cryocloud.catalog import job_type_names, load_job_type
from cryocloud.catalog.fields import title
from cryocloud.compute.foreign import BadRecord, read_below
from cryocloud.web.accounts.actor import Actor
from cryocloud.web.metering.models import UsageRecord
from cryocloud.web.organizations.access import visible
from cryocloud.web.pages.input_choices import first_group
from cryocloud.web.pages.job_words import edits_label, input_targets, sources_of
from cryocloud.web.pages.templatetags.wording import job_title
from cryocloud.web.results.files import job_folder
from cryocloud.web.runs.models import Attempt, Job

LOG_TAIL_BYTES = 24_000
LOG_BYTES_MAX = 8 << 20
EXCEPTIONS_SHOWN = 200
EXCEPTIONS_BYTES_MAX = 4 << 20
NEIGHBORS_READ = 2000


@dataclass(frozen=True)
class Link:
    label: str
    url: str
    title: str = ""
    state: str = ""


@dataclass(frozen=True)
class AttemptLine:
    """An attempt with what was billed for it."""

    attempt: Attempt
    billed_s: int | None


def input_links(actor: Actor, job: Job) -> list[Link]:
    """What the job reads, and where that came from."""
    sources = sources_of(actor, [job])
    ids = [target for kind, target in input_targets(job) if kind == "job"]
    makers = {maker.pk: maker for maker in visible(actor, Job).filter(pk__in=ids)} if ids else {}
    links = []
    for name, text in job.inputs.items():
        kind, _, rest = str(text).partition(":")
        target, _, file = rest.partition("/")
        label = "Input" if name == "input" else title(name)
        if kind == "job" and target in makers:
            maker = makers[target]
            what = f"#{maker.number} {job_title(maker.job_type)}{f' · {file}' if file else ''}"
            links.append(Link(label, f"/jobs/{target}/", what, maker.state))
        elif target in sources:
            links.append(Link(label, sources[target].url, sources[target].label))
        elif kind == "edits" and (made := edits_label(actor, target)):
            links.append(Link(label, "", made))
        else:
            links.append(Link(label, "", str(text) if not rest else "deleted"))
    return links


def readers(job: Job) -> list[Link]:
    """Jobs of the project that read what this one made."""
    later = job.project.jobs.filter(number__gt=job.number).order_by("number")[:NEIGHBORS_READ]
    return [
        Link(f"#{one.number} {job_title(one.job_type)}", f"/jobs/{one.pk}/", state=one.state)
        for one in later
        if ("job", job.pk) in input_targets(one)
    ]


def next_jobs(job: Job) -> list[Link]:
    """Job types that can read a result of this one, with the form filled in as far as that goes."""
    links = []
    for name in job_type_names():
        job_type = load_job_type(name)
        first = job_type.inputs[0]
        group = first_group(job, first)
        if group is None or name.startswith("import_"):
            continue
        reference = f"job:{job.pk}/{group.file}" if group.file else f"job:{job.pk}"
        url = f"/projects/{job.project_id}/jobs/{name}/new/?input-{first.name}={reference}"
        links.append(Link(job_type.title, url, group.title))
    return links


def attempt_lines(actor: Actor, job: Job) -> list[AttemptLine]:
    attempts = list(job.attempts.order_by("number"))
    rows = visible(actor, UsageRecord).filter(attempt_id__in=[one.pk for one in attempts])
    billed = dict(rows.values_list("attempt_id", "billed_s"))
    return [AttemptLine(one, billed.get(one.pk)) for one in attempts]


def exception_rows(job: Job) -> list[tuple[str, str]]:
    """Items that were set aside, each with its reason."""
    folder = job_folder(job) if job.exceptions else None
    if folder is None:
        return []
    try:
        table = read_below(folder, "exceptions.csv", EXCEPTIONS_BYTES_MAX).decode("utf-8", "replace")
        rows = list(csv.reader(table.splitlines()))
    except (OSError, BadRecord, csv.Error):
        return []
    return [(row[0], row[1]) for row in rows[1 : EXCEPTIONS_SHOWN + 1] if len(row) >= 2]
