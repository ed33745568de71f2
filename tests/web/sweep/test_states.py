"""Every order there is, in every state that forbids some: a new one takes part by itself, and must be declared here."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cryocloud.web.core.clock import now
from cryocloud.web.lifecycle.letters import write_to_owners
from cryocloud.web.organizations.models import Organization
from cryocloud.web.organizations.states import State
from platform_addresses import operations, pages
from platform_world import make_world
from web.pages.laboratory import seed_laboratory
from web.sweep.test_strangers import BODIES, PUBLIC, QUESTIONS, asgi_call, ask, rows
from web.sweep.test_viewers import LEFT_ALONE, every_page, offers_of

# Questions of a form that would order something.
FORMS = {
    "/projects/<str:project_id>/jobs/<str:job_type>/check/",
    "/projects/<str:project_id>/workflows/<str:workflow>/check/",
}
# What an organization whose trial or plan has ended still does: fetch, delete, govern, pay, and look after oneself.
WORKS = {
    # the API
    "trash_dataset", "restore_dataset", "purge_dataset", "trash_files", "trash_project", "trash_run", "trash_job",
    "free_space", "restore_deletion", "purge_deletion", "cancel_job", "cancel_run", "change_member_role",
    "remove_member", "revoke_invitation", "read_notices", "read_notice", "choose_mails", "choose_for_project",
    "remove_webhook", "switch_webhook", "test_webhook", "set_customer", *QUESTIONS - FORMS,
    # the pages
    "/datasets/<str:dataset_id>/delete/", "/datasets/<str:dataset_id>/files/delete/",
    "/datasets/<str:dataset_id>/restore/", "/datasets/<str:dataset_id>/purge/",
    "/projects/<str:project_id>/delete/", "/runs/<str:run_id>/delete/", "/jobs/<str:job_id>/delete/",
    "/jobs/<str:job_id>/free/", "/trash/<str:deletion_id>/restore/", "/trash/<str:deletion_id>/purge/",
    "/jobs/<str:job_id>/cancel/", "/runs/<str:run_id>/cancel/", "/projects/<str:project_id>/notices/",
    "/organization/members/<str:membership_id>/role/", "/organization/members/<str:membership_id>/remove/",
    "/organization/invitations/<str:invitation_id>/revoke/", "/organization/switch/", "/organization/new/",
    "/organization/webhook/test/", "/organization/webhook/switch/", "/organization/webhook/remove/",
    # the plan: to decide about it is what one does in these states
    "order_plan", "change_plan", "take_back_change", "deactivate_plan", "set_spending_limit",
    "/organization/plan/order/", "/organization/plan/pay/", "/organization/plan/take-back/",
    "/organization/plan/deactivate/", "/organization/plan/limit/", "/organization/plan/payment/",
    "/organization/plan/payment/new/",
    "/organization/plan/close/", "/organization/plan/close/later/", "/organization/quotes/<str:quote_id>/",
    "/organization/invoice-details/", "/organization/payments/<str:payment_id>/pay/",
    "/notices/read/", "/settings/", "/settings/notices/", "/settings/tokens/",
    "/settings/tokens/<str:token_id>/revoke/",
}  # fmt: skip
# What adds or changes something.
REFUSED = {
    "create_project", "update_project", "create_dataset", "update_dataset", "begin_upload", "add_server_folder",
    "create_job", "start_run", "set_job_notes", "retry_job", "clone_job", "retry_run", "accept_doubt",
    "rename_organization", "invite_member", "set_webhook", "renew_webhook_secret",
    *FORMS, "/projects/new/", "/datasets/new/", "/organization/", "/organization/name/",
}  # fmt: skip
# What a closed organization still answers: who belongs to it and who pays, and what is one's own.
GOVERNED = {
    "get_organization", "rename_organization", "list_members", "change_member_role", "remove_member",
    "list_invitations", "revoke_invitation", "invite_member", "get_storage", "get_webhook", "list_webhook_calls",
    "remove_webhook", "switch_webhook", "renew_webhook_secret", "set_webhook", "test_webhook", "read_notice",
    "get_usage", "list_attempt_usage", "download_attempt_usage",
    "get_subscription", "order_plan", "change_plan", "take_back_change", "deactivate_plan", "set_spending_limit",
    "get_customer", "set_customer", "list_invoices", "get_invoice", "get_invoice_pdf", "get_invoice_xml",
    "/organization/payments/<str:payment_id>/", "/organization/payments/<str:payment_id>/code.svg",
    "/organization/payments/<str:payment_id>/onward/", "/organization/payments/<str:payment_id>/pay/",
    "/organization/plan/payment/<str:method_change_id>/onward/",
    "/invoices/<str:invoice_id>/", "/invoices/<str:invoice_id>/pdf/", "/invoices/<str:invoice_id>/xml/",
    "/organization/members/<str:membership_id>/role/", "/organization/members/<str:membership_id>/remove/",
    "/organization/invitations/<str:invitation_id>/revoke/", "/settings/tokens/<str:token_id>/revoke/",
}  # fmt: skip
ORDERS = [one for one in operations() if one.method != "GET"]
PAGES = [page for page in pages() if not page.template.startswith(("/accounts/", "/operator/"))]
OWN_PAGES = [page for page in PAGES if page.template not in PUBLIC]
TENANTS = [one for one in [*operations(), *OWN_PAGES] if any(name.endswith("_id") for name in one.parameters)]


def name_of(address):
    return getattr(address, "operation", "") or address.template


@pytest.fixture
def world(owner, home):
    return make_world(owner)


def put(owner, state):
    """Into a state that lasts ten more days."""
    until = None if state in (State.CLOSED, State.PURGED) else now() + timedelta(days=10)
    Organization.objects.filter(pk=owner.organization.pk).update(state=state, state_until=until)


def answered(owner, world, address):
    """A page that sends back to where the form was says there what became of it."""
    status, content, headers = ask(owner, address, world.ids, "POST")
    if status == 302 and address.method is None:
        return status, owner.client.get(headers["Location"]).content.decode()
    return status, content.decode(errors="replace")


@pytest.mark.parametrize("state", [State.TRIAL_ENDED, State.RETRIEVAL], ids=str)
def test_every_order_is_refused_or_works_as_declared(state, world, owner):
    put(owner, state)
    before, wrong = rows(), {}
    for address in [*ORDERS, *OWN_PAGES]:
        name = name_of(address)
        if name in WORKS:
            continue
        status, content = answered(owner, world, address)
        if status == 405 and name not in REFUSED:
            continue
        if status not in (302, 409) or "takes nothing new" not in content or "until" not in content:
            wrong[name] = (status, content[:200] if content.startswith("{") else "")
    print(*wrong.items(), sep="\n")
    assert not wrong, "orders that are neither refused in this state nor declared in WORKS"
    assert rows() == before


@pytest.mark.parametrize("address", [one for one in [*ORDERS, *OWN_PAGES] if name_of(one) in WORKS], ids=str)
def test_what_is_declared_to_work_works(address, world, owner):
    put(owner, State.RETRIEVAL)
    status, content = answered(owner, world, address)
    assert status not in (403, 405, 500)
    if name_of(address) not in QUESTIONS:  # which tell of a refusal beforehand
        assert "takes nothing new" not in content


def test_what_is_declared_exists():
    known = {name_of(one) for one in [*operations(), *PAGES]}
    assert (WORKS | REFUSED | GOVERNED) - known == set()
    assert set(BODIES) <= known


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nothing_of_a_closed_organization_can_be_reached(method, world, owner):
    put(owner, State.CLOSED)
    wrong = {}
    for address in TENANTS:
        if name_of(address) in GOVERNED or (method == "POST" and address.method == "GET"):
            continue
        status, content, _ = ask(owner, address, world.ids, method)
        text = content.decode(errors="replace")
        if status != 405 and (
            status != 403 or "was closed on" not in text or "due to be erased from" not in text
        ):
            wrong[name_of(address)] = (status, text[:200] if text.startswith("{") else "")
    assert not wrong


def test_lists_over_all_organizations_leave_closed_ones_out(world, owner):
    full = [owner.api("GET", f"/{kind}").json()["items"] for kind in ("projects", "datasets", "runs", "jobs")]
    assert all(full)
    put(owner, State.CLOSED)
    assert not any(
        owner.api("GET", f"/{kind}").json()["items"] for kind in ("projects", "datasets", "runs", "jobs")
    )
    (shown,) = owner.api("GET", "/organizations").json()["items"]
    assert (shown["state"], shown["state_name"], shown["state_until"]) == ("closed", "Closed", None)


def test_of_a_closed_organization_the_bell_keeps_letters_only(world, owner):
    write_to_owners(
        owner.organization, key="x", title="The end is near", message="It is.", path="/organization/"
    )
    kinds = [one["kind"] for one in owner.api("GET", "/notices").json()["items"]]
    assert len(kinds) > 1
    put(owner, State.CLOSED)
    assert [one["kind"] for one in owner.api("GET", "/notices").json()["items"]] == ["letter"]


def test_no_page_offers_what_the_state_forbids(world, owner):
    seed_laboratory(owner)
    put(owner, State.RETRIEVAL)
    forbidden = {}
    for path in every_page(world.ids):
        _, offers = offers_of(owner, path)
        if offers is None:
            continue
        links = [link for link in offers.links if not link.startswith(("/static/", *LEFT_ALONE))]
        answers = [(link, owner.client.get(link)) for link in links]
        answers += [
            (f"POST {form.action}", owner.client.post(form.action, form.fields))
            for form in offers.forms
            if not form.action.startswith(("/organization/", "/trash/", "/datasets/", *LEFT_ALONE))
        ]
        refused = [offer for offer, answer in answers if answer.status_code == 409 and says_so(answer)]
        if refused:
            forbidden[path] = refused
    assert not forbidden


def says_so(answer):
    return not answer.streaming and "takes nothing new" in answer.content.decode()


@pytest.mark.django_db(transaction=True)
@pytest.mark.requirement("TRL-08")
def test_an_upload_that_has_begun_sends_its_file_and_no_other_begins(world, owner):
    path = f"/datasets/{world.ids['dataset_id']}/uploads"
    begun = owner.api("POST", path, {"path": "late.mrc", "size_bytes": 3}).json()
    put(owner, State.TRIAL_ENDED)
    headers = {
        "Authorization": f"Bearer {owner.secret}", "Host": "127.0.0.1", "Tus-Resumable": "1.0.0", "Upload-Offset": "0",
        "Content-Type": "application/offset+octet-stream", "Content-Length": "3",
    }  # fmt: skip
    status, content, _ = asgi_call("PATCH", f"/uploads/{begun['id']}", headers, b"abc")
    assert status == 204, content
    files = owner.api("GET", f"/datasets/{world.ids['dataset_id']}/files").json()["items"]
    assert "late.mrc" in {one["path"] for one in files}
    refused = owner.api("POST", path, {"path": "later.mrc", "size_bytes": 3})
    assert refused.status_code == 409 and "takes nothing new" in refused.json()["error"]
    put(owner, State.CLOSED)
    status, content, _ = asgi_call("HEAD", f"/uploads/{world.ids['upload_id']}", headers)
    assert status == 403
