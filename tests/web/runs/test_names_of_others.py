"""A list that names another organization's micrographs, through uploads, order, scheduler, walls and publication."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

from cryocloud.web.core.places import dataset_folder, result_folder
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.log import TAIL_BYTES_MAX, log_tail
from cryocloud.web.runs.models import Job
from cryocloud.web.runs.services import create_job
from outside_world import SECRET, make_world, opened_files, traces_of_the_secret
from platform_orders import OPTICS, make_dataset

LIST = """data_optics
loop_
_rlnOpticsGroup
_rlnOpticsGroupName
_rlnMicrographPixelSize
1 opticsGroup1 1.5

data_micrographs
loop_
_rlnMicrographName
_rlnOpticsGroup
"""


@pytest.mark.parametrize("way", ["relative", pytest.param("absolute", marks=pytest.mark.slow)])
def test_rows_that_name_files_of_others_are_set_aside(
    owner: Any, stranger: Any, project: Project, turn_until: Callable[..., None], tmp_path: Path, way: str
) -> None:
    secret = make_world(tmp_path / "made").other / f"{SECRET}.mrc"
    foreign = make_dataset(stranger, {"secret.mrc": secret.read_bytes()})
    target = dataset_folder(foreign.pk) / "secret.mrc"
    names = {
        "absolute": [str(target), str(target.with_name("absent.mrc"))],
        "relative": [f"../../{foreign.pk}/files/{name}.mrc" for name in ("secret", "absent")],
    }[way]
    rows = "".join(f"{name} 1\n" for name in ["good.mrc", *names])
    with mrcfile.new(tmp_path / "good.mrc") as file:
        file.set_data(np.random.default_rng(0).normal(size=(64, 72)).astype(np.float32))
    good = (tmp_path / "good.mrc").read_bytes()
    own = make_dataset(owner, {"good.mrc": good, "list.star": (LIST + rows).encode()})
    job = create_job(
        actor=owner.actor, project=project, job_type="import_micrographs", parameters=OPTICS,
        inputs={"input": f"file:{own.files.get(path='list.star').pk}"},
    )  # fmt: skip

    def ended() -> bool:
        job.refresh_from_db()
        return job.state in Job.ENDED

    with opened_files(target.parent) as opened:
        turn_until(ended)
        assert opened() == []
    assert (job.state, job.metrics["micrographs"], job.metrics["quarantined"]) == ("exceptions", 1, 2), (
        job.message
    )
    folder = result_folder(job.pk, job.attempts.get().pk)
    told = (folder / "exceptions.csv").read_text().splitlines()[1:]
    for row, (line, name) in enumerate(zip(told, names, strict=True), 2):
        assert line.startswith(f'{name},"_rlnMicrographName in row {row} names a file outside the inputs')
    texts = [job.message, log_tail(job, TAIL_BYTES_MAX), json.dumps(job.metrics)]
    assert traces_of_the_secret([folder], texts) == []
