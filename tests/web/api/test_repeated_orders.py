"""``Idempotency-Key``: an order that comes again has one effect, whatever happened to its answer."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest
from django.db import connection

from cryocloud.web.accounts.answers import forget_old_answers
from cryocloud.web.accounts.models import KeptAnswer
from cryocloud.web.api import api, once
from cryocloud.web.core.sealed import seal
from cryocloud.web.notices.calls import SEALED_FOR
from cryocloud.web.notices.models import Webhook
from cryocloud.web.organizations.models import Invitation, Role
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Job
from platform_server import serving

KEY = {"Idempotency-Key": "b0c1-order-1"}
JOB = {
    "job_type": "simulate_map",
    "inputs": {"model": "procedural"},
    "parameters": {"pixel_size_angstrom": 2.5},
}


@pytest.fixture
def project(owner):
    order = {"name": "p", "organization_id": owner.organization.id}
    return owner.api("POST", "/projects", order).json()["id"]


@pytest.mark.django_db(transaction=True)
def test_the_same_key_three_times_at_once_makes_one_job(owner, project):
    def order(_):
        try:
            answer = owner.api("POST", f"/projects/{project}/jobs", JOB, **KEY)
            return answer.status_code, answer.content
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(order, range(3)))
    assert {status for status, _ in answers} == {201}
    assert len({content for _, content in answers}) == 1
    assert Job.unscoped.count() == 1


def test_without_a_key_each_order_counts(owner, project):
    for _ in range(2):
        assert owner.api("POST", f"/projects/{project}/jobs", JOB).status_code == 201
    assert Job.unscoped.count() == 2


def test_another_order_under_the_same_key_is_refused_in_plain_words(owner, project):
    owner.api("POST", f"/projects/{project}/jobs", JOB, **KEY)
    others = {
        f"/projects/{project}/jobs": JOB | {"seed": 3},
        "/projects": {"name": "q", "organization_id": owner.organization.id},
    }
    for path, body in others.items():
        answer = owner.api("POST", path, body, **KEY)
        assert answer.status_code == 422 and "belongs to another order" in answer.json()["error"]
    assert Job.unscoped.count() == 1 and Project.unscoped.count() == 1


def test_a_refused_order_leaves_its_key_free(owner, project):
    wrong = JOB | {"job_type": "nothing"}
    assert owner.api("POST", f"/projects/{project}/jobs", wrong, **KEY).status_code >= 400
    assert owner.api("POST", f"/projects/{project}/jobs", JOB, **KEY).status_code == 201


def test_the_keys_of_others_are_their_own(owner, project, make_member):
    other = make_member(owner.organization, Role.EDITOR, name="edda")
    for person in (owner, other):
        assert person.api("POST", f"/projects/{project}/jobs", JOB, **KEY).status_code == 201
    assert Job.unscoped.count() == 2


def test_invitations_datasets_and_retries_too(owner, project):
    order = {"name": "d", "organization_id": owner.organization.id}
    first, second = (owner.api("POST", "/datasets", order, **{"Idempotency-Key": "d1"}) for _ in range(2))
    assert first.json()["id"] == second.json()["id"]
    path, body = (
        f"/organizations/{owner.organization.id}/invitations",
        {"email": "x@lab.example", "role": "viewer"},
    )
    first, second = (owner.api("POST", path, body, **{"Idempotency-Key": "i1"}) for _ in range(2))
    assert first.content == second.content and Invitation.unscoped.count() == 1
    job = owner.api("POST", f"/projects/{project}/jobs", JOB).json()["id"]
    Job.unscoped.update(state="failed")
    first, second = (owner.api("POST", f"/jobs/{job}/retry", **{"Idempotency-Key": "r1"}) for _ in range(2))
    assert first.status_code == second.status_code == 200 and first.content == second.content


def test_a_crash_between_effect_and_answer_leaves_neither(owner, project, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("killed here")

    with monkeypatch.context() as broken:
        broken.setattr("cryocloud.web.api.once.keep_answer", fail)
        with pytest.raises(RuntimeError):
            owner.api("POST", f"/projects/{project}/jobs", JOB, **KEY)
    assert not Job.unscoped.exists()
    assert owner.api("POST", f"/projects/{project}/jobs", JOB, **KEY).status_code == 201
    assert Job.unscoped.count() == 1


DIES = """
import django, os
django.setup()
from cryocloud.web.api import once
once.keep_answer = lambda *_, **__: os.kill(os.getpid(), 9)
"""


@pytest.mark.django_db(transaction=True)
def test_a_killed_server_has_made_no_second_job_after_the_repetition(owner, home):
    order = {"name": "p", "organization_id": owner.organization.id}
    project = owner.api("POST", "/projects", order).json()["id"]
    headers = {"Authorization": f"Bearer {owner.secret}", **KEY}
    database = str(connection.settings_dict["NAME"])
    path = f"/api/v1/projects/{project}/jobs"
    with serving(home, database, prelude=DIES) as dying, pytest.raises(httpx.TransportError):
        httpx.post(dying.address + path, json=JOB, headers=headers, timeout=30)
    assert not Job.unscoped.exists()
    with serving(home, database) as served:
        answers = [httpx.post(served.address + path, json=JOB, headers=headers, timeout=30) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].content == answers[1].content
    assert Job.unscoped.count() == 1


def test_a_key_is_kept_for_a_day(owner, project, monkeypatch):
    owner.api("POST", f"/projects/{project}/jobs", JOB, **KEY)
    KeptAnswer.objects.update(created_at=KeptAnswer.objects.get().created_at - timedelta(hours=25))
    assert owner.api("POST", f"/projects/{project}/jobs", JOB, **KEY).status_code == 201
    assert Job.unscoped.count() == 2
    KeptAnswer.objects.update(created_at=KeptAnswer.objects.get().created_at - timedelta(hours=25))
    forget_old_answers()
    assert not KeptAnswer.objects.exists()


@pytest.mark.parametrize("key", ["", " ", "two words", "x" * 129, "ü"])
def test_what_is_no_key_is_refused(owner, project, key):
    answer = owner.api("POST", f"/projects/{project}/jobs", JOB, **{"Idempotency-Key": key})
    assert answer.status_code == 422 and "Idempotency-Key" in answer.json()["error"]


def test_with_a_role_ends_the_right_to_hear_an_answer_again(owner, project, make_member):
    editor = make_member(owner.organization, Role.EDITOR, name="edda")
    editor.client.get("/dashboard/")
    order = {"content_type": "application/json", "headers": KEY}
    path = "/api/v1/projects"
    body = {"name": "mine", "organization_id": owner.organization.id}
    assert editor.client.post(path, body, **order).status_code == 201
    membership = editor.user.memberships.get()
    owner.client.post(f"/organization/members/{membership.pk}/remove/")
    assert editor.client.post(path, body, **order).status_code == 404


def test_the_description_names_the_header_at_every_post():
    for path, methods in api.get_openapi_schema()["paths"].items():
        for method, operation in methods.items():
            named = [one["name"] for one in operation.get("parameters", [])]
            assert ("Idempotency-Key" in named) == (method == "post"), path


def secret_operations():
    """Operations by POST whose answer has a field for a secret, read from the description of the API."""
    schema = api.get_openapi_schema()
    for path in schema["paths"].values():
        operation = path.get("post", {})
        names = re.findall(r"#/components/schemas/(\w+)", str(operation.get("responses")))
        fields = {
            field for name in names for field in schema["components"]["schemas"][name].get("properties", {})
        }
        if fields & {"secret", "token", "password", "key"}:
            yield operation["operationId"]


def test_every_operation_that_tells_a_secret_is_known_as_such():
    assert set(secret_operations()) == once.TELL_A_SECRET


def test_a_secret_is_told_once_and_not_kept_for_whoever_sends_the_order_again(owner):
    sealed = seal(SEALED_FOR, "whsec_AAAA")
    Webhook.unscoped.create(organization=owner.organization, url="https://1.1.1.1/hook", sealed_secret=sealed)
    path = f"/organizations/{owner.organization.pk}/webhook/secret"
    told = owner.api("POST", path, **KEY).json()["secret"]
    assert told.startswith("whsec_")
    assert "whsec_" not in str(list(KeptAnswer.objects.values()))
    renewed = Webhook.unscoped.get().sealed_secret
    again = owner.api("POST", path, **KEY)
    assert again.status_code == 409 and "told once and not kept" in again.json()["error"]
    assert Webhook.unscoped.get().sealed_secret == renewed, "it has no second effect"
    assert owner.api("POST", path, **{"Idempotency-Key": "another"}).json()["secret"] not in ("", told)
