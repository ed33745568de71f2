"""Nobody learns whether something of another organization exists, and nobody changes what they may only read.

The addresses come from Django's resolver, from the API's own description and from the applications before Django: a
new route takes part by itself, and one without a seed for its parameters fails.
"""

import json
from contextlib import contextmanager

import pytest
from asgiref.sync import async_to_sync
from django.apps import apps
from django.db import transaction
from django.test import Client

from cryocloud.web import asgi
from cryocloud.web.accounts.models import ApiToken
from cryocloud.web.core.models import TenantRecord
from cryocloud.web.core.secret_words import hash_of
from cryocloud.web.organizations.models import Membership, Organization, Role
from platform_addresses import MISSING, Address, operations, pages
from platform_world import make_world

PUBLIC = {
    "/", "/faq/", "/plans/", "/privacy/", "/privacy/text/", "/cookies/", "/guide/", "/health/live", "/health/ready",
    "/first-admin/<str:secret>/", "/invitations/<str:secret>/", "/welcome/<str:secret>/",
    "/withdraw/", "/withdraw/<str:secret>/",
}  # fmt: skip
# What every member may do with what is their own, whatever their role.
OF_EVERY_MEMBER = {
    "/organization/switch/", "/organization/new/", "/settings/", "/settings/tokens/",
    "/settings/tokens/<str:token_id>/revoke/", "/invitations/<str:secret>/",
    "/notices/read/", "/settings/notices/", "/projects/<str:project_id>/notices/",
    "read_notices", "choose_mails", "choose_for_project",
}  # fmt: skip
# What belongs to one person: colleagues hear of it what strangers hear.
OF_ONE_PERSON = {"read_notice"}
# What asks and changes nothing, though by POST because the question is long.
QUESTIONS = {
    "check_order", "forecast_order", "/projects/<str:project_id>/jobs/<str:job_type>/check/",
    "/jobs/<str:job_id>/files/download/",
    "/projects/<str:project_id>/workflows/<str:workflow>/check/", "/datasets/<str:dataset_id>/archive/",
}  # fmt: skip
BODIES = {
    "rename_organization": {"name": "Other"},
    "change_member_role": {"role": "viewer"},
    "invite_member": {"email": "x@lab.example", "role": "viewer"},
    "create_project": {"name": "New", "organization_id": "{organization_id}"},
    "create_dataset": {"name": "New", "organization_id": "{organization_id}"},
    "update_project": {"name": "Other"},
    "update_dataset": {"name": "Other"},
    "begin_upload": {"path": "x.mrc", "size_bytes": 3},
    "add_server_folder": {"folder": "/data"},
    "create_job": {"job_type": "import_micrographs", "inputs": {"input": "dataset:{dataset_id}"}},
    "start_run": {"workflow": "spa", "inputs": {"micrographs": "dataset:{dataset_id}"}},
    "check_order": {"workflow": "spa", "inputs": {"micrographs": "dataset:{dataset_id}"}},
    "forecast_order": {"job_type": "simulate_map", "inputs": {"model": "procedural"}},
    "set_job_notes": {"notes": "x"},
    "trash_files": {"files": ["{file_id}"]},
    "choose_mails": {"done": True, "failed": True, "needs_you": False},
    "choose_for_project": {"choice": "follow"},
    "set_webhook": {"url": "https://1.1.1.1/hook"},
    "switch_webhook": {"on": False},
    "order_plan": {"plan": "lab", "interval": "monthly"},
    "change_plan": {"plan": "lab", "interval": "monthly"},
    "deactivate_plan": {},
    "set_spending_limit": {"cents": 0},
    "set_customer": {
        "kind": "business",
        "name": "Other",
        "street": "Street 3",
        "postal_code": "3512 JE",
        "city": "Utrecht",
        "country": "NL",
        "email": "x@lab.example",
    },
}
TENANT_PAGES = [page for page in pages() if any(name.endswith("_id") for name in page.parameters)]
OPERATIONS = operations()
TENANT_OPERATIONS = [one for one in OPERATIONS if any(name.endswith("_id") for name in one.parameters)]
OWN_PAGES = [page for page in pages() if not page.template.startswith("/accounts/")]


@pytest.fixture(autouse=True)
def _steady(monkeypatch):
    """Pages carry the CSRF token masked afresh each time; unmasked, equal pages are equal bytes."""
    monkeypatch.setattr("django.middleware.csrf._mask_cipher_secret", lambda secret: secret)


@pytest.fixture
def world(owner, home):
    return make_world(owner)


def content_of(answer):
    if not answer.streaming:
        return answer.content
    if not answer.is_async:
        return b"".join(answer.streaming_content)

    async def collect():
        return b"".join([part async for part in answer.streaming_content])

    return async_to_sync(collect)()


def told(answer):
    """All that a caller can see."""
    content = content_of(answer)
    return answer.status_code, content, {k: v for k, v in answer.headers.items() if k != "X-Request-ID"}


def ask(person, address, ids, method=None):
    path = address.path(ids)
    if address.method is None:
        return told(person.client.generic(method or "GET", path, headers={"Sec-Fetch-Site": "same-origin"}))
    body = None if address.method in ("GET", "DELETE") else body_of(address, ids)
    return told(person.api(address.method, path.removeprefix("/api/v1"), body))


def body_of(address, ids):
    text = json.dumps(BODIES.get(address.operation, {}))
    for name, found in ids.items():
        text = text.replace(f"{{{name}}}", found)
    return json.loads(text)


def missing(ids):
    return dict.fromkeys(ids, MISSING)


@contextmanager
def undone():
    """Whatever an answer leaves behind is gone before the next is asked for."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def words_said(person, addresses, ids, method=None):
    """Addresses at which somebody without rights hears more of what exists than of what does not."""
    heard = {}
    for address in addresses:
        with undone():
            real, none = ask(person, address, ids, method), ask(person, address, missing(ids), method)
        if real[0] not in (403, 404, 405) or real != none:
            heard[str(address)] = real[0], none[0]
    return heard


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_stranger_sees_of_a_page_what_stands_where_nothing_is(method, world, stranger):
    stranger.client.get("/dashboard/")
    assert words_said(stranger, TENANT_PAGES, world.ids, method) == {}


def test_a_stranger_hears_of_the_api_what_is_said_of_nothing(world, stranger):
    assert words_said(stranger, TENANT_OPERATIONS, world.ids) == {}


def test_a_token_of_another_organization_of_the_same_person_hears_nothing_either(world, owner):
    elsewhere = Organization.objects.create(name="Second lab")
    Membership.unscoped.create(organization=elsewhere, user=owner.user, role=Role.OWNER)
    ApiToken.objects.filter(secret_hash=hash_of(owner.secret)).update(organization_id=elsewhere.id)
    assert words_said(owner, TENANT_OPERATIONS, world.ids) == {}


def test_the_seeds_are_there_for_their_owner(world, owner):
    """Otherwise the comparisons above would compare nothing with nothing."""
    wrong = {}
    for address in (*TENANT_PAGES, *TENANT_OPERATIONS):
        with undone():
            reading = ask(owner, address, world.ids)
            if reading[0] == 405:
                reading = ask(owner, address, world.ids, "POST")
        if reading[0] in (401, 403, 404, 405, 500):
            wrong[str(address)] = reading[0], reading[1][:300]
    assert wrong == {}


def test_who_is_not_logged_in_is_sent_to_log_in(world):
    for page in OWN_PAGES:
        if page.template in PUBLIC:
            continue
        answers = [Client().generic(method, page.path(world.ids)) for method in ("GET", "POST")]
        for answer in answers:
            assert answer.status_code in (302, 405), page
            if answer.status_code == 302:
                assert answer["Location"].startswith("/accounts/login/"), page
        assert any(answer.status_code == 302 for answer in answers), page


def test_the_api_tells_nothing_without_a_credential(world):
    for operation in OPERATIONS:
        answer = Client().generic(
            operation.method, operation.path(world.ids), content_type="application/json"
        )
        assert answer.status_code == 401, operation


def rows():
    """All rows of tenants, and what the worker has been asked to do."""
    kinds = [model for model in apps.get_models() if issubclass(model, TenantRecord)]
    kinds += [Organization, apps.get_model("core", "BackgroundTask")]
    return {kind.__name__: sorted(map(repr, kind._base_manager.values())) for kind in kinds}


MUTATING = [one for one in OPERATIONS if one.method != "GET" and one.operation not in QUESTIONS]


def test_a_viewer_and_a_reading_token_change_nothing_over_the_api(world, owner, make_member):
    viewer = make_member(owner.organization, Role.VIEWER, name="vera")
    reader = make_member(owner.organization, Role.OWNER, scope=ApiToken.Scope.READ, name="rita")
    before = rows()
    for operation in MUTATING:
        people = (reader,) if operation.operation in OF_EVERY_MEMBER else (viewer, reader)
        with undone():
            for person in people:
                status, content, _ = ask(person, operation, world.ids)
                refusal = 404 if operation.operation in OF_ONE_PERSON else 403
                assert status == refusal, (operation, content)
            assert rows() == before, operation


def test_a_viewer_changes_nothing_on_the_pages(world, owner, make_member):
    viewer = make_member(owner.organization, Role.VIEWER, name="vera")
    viewer.client.get("/dashboard/")
    before = rows()
    for page in OWN_PAGES:
        if page.template in PUBLIC | OF_EVERY_MEMBER:
            continue
        with undone():
            status = ask(viewer, page, world.ids, "POST")[0]
            refusals = (404, 405) if page.template.startswith("/operator/") else (403, 405)
            assert status in refusals or page.template in QUESTIONS, page
            assert rows() == before, page


def asgi_call(method, path, headers, body=b""):
    """An answer of the whole application, the parts before Django included."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http",
        "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
        "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 9),
    }  # fmt: skip
    async_to_sync(asgi.application)(scope, receive, send)
    content = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], content, sorted(map(tuple, sent[0]["headers"]))


BEFORE_DJANGO = [
    Address("/events/projects/{project_id}", "GET"),
    Address("/events/jobs/{job_id}", "GET"),
    Address("/events/datasets/{dataset_id}", "GET"),
    Address("/uploads/{upload_id}", "HEAD"),
    Address("/uploads/{upload_id}", "PATCH"),
    Address("/uploads/{upload_id}", "DELETE"),
]


def test_all_applications_before_django_take_part():
    assert {f"/{one.template.split('/')[1]}/" for one in BEFORE_DJANGO} == set(asgi.BEFORE_DJANGO)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("address", BEFORE_DJANGO, ids=str)
def test_strangers_before_django(address, world, make_member):
    stranger = make_member(name="eve")
    headers = {
        "Authorization": f"Bearer {stranger.secret}",
        "Host": "127.0.0.1",
        "Tus-Resumable": "1.0.0",
        "Upload-Offset": "5",
        "Content-Type": "application/offset+octet-stream",
    }
    real = asgi_call(address.method, address.path(world.ids), headers)
    none = asgi_call(address.method, address.path(missing(world.ids)), headers)
    assert real == none
    assert real[0] == 404
    del headers["Authorization"]
    assert asgi_call(address.method, address.path(world.ids), headers)[0] == 401


def test_an_address_without_a_seed_is_noticed(world):
    with pytest.raises(LookupError, match="no seed for “molecule_id”"):
        Address("/molecules/<str:molecule_id>/").path(world.ids)
