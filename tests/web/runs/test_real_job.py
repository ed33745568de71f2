"""A real job type on uploaded files: what it writes stays true where the platform puts it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import starfile

from cryocloud.web.core.places import attempt_folder, dataset_folder, result_folder
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Job
from cryocloud.web.runs.services import create_job
from platform_orders import OPTICS, make_dataset


def micrograph(path: Path, seed: int) -> bytes:
    with mrcfile.new(path) as file:
        file.set_data(np.random.default_rng(seed).normal(size=(64, 72)).astype(np.float32))
        file.voxel_size = 1.5
    return path.read_bytes()


def test_micrographs_in_folders_are_found_from_the_published_list(
    owner: Any, project: Project, turn_until: Callable[..., None], tmp_path: Path
) -> None:
    content = {
        name: micrograph(tmp_path / f"{seed}.mrc", seed)
        for seed, name in enumerate(("top.mrc", "day one/a.mrc", "day two/a.MRC"))
    }
    dataset = make_dataset(owner, {**content, "notes.txt": b"blurred"})
    job = create_job(
        actor=owner.actor, project=project, job_type="import_micrographs", parameters=OPTICS,
        inputs={"input": f"dataset:{dataset.pk}"},
    )  # fmt: skip

    def ended() -> bool:
        job.refresh_from_db()
        return job.state in Job.ENDED

    turn_until(ended)
    assert (job.state, job.metrics["micrographs"]) == ("done", 3), job.message
    attempt = job.attempts.get()
    folder = result_folder(job.pk, attempt.pk)
    names = starfile.read(folder / "micrographs.star")["micrographs"]["rlnMicrographName"]
    found = {(folder / name).resolve() for name in names}
    assert found == {(dataset_folder(dataset.pk) / name).resolve() for name in content}
    assert all(path.is_file() for path in found)
    assert not (attempt_folder(attempt.pk) / "inputs").exists()


def test_copies_and_doubts_are_told_on_the_pages(
    owner: Any, project: Project, turn_until: Callable[..., None], tmp_path: Path
) -> None:
    first, second = (micrograph(tmp_path / f"{seed}.mrc", seed) for seed in range(2))
    dataset = make_dataset(owner, {"a.mrc": first, "again.mrc": first, "b.mrc": second})
    job = create_job(
        actor=owner.actor, project=project, job_type="import_micrographs",
        parameters=OPTICS | {"pixel_size_angstrom": 3.0}, inputs={"input": f"dataset:{dataset.pk}"},
    )  # fmt: skip

    def ended() -> bool:
        job.refresh_from_db()
        return job.state in Job.ENDED

    turn_until(ended)
    assert (job.state, job.metrics["micrographs"], job.exceptions) == ("exceptions", 2, 1), job.message
    pixel_size, copies = job.warnings
    assert "(a.mrc: 1.5 Å); 3 Å is used" in pixel_size and "again.mrc (a.mrc)" in copies
    page = owner.client.get(f"/jobs/{job.pk}/").content.decode()
    assert "3 Å is used" in page.split("Look and download")[0]
    assert "Session 1/again.mrc" in page and "has the same pixels as Session 1/a.mrc; used once" in page
