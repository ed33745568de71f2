"""What holds for every call of the API: credentials, one error shape, limits, its own description."""

import json

import pytest
from django.conf import settings
from django.test import Client

from cryocloud.web.accounts.models import ApiToken
from cryocloud.web.api import api
from cryocloud.web.core.clock import now


def is_error(answer, status):
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/json; charset=utf-8"
    assert set(answer.json()) == {"error", "fields"}
    assert answer.json()["error"]
    return answer.json()


def test_who_am_i_tells_person_token_and_organizations(owner):
    told = owner.api("GET", "/me").json()
    assert told["user"] == {"id": owner.user.id, "name": "ada", "email": "ada@lab.example"}
    assert told["token"]["scope"] == "admin"
    assert [one["id"] for one in told["organizations"]] == [owner.organization.id]
    assert told["organizations"][0]["role"] == "owner"


def test_the_session_of_a_browser_reads_without_a_token(owner):
    told = owner.client.get("/api/v1/me").json()
    assert told["user"]["id"] == owner.user.id
    assert told["token"] is None


@pytest.mark.django_db
@pytest.mark.parametrize("header", ["Bearer cryo_wrong", "Bearer", "Basic eDp5", "cryo_wrong", ""])
def test_without_a_good_credential_nothing_is_told(header):
    is_error(Client().get("/api/v1/me", headers={"Authorization": header}), 401)


@pytest.mark.parametrize("ending", [{"revoked_at": now()}, {"expires_at": now()}])
def test_tokens_that_have_ended_open_nothing(owner, ending):
    ApiToken.objects.update(**ending)
    is_error(owner.api("GET", "/me"), 401)


def test_failed_tokens_are_limited_and_good_ones_pass(owner):
    answers = {
        Client().get("/api/v1/me", headers={"Authorization": f"Bearer cryo_{n}"}).status_code
        for n in range(70)
    }
    assert answers == {401, 429}
    assert owner.api("GET", "/me").status_code == 200


def test_a_session_changes_nothing_without_its_csrf_token(owner):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(owner.user, backend="django.contrib.auth.backends.ModelBackend")
    path = f"/api/v1/organizations/{owner.organization.id}"
    refused = browser.patch(path, {"name": "Taken"}, content_type="application/json")
    assert "CSRF" in is_error(refused, 403)["error"]
    browser.get("/api/v1/reference/")
    token = browser.cookies["csrf"].value
    allowed = browser.patch(
        path, {"name": "Thon lab"}, content_type="application/json", headers={"X-CSRFToken": token}
    )
    assert allowed.status_code == 200
    assert allowed.json()["name"] == "Thon lab"


def test_an_anonymous_change_is_not_a_question_of_csrf(db):
    browser = Client(enforce_csrf_checks=True)
    is_error(browser.patch("/api/v1/organizations/x", {}, content_type="application/json"), 401)


def test_unknown_addresses_are_errors_of_the_same_shape(owner):
    for path in ("/nothing", "/organizations/", "/me/", "/", "/me/x"):
        is_error(owner.api("GET", path), 404)


def test_other_methods_say_which_are_possible(owner):
    answer = owner.api("POST", "/me")
    is_error(answer, 405)
    assert answer["Allow"] == "GET"


@pytest.mark.parametrize(
    "body",
    [b"{", b"[1, 2", pytest.param(b"\xff\xfe", id="not UTF-8"), b"null", b'"text"', b"1e999"],
)
def test_bodies_that_are_no_json_object_are_refused(owner, body):
    answer = Client().generic(
        "PATCH",
        f"/api/v1/organizations/{owner.organization.id}",
        body,
        content_type="application/json",
        headers={"Authorization": f"Bearer {owner.secret}"},
    )
    is_error(answer, 400)


def test_a_huge_body_is_refused_with_the_limit(owner):
    body = json.dumps({"name": "x" * (settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)})
    answer = Client().generic(
        "PATCH",
        f"/api/v1/organizations/{owner.organization.id}",
        body,
        content_type="application/json",
        headers={"Authorization": f"Bearer {owner.secret}"},
    )
    assert "2,500,000" in is_error(answer, 413)["error"]


def test_bad_values_are_named(owner):
    told = is_error(owner.api("GET", "/organizations?limit=many"), 422)
    assert "limit" in told["fields"]


def test_a_breakdown_is_an_error_of_the_same_shape_without_details(owner, monkeypatch):
    def broken(*arguments, **named):
        raise RuntimeError("the secret of the database is 42")

    monkeypatch.setattr("cryocloud.web.api.catalog.job_type_names", broken)
    browser = Client(raise_request_exception=False)
    answer = browser.get("/api/v1/catalog/job-types", headers={"Authorization": f"Bearer {owner.secret}"})
    assert "42" not in str(is_error(answer, 500))


def test_answers_are_kept_by_no_cache(owner):
    assert owner.api("GET", "/me")["Cache-Control"] == "no-store"


def test_every_operation_declares_its_name_its_errors_and_a_credential():
    document = api.get_openapi_schema()
    operations = [o for methods in document["paths"].values() for o in methods.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    for operation in operations:
        assert operation["operationId"].islower(), operation["operationId"]
        assert "_api_" not in operation["operationId"], operation["operationId"]
        assert {"400", "401", "403", "404", "409", "422", "429"} <= set(map(str, operation["responses"]))
        assert operation["security"]


def test_the_reference_names_every_operation_and_every_shape(db):
    page = Client().get("/api/v1/reference/").content.decode()
    document = api.get_openapi_schema()
    for path in document["paths"]:
        assert path in page
    for name in document["components"]["schemas"]:
        assert f'id="shape-{name}"' in page


def test_the_description_is_public(db):
    answer = Client().get("/api/v1/openapi.json")
    assert answer.status_code == 200
    assert answer.json()["info"]["title"] == "CryoCloud"
