"""Which jobs read a dataset, directly or through the results of others."""

from __future__ import annotations

from cryocloud.web.data.models import Dataset, DatasetFile
from cryocloud.web.data.usage import JobUse
from cryocloud.web.runs.models import Job, Run
from cryocloud.web.runs.references import parse_reference


def jobs_reading(dataset: Dataset, only: set[str] | None = None) -> list[JobUse]:
    """Newest first. Results name the files of their dataset, so a job on results reads the dataset too.

    With ``only``, ids of files: those that read one of these, or the dataset as a whole.
    """
    rows = Job.unscoped.filter(organization_id=dataset.organization_id).order_by("created_at", "pk")
    found: dict[str, JobUse] = {}
    own_files = _Files(dataset, only)
    for job in rows.only("id", "number", "job_type", "state", "inputs").iterator():
        if any(_reads(text, dataset, own_files, found) for text in _texts(job.inputs)):
            label = f"job {job.number} ({job.job_type})"
            found[job.pk] = JobUse(job.pk, label, is_active=job.state not in Job.ENDED)
    runs = Run.unscoped.filter(organization_id=dataset.organization_id, state__in=Run.OPEN)
    waiting = [
        JobUse(run.pk, f"run {run.number} ({run.workflow})", is_active=True)
        for run in runs
        if any(_reads(text, dataset, own_files, found) for text in _texts(run.inputs))
    ]
    return [*waiting, *reversed(found.values())]


class _Files:
    """Ids of the dataset's files, read when the first reference to a file is met."""

    def __init__(self, dataset: Dataset, ids: set[str] | None) -> None:
        self.dataset = dataset
        self.ids = ids

    def __contains__(self, file_id: str) -> bool:
        if self.ids is None:
            files = DatasetFile.with_trash.filter(dataset=self.dataset)
            self.ids = set(files.values_list("pk", flat=True))
        return file_id in self.ids


def _texts(inputs: object) -> list[str]:
    """Every reference in the inputs, whether given alone or in a list."""
    values = inputs.values() if isinstance(inputs, dict) else []
    flat = [one for value in values for one in (value if isinstance(value, list) else [value])]
    return [one for one in flat if isinstance(one, str)]


def _reads(text: str, dataset: Dataset, files: _Files, found: dict[str, JobUse]) -> bool:
    reference = parse_reference(text)
    if reference is None:
        return False
    match reference.kind:
        case "dataset":
            return reference.id == dataset.pk
        case "file":
            return reference.id in files
        case _:
            return reference.id in found
