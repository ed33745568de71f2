"""The data behind a job: its inputs, and what those name in turn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cryocloud.web.core.places import dataset_folder, result_folder
from cryocloud.web.data.models import Dataset
from cryocloud.web.runs.models import Attempt, Job
from cryocloud.web.runs.references import Reference, parse_reference


def data_behind(job: Job) -> dict[Path, str]:
    """Folders of the datasets and results that the job reads, directly or through the results of others, with what
    people call them.

    Tables name files of the datasets that they were made from, so those come along. All belong to the organization.
    """
    found: dict[Path, str] = {}
    seen: set[str] = set()
    waiting = [job]
    while waiting:
        for reference in references_of(waiting.pop()):
            if reference.kind == "job":
                maker = _job(job, reference.id)
                if maker is not None and maker.pk not in seen:
                    seen.add(maker.pk)
                    waiting.append(maker)
                    found |= dict.fromkeys(_results(maker), f"job {maker.number}")
            else:
                found |= _dataset(job, reference)
    return found


def references_of(job: Job) -> Iterator[Reference]:
    return references_in(job.inputs)


def references_in(inputs: object) -> Iterator[Reference]:
    """Those to data, whether given alone or in a list; edits by hand are in the order itself."""
    values = inputs.values() if isinstance(inputs, dict) else []
    for value in values:
        for text in value if isinstance(value, list) else [value]:
            reference = parse_reference(text) if isinstance(text, str) else None
            if reference is not None and reference.kind != "edits":
                yield reference


def _job(reader: Job, job_id: str) -> Job | None:
    return Job.unscoped.filter(
        pk=job_id, organization_id=reader.organization_id, project_id=reader.project_id
    ).first()


def _results(maker: Job) -> list[Path]:
    succeeded = maker.attempts.filter(state=Attempt.State.SUCCEEDED).order_by("-number").first()
    return [] if succeeded is None else [result_folder(maker.pk, succeeded.pk)]


def _dataset(reader: Job, reference: Reference) -> dict[Path, str]:
    own = {"pk": reference.id, "organization_id": reader.organization_id}
    if reference.kind == "dataset":
        datasets = Dataset.unscoped.filter(**own)
    else:
        datasets = Dataset.unscoped.filter(organization_id=reader.organization_id, files__pk=reference.id)
    return {dataset_folder(dataset.pk): dataset.name for dataset in datasets}
