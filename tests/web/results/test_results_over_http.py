"""Results over pages and API: files, archives, plots, previews, viewers; members only, and strangers learn nothing."""

from __future__ import annotations

import hashlib
import io
import json
import re
import warnings
import zipfile

import pytest
from django.test import Client

from cryocloud.web.core.places import attempt_folder
from cryocloud.web.organizations.models import Role
from cryocloud.web.results.files import job_folder, preview_folder_of
from cryocloud.web.results.viewers import plots_of
from cryocloud.web.runs.models import Attempt, Job
from web.results import examples

MICROGRAPH = {"number": 1, "name": "mic.mrc", "file": "micrograph_0001.json", "picks": 1}
ORIENTATIONS = {"heights": 24, "azimuths": 48, "particles": 3, "symmetry": "C1", "copies": 1, "most": 2}
INDEX = {
    "viewers": ["map", "slices", "curves", "orientations", "classes", "micrographs"],
    "problems": [{"file": "half1.mrc", "reason": "is <b>truncated</b>"}],
    "maps": [
        {
            "name": "map",
            "title": "Map",
            "file": "map.mrc",
            "true_shape_zyx": [9, 9, 9],
            "shape_zyx": [9, 9, 9],
        }
    ],
    "charts": [
        {
            "name": "fsc",
            "title": "Fourier shell correlation",
            "y_label": "Correlation",
            "x": [0.0, 0.1, 0.2, 0.3],
            "x_kind": "frequency",
            "x_label": "Resolution (Å)",
            "thresholds": [0.143, 0.5],
            "series": [{"name": "masked", "y": [1.0, 0.9, 0.1, None]}],
        }
    ],
    "orientations": ORIENTATIONS | {"counts": [1, 2] + [0] * 1150, "empty_share": 1150 / 1152},
    "classes": {
        "file": "classes.png",
        "all": 1,
        "rows": [{"number": 1, "particles": 31, "score": 0.5, "share": 1}],
    },
    "micrographs": {"all": 1, "shown": [MICROGRAPH]},
}


@pytest.fixture
def job(owner):
    job = examples.publish(owner.organization, owner.user, "refine", examples.write_refine)
    folder = preview_folder_of(job)
    folder.mkdir()
    (folder / "index.json").write_text(json.dumps(INDEX))
    (folder / "map.mrc").write_bytes(b"mrc")
    (folder / "classes.png").write_bytes(b"png")
    return job


def body(response):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return b"".join(response)


def addresses(job):
    artifact = job.artifacts.first()
    look = [f"/jobs/{job.pk}/look/{viewer}/" for viewer in INDEX["viewers"]]
    api = [
        f"/jobs/{job.pk}/{rest}" for rest in ("artifacts", "archive", "plots", "plots/fsc.png", "previews")
    ]
    api += [
        f"/jobs/{job.pk}/previews/map.mrc",
        f"/artifacts/{artifact.pk}",
        f"/artifacts/{artifact.pk}/content",
    ]
    pages = [
        *look,
        f"/jobs/{job.pk}/files/",
        f"/jobs/{job.pk}/files/download/",
        f"/jobs/{job.pk}/plots/fsc.png/",
        f"/jobs/{job.pk}/previews/index.json",
        f"/artifacts/{artifact.pk}/download/",
    ]
    return pages, api


def test_members_of_every_role_get_everything(owner, make_member, job):
    viewer = make_member(owner.organization, Role.VIEWER, scope="read", name="vera")
    pages, api = addresses(job)
    assert {page: viewer.client.get(page).status_code for page in pages} == dict.fromkeys(pages, 200)
    assert {path: viewer.api("GET", path).status_code for path in api} == dict.fromkeys(api, 200)


def test_strangers_get_the_answer_of_what_does_not_exist(stranger, job):
    pages, api = addresses(job)
    for page in pages:
        missing = re.sub(r"/[a-z2-9]{26}/", f"/{'a' * 26}/", page)
        there, nowhere = stranger.client.get(page), stranger.client.get(missing)
        assert there.status_code == nowhere.status_code == 404, page
    for path in api:
        missing = re.sub(r"/[a-z2-9]{26}", f"/{'a' * 26}", path)
        there, nowhere = stranger.api("GET", path), stranger.api("GET", missing)
        assert there.status_code == nowhere.status_code == 404, path
        assert there.json() == nowhere.json()
    chosen = stranger.client.post(f"/jobs/{job.pk}/files/download/", {"file": [job.artifacts.first().pk]})
    assert chosen.status_code == 404


def test_who_has_not_logged_in_gets_nothing(job):
    pages, api = addresses(job)
    for page in pages:
        assert Client().get(page).status_code == 302
    for path in api:
        assert Client().get(f"/api/v1{path}").status_code == 401


def test_the_files_page_names_every_file_with_size_checksum_and_meaning(owner, job):
    text = owner.client.get(f"/jobs/{job.pk}/files/").content.decode()
    for artifact in job.artifacts.all():
        assert artifact.path in text
        assert artifact.sha256 in text
    assert "half map, unfiltered" in text
    assert text.index("map.mrc") < text.index("plots/fsc.png")


def test_an_artifact_comes_whole_and_in_ranges_over_both_doors(owner, job):
    artifact = job.artifacts.get(path="map.mrc")
    content = (job_folder(job) / "map.mrc").read_bytes()
    page = owner.client.get(f"/artifacts/{artifact.pk}/download/")
    assert body(page) == content
    assert page["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    assert page["Content-Disposition"] == 'attachment; filename="map.mrc"'
    part = owner.api("GET", f"/artifacts/{artifact.pk}/content", Range="bytes=1000-1999")
    assert part.status_code == 206
    assert body(part) == content[1000:2000]


def test_the_archive_of_a_job_and_of_a_choice(owner, job):
    whole = owner.client.get(f"/jobs/{job.pk}/files/download/")
    with zipfile.ZipFile(io.BytesIO(body(whole))) as archive:
        assert archive.testzip() is None
        assert set(archive.namelist()) == {row.path for row in job.artifacts.all()} | {"SHA256SUMS"}
    wanted = [job.artifacts.get(path=path).pk for path in ("map.mrc", "plots/fsc.png")]
    chosen = owner.client.post(f"/jobs/{job.pk}/files/download/", {"file": wanted})
    with zipfile.ZipFile(io.BytesIO(body(chosen))) as archive:
        assert set(archive.namelist()) == {"map.mrc", "plots/fsc.png", "SHA256SUMS"}
    assert "Apoferritin" in chosen["Content-Disposition"]


def test_a_choice_of_nothing_or_of_files_of_others_is_refused(owner, stranger, job):
    foreign = examples.publish(stranger.organization, stranger.user, "refine", examples.write_refine)
    for wanted in ([], [foreign.artifacts.first().pk], ["../../etc/passwd"]):
        refused = owner.client.post(f"/jobs/{job.pk}/files/download/", {"file": wanted})
        assert refused.status_code == 422
        assert "Tick the files" in refused.content.decode()


def test_a_choice_needs_the_form_s_own_token(owner, job):
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(owner.user, backend="django.contrib.auth.backends.ModelBackend")
    assert careful.post(f"/jobs/{job.pk}/files/download/", {"file": ["x"]}).status_code == 403


def test_an_artifact_whose_file_is_gone_is_not_found(owner, job):
    artifact = job.artifacts.get(path="map.mrc")
    (job_folder(job) / "map.mrc").unlink()
    assert owner.client.get(f"/artifacts/{artifact.pk}/download/").status_code == 404
    assert owner.client.get(f"/jobs/{job.pk}/files/download/").status_code == 404


@pytest.mark.parametrize(
    "name", ["..%2Fjob.json", "%2Fetc%2Fpasswd", "fsc.png%00.png", "missing.png", "..", "link.png"]
)
def test_only_plots_are_served_as_plots(owner, job, name):
    (job_folder(job) / "plots" / "link.png").symlink_to(job_folder(job) / "job.json")
    assert owner.client.get(f"/jobs/{job.pk}/plots/{name}/").status_code == 404


def test_plots_are_pictures_that_run_nothing(owner, job):
    (link,) = plots_of(job)
    assert (link.name, link.url) == ("fsc", f"/jobs/{job.pk}/plots/fsc.png/")
    response = owner.client.get(link.url)
    assert response["Content-Type"] == "image/png"
    assert response["Content-Disposition"].startswith("inline")
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"].startswith("default-src 'none'; sandbox")
    assert body(response).startswith(b"\x89PNG")


def test_plots_with_strange_names_are_linked_as_they_are_called(owner, job):
    (job_folder(job) / "plots" / "picks_Größe 50% #1.png").write_bytes(b"\x89PNG")
    link = next(link for link in plots_of(job) if "Größe" in link.name)
    assert owner.client.get(link.url).status_code == 200
    assert owner.client.get(link.url.replace("/jobs/", "/api/v1/jobs/").rstrip("/")).status_code == 200


def test_a_running_job_shows_the_plots_it_has_drawn(owner, job):
    running = Job.unscoped.create(
        organization=owner.organization, project=job.project, number=99, job_type="refine", version=1,
        parameters={}, inputs={}, state="running", created_by_id=owner.user.pk,
    )  # fmt: skip
    assert plots_of(running) == []
    attempt = Attempt.unscoped.create(
        organization=owner.organization, job=running, number=1, state=Attempt.State.RUNNING, fence=1
    )
    out = attempt_folder(attempt.pk) / "out"
    out.mkdir(parents=True)
    examples.plot(out, "fsc.png")
    assert owner.client.get(plots_of(running)[0].url).status_code == 200
    text = owner.client.get(f"/jobs/{running.pk}/look/map/").content.decode()
    assert "before the job has ended" in text
    assert "Files appear here" in owner.client.get(f"/jobs/{running.pk}/files/").content.decode()


@pytest.mark.parametrize(
    "name", ["../job.json", "..%2Findex.json", "index.html", "INDEX.json", ".previews", "x" * 99 + ".json"]
)
def test_only_previews_are_served_as_previews(owner, job, name):
    assert owner.client.get(f"/jobs/{job.pk}/previews/{name}").status_code == 404
    assert owner.api("GET", f"/jobs/{job.pk}/previews/{name}").status_code == 404


def test_every_viewer_has_its_numbers_as_a_table_and_no_inline_script_or_style(owner, job):
    expected = {
        "map": "9 × 9 × 9",
        "slices": "9 × 9 × 9",
        "curves": "5.14 Å",
        "orientations": "71–90",
        "classes": "31",
        "micrographs": "mic.mrc",
    }
    for viewer, text in expected.items():
        page = owner.client.get(f"/jobs/{job.pk}/look/{viewer}/").content.decode()
        table = "".join(re.findall(r"<table.*?</table>", page, re.DOTALL))
        assert text in table, viewer
        assert "is &lt;b&gt;truncated&lt;/b&gt;" in page
        assert not re.search(r"<script(?![^>]*src=)|\sstyle=|<style|\son\w+=", page)
        assert f'data-previews="/jobs/{job.pk}/previews/"' in page


def test_classes_show_their_history(owner, job):
    address = f"/jobs/{job.pk}/look/classes/"
    assert "class_history" not in owner.client.get(address).content.decode()
    examples.plot(job_folder(job), "class_history.png")
    assert f'src="/jobs/{job.pk}/plots/class_history.png/"' in owner.client.get(address).content.decode()


def test_a_viewer_says_when_there_is_nothing_yet_or_nothing_at_all(owner, job):
    (preview_folder_of(job) / "index.json").write_text(json.dumps({"viewers": ["curves"], "charts": []}))
    assert "left nothing that can be shown" in owner.client.get(f"/jobs/{job.pk}/look/map/").content.decode()
    (preview_folder_of(job) / "index.json").unlink()
    assert "being prepared" in owner.client.get(f"/jobs/{job.pk}/look/map/").content.decode()
    (preview_folder_of(job) / "index.json").write_text("{broken")
    assert owner.client.get(f"/jobs/{job.pk}/look/map/").status_code == 200
    assert owner.client.get(f"/jobs/{job.pk}/look/unknown/").status_code == 404


def test_the_api_tells_what_a_job_left(owner, job):
    first = owner.api("GET", f"/jobs/{job.pk}/artifacts?limit=3").json()
    rest = owner.api("GET", f"/jobs/{job.pk}/artifacts?after={first['next']}").json()
    listed = {row["path"]: row for row in first["items"] + rest["items"]}
    assert set(listed) == {row.path for row in job.artifacts.all()}
    facts = owner.api("GET", f"/artifacts/{listed['map.mrc']['id']}").json()
    assert facts == listed["map.mrc"]
    assert facts["meaning"] == "the density map"
    content = body(owner.api("GET", facts["download"].removeprefix("/api/v1")))
    assert hashlib.sha256(content).hexdigest() == facts["sha256"]
    assert owner.api("GET", f"/jobs/{job.pk}/previews").json()["index"] == INDEX
    plots = owner.api("GET", f"/jobs/{job.pk}/plots").json()["items"]
    assert body(owner.api("GET", plots[0]["download"].removeprefix("/api/v1"))).startswith(b"\x89PNG")
