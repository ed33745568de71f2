"""Projects, datasets and job types that do little, for tests that order jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryocloud.web.core.places import dataset_folder
from cryocloud.web.data.models import Dataset, DatasetFile, StoredObject
from cryocloud.web.projects.models import Project

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
    dataset = Dataset.unscoped.create(
        organization=member.organization, name="Session 1", created_by_id=member.user.pk
    )
    for number, (path, content) in enumerate((files or {}).items()):
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
