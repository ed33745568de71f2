"""What a result begins with, and everything of a run or a project in one archive."""

from __future__ import annotations

import hashlib
import io
import os
import re
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from cryocloud import jobs
from cryocloud.web.data import sample
from cryocloud.web.data.models import Dataset
from cryocloud.web.organizations.models import Role
from cryocloud.web.projects.models import Project
from cryocloud.web.results.files import job_folder
from cryocloud.web.results.models import Artifact
from cryocloud.web.results.tasks import make_previews
from cryocloud.web.results.viewers import PlotLink
from cryocloud.web.runs.models import Job, Run
from web.results import examples

PICTURES = {
    "aligned", "class_history", "classes", "contact_sheet", "ctf_{stems[row]}", "examples", "mask", "orientations",
    "particles", "picks_{stems[row]}", "projections", "slices", "slices_class{index + 1}", "truth",
    "{Path(names[number]).stem}",
}  # fmt: skip
DRAWN = {
    "agreement", "class_resolution", "contrast", "curation", "defocus_resolution", "directional_fsc",
    "effective_classes", "envelopes", "fsc", "fsc_truth", "guinier", "intensities", "pixel_size", "pose_change",
    "pose_errors", "scores",
}  # fmt: skip


def text(page):
    assert page.status_code == 200
    return page.content.decode()


@pytest.fixture
def previewed(owner, laboratory):
    """The laboratory, whose run ends with a map that has been drawn."""
    job = laboratory.jobs[10]
    examples.write_refine(job_folder(job))
    make_previews.func(job.pk, organization_id=owner.organization.pk)
    return laboratory


def test_a_run_begins_with_its_map_its_resolution_and_what_limits_it(owner, previewed):
    page = text(owner.client.get(f"/runs/{previewed.run.pk}/"))
    order = [
        'id="result"', 'data-island="turning"', ">resolution<", "3.94 Å", "4.00 Å", 'data-chart="fsc"',
        "/look/map/", "map_sharpened.mrc", "What speaks for it", 'id="steps"',
    ]  # fmt: skip
    positions = [page.index(part) for part in order]
    assert positions == sorted(positions)
    assert "/plots/fsc.png/" not in page
    assert page.count("3.94 Å") == 2  # beside the map, and in the list of steps


def test_a_job_with_a_map_begins_with_it_too(owner, previewed):
    page = text(owner.client.get(f"/jobs/{previewed.jobs[10].pk}/"))
    assert page.index('data-island="turning"') < page.index("-112 Å²") < page.index('id="plots"')


def test_without_previews_the_downloads_are_there(owner, laboratory):
    page = text(owner.client.get(f"/runs/{laboratory.run.pk}/"))
    assert "data-island" not in page.split('id="steps"')[0]
    assert "map_sharpened.mrc" in page


def archive(answer):
    assert answer.status_code == 200
    with zipfile.ZipFile(io.BytesIO(b"".join(answer))) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}


@pytest.fixture
def published(owner):
    """Two jobs of one project with real files, one of them a control."""
    first = examples.publish(owner.organization, owner.user, "refine", examples.write_refine)
    second = examples.publish(
        owner.organization, owner.user, "class2d", examples.write_class2d, project=first.project
    )
    Job.unscoped.filter(pk=second.pk).update(control=True)
    return first, Job.unscoped.get(pk=second.pk)


def test_a_project_comes_as_one_archive_with_a_folder_for_each_job(owner, published):
    project = published[0].project
    found = archive(owner.client.get(f"/projects/{project.pk}/download/"))
    folders = {name.split("/")[0] for name in found} - {"SHA256SUMS"}
    assert folders == {f"{published[0].number:03d} refine", f"control {published[1].number:03d} class2d"}
    assert len(found) == 1 + sum(job.artifacts.count() for job in published)
    assert (
        found[f"{published[0].number:03d} refine/map.mrc"]
        == (job_folder(published[0]) / "map.mrc").read_bytes()
    )
    assert archive(owner.api("GET", f"/projects/{project.pk}/archive")).keys() == found.keys()
    assert f'href="/projects/{project.pk}/download/"' in text(owner.client.get(f"/projects/{project.pk}/"))


def test_a_run_comes_as_one_archive(owner, published):
    run = Run.unscoped.create(
        organization=owner.organization, project=published[0].project, number=1, workflow="spa", parameters={},
        inputs={}, created_by_id=owner.user.pk,
    )  # fmt: skip
    assert owner.client.get(f"/runs/{run.pk}/download/").status_code == 404
    assert "/download/" not in text(owner.client.get(f"/runs/{run.pk}/"))
    Job.unscoped.filter(pk=published[0].pk).update(run=run)
    found = archive(owner.client.get(f"/runs/{run.pk}/download/"))
    assert len(found) == 1 + published[0].artifacts.count()
    assert archive(owner.api("GET", f"/runs/{run.pk}/archive")).keys() == found.keys()


def test_an_archive_of_very_many_files_takes_no_row_of_the_job_with_each(owner, published):
    first = published[0]
    numbers = {f"number_{k}": float(k) for k in range(200)}
    Job.unscoped.filter(pk=first.pk).update(metrics=numbers, notes="x" * 20_000)
    attempt = first.attempts.get()
    source = job_folder(first) / "map.mrc"
    made = []
    for number in range(3000):
        os.link(source, source.parent / f"f{number}.bin")
        made.append(
            Artifact(
                organization=owner.organization, job=first, attempt=attempt, path=f"f{number}.bin",
                size_bytes=source.stat().st_size, sha256=hashlib.sha256(source.read_bytes()).hexdigest(),
            )
        )  # fmt: skip
    Artifact.unscoped.bulk_create(made)
    tracemalloc.start()
    answer = owner.client.head(f"/projects/{first.project.pk}/download/")
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert answer.status_code == 200
    # 20 kB of notes with each of them would be 60 MB.
    assert peak_bytes < 25e6


def test_strangers_get_no_archive_and_viewers_do(owner, stranger, make_member, published):
    viewer = make_member(owner.organization, Role.VIEWER, scope="read", name="vera")
    path = f"/projects/{published[0].project.pk}/download/"
    assert stranger.client.get(path).status_code == 404
    assert viewer.client.get(path).status_code == 200


def test_pictures_keep_their_grays_on_a_dark_page():
    """A new plot says here what it is."""
    sources = "\n".join(path.read_text(encoding="utf-8") for path in Path(jobs.__file__).parent.rglob("*.py"))
    named = set(re.findall(r"job\.plots / f?\"([^\"]+)\.png\"", sources))
    assert named == PICTURES | DRAWN
    shown = {name: name.replace("{Path(names[number]).stem}", "mic_0001") for name in named}
    assert {name for name in named if PlotLink(shown[name], "").is_picture} == PICTURES


@pytest.fixture
def sampled(home):
    (home / "sample").mkdir()
    examples.write_micrographs(home / "sample")


def test_one_click_processes_the_sample(owner, sampled):
    assert 'action="/sample-data/run/"' in text(owner.client.get("/dashboard/"))
    answer = owner.client.post("/sample-data/run/")
    run = Run.unscoped.get()
    assert (answer.status_code, answer["Location"]) == (302, f"/runs/{run.pk}/")
    assert run.parameters["particle_diameter_angstrom"] == sample.PARTICLE["particle_diameter_angstrom"]
    assert run.parameters["pixel_size_angstrom"] == sample.PROFILE["pixel_size_angstrom"]
    assert run.inputs == {"micrographs": f"dataset:{Dataset.unscoped.get().pk}"}
    assert run.jobs.count() == 1
    assert owner.client.post("/sample-data/run/")["Location"] == f"/runs/{run.pk}/", (
        "a second click starts nothing"
    )
    assert Project.unscoped.count() == Run.unscoped.count() == 1


def test_before_the_sample_is_made_it_is_not_offered_and_leaves_nothing(owner):
    assert 'action="/sample-data/run/"' not in text(owner.client.get("/dashboard/"))
    answer = owner.client.post("/sample-data/run/", follow=True)
    assert "not made yet" in text(answer)
    assert not Project.unscoped.exists() and not Dataset.unscoped.exists()


def test_a_viewer_starts_nothing(owner, make_member, sampled):
    viewer = make_member(owner.organization, Role.VIEWER, name="vera")
    assert viewer.client.post("/sample-data/run/").status_code == 403
    assert 'action="/sample-data/run/"' not in text(viewer.client.get("/dashboard/"))
