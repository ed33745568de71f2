"""Drafts of edits: saved for one person, never overwritten unseen, and turned into jobs."""

from __future__ import annotations

import json

import pytest

from cryocloud.web.audit.models import AuditEvent
from cryocloud.web.edits.models import Draft, KeptEdits
from cryocloud.web.organizations.models import Role
from cryocloud.web.projects.models import Project
from cryocloud.web.results.files import preview_folder_of
from cryocloud.web.runs.models import Job
from cryocloud.web.runs.references import path_of
from web.pages.laboratory import seed_laboratory

PICKED = {"micrographs": {"mic_1.mrc": {"added": [[10.5, 20.25]], "erased": [[30, 40]]}}}


@pytest.fixture
def laboratory(owner, home):
    return seed_laboratory(owner)


@pytest.fixture
def pick(laboratory):
    return laboratory.jobs[3]


def post(member, address, body):
    text = body if isinstance(body, str) else json.dumps(body)
    answer = member.client.post(address, text, content_type="application/json")
    return answer.status_code, json.loads(answer.content)


def save(member, job, version, edits=PICKED, kind="picks", **settings):
    content = {"edits": edits, "settings": settings}
    return post(member, f"/jobs/{job.pk}/drafts/{kind}/", {"version": version, "content": content})


def read(member, job, kind="picks"):
    return json.loads(member.client.get(f"/jobs/{job.pk}/drafts/{kind}/").content)


def use(member, job, kind="picks", **sent):
    return post(member, f"/jobs/{job.pk}/drafts/{kind}/use/", sent)


def test_a_draft_is_there_again_for_the_person_who_drew_it_and_for_nobody_else(owner, pick, make_member):
    assert read(owner, pick)["version"] == 0
    assert save(owner, pick, 0, score_min=0.25) == (200, {"version": 1})
    told = read(owner, pick)
    assert told["content"]["edits"]["micrographs"]["mic_1.mrc"]["added"] == [[10.5, 20.25]]
    assert told["content"]["settings"] == {"score_min": 0.25}
    colleague = make_member(owner.organization, Role.EDITOR, name="emil")
    assert read(colleague, pick)["version"] == 0


def test_a_second_tab_is_told_and_nothing_is_overwritten_unseen(owner, pick):
    save(owner, pick, 0)
    status, told = save(owner, pick, 0, {"micrographs": {}})
    assert (status, told["version"]) == (409, 1)
    assert "another tab" in told["message"]
    assert told["content"]["edits"]["micrographs"]["mic_1.mrc"]["erased"] == [[30, 40]]
    assert save(owner, pick, 1, {"micrographs": {}}) == (200, {"version": 2})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"version": 0, "content": {"edits": {"micrographs": {"a": {"added": [[NaN, 1]]}}}}}', "NaN is no"),
        ({"version": 0, "content": {"edits": {"micrographs": {"a": {"added": [[-9, 1]]}}}}}, "added 0 0 -9"),
        ({"version": 0, "content": {"edits": {"picks": []}}}, "“picks” is nothing"),
        ({"version": 0, "content": {"settings": {"a": [1]}}}, "no plain value"),
        ('{"version": 0, "content": {"settings": {"a": 1e999}}}', "no plain value"),
        ('{"version": 0, "content": {"settings": {"a": %s}}}' % ("9" * 400), "no plain value"),
        ({"version": 0, "content": {"settings": {"a": "\ud800"}}}, "no plain value"),
        ({"version": 0, "content": {"settings": {"a": "\0"}}}, "no plain value"),
        ({"version": 0, "content": {"settings": {"\ud800": 1}}}, "name of a setting"),
        ({"version": 0, "content": {"settings": {"a\0": 1}}}, "name of a setting"),
        ({"version": 0, "content": {"edits": {"micrographs": {"a\0": {}}}}}, "NUL"),
        ({"version": 0, "content": {"edits": {"micrographs": {"a\ud800": {}}}}}, "micrographs"),
        ({"version": 0, "content": {"edits": {"micrographs": {"a": {"added": [[1.5, 2.5]] * 170_000}}}}}, "2 MB"),
        ({"version": "1", "content": {}}, "“version”"),
        ({"version": 0, "content": []}, "nothing else"),
        ("[]", "no JSON object"),
        ("{", "no JSON"),
    ],
)  # fmt: skip
def test_drafts_that_cannot_be_are_refused_with_the_reason(owner, pick, body, words):
    status, told = post(owner, f"/jobs/{pick.pk}/drafts/picks/", body)
    assert status == 422
    assert words in told["message"]
    assert Draft.unscoped.count() == 0


def test_nobody_else_reaches_a_draft(owner, pick, make_member, stranger):
    save(owner, pick, 0)
    address = f"/jobs/{pick.pk}/drafts/picks/"
    assert stranger.client.get(address).status_code == 404
    assert stranger.client.post(address, "{}", content_type="application/json").status_code == 404
    assert stranger.client.post(f"{address}use/", "{}", content_type="application/json").status_code == 404
    viewer = make_member(owner.organization, Role.VIEWER, name="vera")
    assert viewer.client.post(address, "{}", content_type="application/json").status_code == 403
    assert owner.client.get(f"/jobs/{pick.pk}/drafts/molecules/").status_code == 404


def test_edited_picks_are_ordered_from_the_picks_and_their_micrographs(owner, laboratory, pick, tmp_path):
    save(owner, pick, 0)
    status, told = use(owner, pick, parameters={"particle_diameter_angstrom": 125, "score_min": 0.3})
    assert status == 200
    made = Job.unscoped.get(pk=told["url"].split("/")[2])
    kept = KeptEdits.unscoped.get()
    curated = laboratory.jobs[2]
    assert made.job_type == "edit_picks"
    assert made.inputs == {
        "micrographs": f"job:{curated.pk}/micrographs.star",
        "picks": f"job:{pick.pk}/picks.star",
        "edits": f"edits:{kept.pk}",
    }
    assert (made.parameters["score_min"], made.parameters["particle_diameter_angstrom"]) == (0.3, 125.0)
    written = path_of(made.project, made.inputs["edits"], tmp_path / "inputs" / "edits")
    assert json.loads(written.read_text())["micrographs"]["mic_1.mrc"]["added"] == [[10.5, 20.25]]
    assert AuditEvent.objects.get(verb="edits.kept").detail["summary"] == "1 added, 1 erased"
    assert "by hand: 1 added, 1 erased" in owner.client.get(told["url"]).content.decode()
    # The order stands though the draft goes on, and can be cloned in the form.
    save(owner, pick, 1, {"micrographs": {}})
    assert KeptEdits.unscoped.get().content["micrographs"]
    form = owner.client.get(f"/projects/{made.project_id}/jobs/edit_picks/new/?clone={made.pk}")
    assert f"edits:{kept.pk}" in form.content.decode()


def test_a_threshold_alone_needs_no_edits_and_picking_from_nothing_does(owner, laboratory, pick):
    status, told = use(owner, pick, parameters={"particle_diameter_angstrom": 125, "score_min": 0.3})
    assert status == 200
    assert "edits" not in Job.unscoped.get(pk=told["url"].split("/")[2]).inputs
    status, told = use(owner, laboratory.jobs[1], parameters={"particle_diameter_angstrom": 125})
    assert (status, told["message"]) == (422, "No particle has been picked yet. Tap on some of them first.")


def test_a_wrong_parameter_is_told_beside_its_field_and_nothing_is_kept(owner, pick):
    save(owner, pick, 0)
    status, told = use(owner, pick, parameters={"particle_diameter_angstrom": 3})
    assert status == 422
    assert "greater than 20" in told["fields"]["particle_diameter_angstrom"]
    assert KeptEdits.unscoped.count() == 0


def test_a_curated_set_and_a_mask_are_ordered(owner, laboratory):
    ctf, refined = laboratory.jobs[1], laboratory.jobs[9]
    save(owner, ctf, 0, {"accepted": ["mic_1.mrc"], "rejected": []}, kind="micrographs")
    limits = {"limits": "given", "defocus_max_angstrom": 20000, "fit_resolution_max_angstrom": 6}
    status, told = use(owner, ctf, kind="micrographs", parameters=limits)
    made = Job.unscoped.get(pk=told["url"].split("/")[2])
    assert (status, made.job_type, made.parameters["defocus_max_angstrom"]) == (200, "curate", 20000.0)
    assert made.inputs["input"] == f"job:{ctf.pk}/micrographs.star"
    ball = {"kind": "ball", "center_xyz_angstrom": [1, 2, 3], "radius_angstrom": 9}
    save(owner, refined, 0, {"solids": [ball]}, kind="mask")
    status, told = use(owner, refined, kind="mask", file="map.mrc", parameters={"threshold": 0.1})
    made = Job.unscoped.get(pk=told["url"].split("/")[2])
    assert (status, made.job_type, made.inputs["input"]) == (200, "make_mask", f"job:{refined.pk}/map.mrc")
    status, told = use(owner, refined, kind="mask", file="../secret", parameters={})
    assert status == 422


def test_edits_of_another_project_or_organization_cannot_be_given(owner, pick, make_member):
    save(owner, pick, 0)
    use(owner, pick, parameters={"particle_diameter_angstrom": 125})
    kept = KeptEdits.unscoped.get()
    elsewhere = Project.unscoped.create(
        organization=owner.organization, name="Other", created_by_id=owner.user.pk
    )
    own = make_member(name="eve")
    theirs = Project.unscoped.create(organization=own.organization, name="Eve", created_by_id=own.user.pk)
    for member, project, status in ((owner, elsewhere, 422), (own, theirs, 404)):
        body = {
            "job_type": "edit_picks",
            "parameters": {"particle_diameter_angstrom": 125},
            "inputs": {"micrographs": f"job:{pick.pk}/picks.star", "edits": f"edits:{kept.pk}"},
        }
        answer = member.api("POST", f"/projects/{project.pk}/jobs", body)
        assert answer.status_code == status, answer.content


def test_editors_are_offered_to_those_who_may_edit(owner, laboratory, pick, make_member):
    ctf, curated, refined = laboratory.jobs[1], laboratory.jobs[2], laboratory.jobs[9]
    index = {"viewers": ["micrographs", "curation", "mask"], "micrographs": {"all": 0, "shown": []}}
    for job in (ctf, curated, pick, refined):
        folder = preview_folder_of(job)
        folder.mkdir(parents=True)
        (folder / "index.json").write_text(json.dumps(index))
    viewer = make_member(owner.organization, Role.VIEWER, name="vera")
    for job, look, kind in (
        (pick, "micrographs", "picks"),
        (ctf, "curation", "micrographs"),
        (refined, "mask", "mask"),
    ):
        address, offer = f"/jobs/{job.pk}/look/{look}/", f'data-draft="/jobs/{job.pk}/drafts/{kind}/"'
        assert offer in owner.client.get(address).content.decode()
        assert "data-draft" not in viewer.client.get(address).content.decode()
    page = owner.client.get(f"/jobs/{curated.pk}/look/curation/").content.decode()
    assert f'/jobs/{ctf.pk}/look/curation/">the list that it began with' in page
