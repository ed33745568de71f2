"""Projects, datasets and job types that do little, for tests that order jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryocloud.web.core.places import dataset_folder, result_folder
from cryocloud.web.data.models import Dataset, DatasetFile, StoredObject
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Attempt, Job

FAKE_JOB_TYPES = Path(__file__).parent / "compute" / "fake_job_types"
OPTICS = {
    "pixel_size_angstrom": 1.5,
    "voltage_kv": 300,
    "spherical_aberration_mm": 2.7,
    "amplitude_contrast": 0.1,
}


def make_project(member: Any) -> Project:
    return Project.unscoped.create(
        organization=member.organization, name="Apoferritin", created_by_id=member.user.pk
    )


def make_dataset(member: Any, files: dict[str, bytes] | None = None) -> Dataset:
    """A dataset of ``files``, or of one micrograph that nobody has looked into."""
    dataset = Dataset.unscoped.create(
        organization=member.organization, name="Session 1", created_by_id=member.user.pk
    )
    for number, (path, content) in enumerate(({"mic_1.mrc": b""} if files is None else files).items()):
        place = dataset_folder(dataset.pk) / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        stored = StoredObject.unscoped.create(
            organization=member.organization, key=f"{dataset.pk}{number}", size_bytes=len(content), sha256=""
        )
        DatasetFile.unscoped.create(
            organization=member.organization, dataset=dataset, path=path, stored=stored
        )
    return dataset


def finished_job(member: Any, project: Project, job_type: str, files: tuple[str, ...], **changes: Any) -> Job:
    number = Job.unscoped.count() + 1
    values = {"parameters": {}, "inputs": {}, "state": "done"} | changes
    job = Job.unscoped.create(
        organization=member.organization, project=project, number=number, version=1, job_type=job_type,
        created_by_id=member.user.pk, **values,
    )  # fmt: skip
    attempt = Attempt.unscoped.create(
        organization=member.organization, job=job, number=1, fence=1, state="succeeded"
    )
    for name in files:
        path = result_folder(job.pk, attempt.pk) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return job
