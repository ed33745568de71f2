"""Projects with several runs whose jobs left real files, all with their checksums."""

import hashlib
import sys
from datetime import timedelta

import pytest

from cryocloud.web.accounts.models import ApiToken
from cryocloud.web.core import clock
from cryocloud.web.core.places import attempt_folder, result_folder
from cryocloud.web.metering.models import UsageRecord
from cryocloud.web.projects.models import Project
from cryocloud.web.results.files import preview_folder_of
from cryocloud.web.results.models import Artifact
from cryocloud.web.runs.models import Attempt, Job, Run

FILES = ("micrographs.star", "particles.mrcs", "plots/fit.png", "job.json")
WALL_S = 120.0


def make_project(member, *, runs=5, jobs=10, name="Apoferritin"):
    """Each job of a run is made from the one before it."""
    own = {"organization": member.organization, "created_by_id": member.user.pk}
    project = Project.unscoped.create(**own, name=name)
    for number in range(1, runs + 1):
        run = Run.unscoped.create(
            **own, project=project, number=number, workflow="spa", parameters={}, inputs={}, state="done",
            key_numbers={"resolution_angstrom": 3.9},
        )  # fmt: skip
        before = None
        for _ in range(jobs):
            before = make_job(member, project, run=run, reads=before)
    return project


def make_job(member, project, *, run=None, reads=None, state=Job.State.DONE, job_type="ctf"):
    job = Job.unscoped.create(
        organization=member.organization, created_by_id=member.user.pk, project=project, run=run,
        number=Job.with_trash.filter(project=project).count() + 1, job_type=job_type, version=1, parameters={},
        inputs={"input": f"job:{reads.pk}/micrographs.star"} if reads else {}, state=state,
        metrics={"micrographs": 4}, started_at=clock.now(), finished_at=clock.now(),
    )  # fmt: skip
    if state in Job.SUCCEEDED:
        _leave_results(member, job)
    return job


def _leave_results(member, job):
    attempt = Attempt.unscoped.create(
        organization=member.organization, job=job, number=1, fence=1, state=Attempt.State.SUCCEEDED,
        wall_s=WALL_S, cpu_s=2 * WALL_S,
    )  # fmt: skip
    UsageRecord.unscoped.create(
        organization=member.organization, attempt_id=attempt.pk, job_type=job.job_type, wall_s=WALL_S,
        cpu_s=2 * WALL_S, peak_memory_bytes=1, billed_s=int(WALL_S), ended="succeeded", started_at=clock.now(),
        finished_at=clock.now(),
    )  # fmt: skip
    folder = result_folder(job.pk, attempt.pk)
    for name in FILES:
        content = f"{name} of job {job.number}: ".encode() * 100
        write(folder / name, content)
        (folder / name).chmod(0o440)
        Artifact.unscoped.create(
            organization=member.organization, job=job, attempt=attempt, path=name, size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )  # fmt: skip
    write(attempt_folder(attempt.pk) / "out" / "log.txt", b"fitted")
    write(preview_folder_of(job) / "index.json", b'{"viewers": ["curves"], "charts": []}')
    write(preview_folder_of(job) / "map.png", b"picture")


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def bytes_below(home):
    """Of all that the platform keeps for people; lists of removals hold ids only."""
    kept = ("results", "attempts", "previews", "blobs", "datasets")
    return sum(path.stat().st_size for name in kept for path in (home / name).rglob("*") if path.is_file())


def hashes_below(home):
    files = {path for name in ("results", "attempts") for path in (home / name).rglob("*") if path.is_file()}
    return {str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def later(monkeypatch):
    """``later(days=8)`` sets the clock forward, everywhere."""

    def forward(**distance):
        moment = clock.now() + timedelta(**distance)
        ApiToken.objects.update(expires_at=moment + timedelta(days=1))
        for module in list(sys.modules.values()):
            if getattr(module, "__name__", "").startswith("cryocloud.web") and hasattr(module, "now"):
                monkeypatch.setattr(module, "now", lambda: moment)

    return forward
