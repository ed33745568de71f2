"""Nobody fills the database of all with orders that cost nothing."""

from __future__ import annotations

import pytest

from cryocloud.web.accounts import orders
from cryocloud.web.audit.models import AuditEvent
from cryocloud.web.configuration import configuration
from cryocloud.web.core.errors import TooManyRequests
from cryocloud.web.data.models import Upload
from cryocloud.web.data.services import abort_upload, begin_upload, create_dataset
from cryocloud.web.organizations.models import Membership, Role

ENOUGH = 8


@pytest.fixture
def editor(make_member, owner, monkeypatch):
    monkeypatch.setattr(orders, "ORDERS_AN_HOUR", ENOUGH)
    return make_member(owner.organization, Role.EDITOR, name="eve")


@pytest.fixture
def dataset(editor):
    return create_dataset(actor=editor.actor, organization=editor.organization, name="grids")


def test_orders_by_token_and_by_page_are_counted_together_and_reading_is_not(editor, dataset):
    path = f"/datasets/{dataset.pk}"
    changed = [editor.api("PATCH", path, {"description": f"{n}"}).status_code for n in range(ENOUGH - 2)]
    assert set(changed) == {200}
    pages = [editor.client.post(f"{path}/edit/", {"name": "grids"}).status_code for _ in range(4)]
    assert pages == [302, 302, 429, 429]
    assert editor.api("PATCH", path, {"description": "more"}).status_code == 429
    written = AuditEvent.objects.filter(verb="dataset.update").count()
    assert written == ENOUGH
    assert editor.api("GET", path).status_code == editor.client.get(f"{path}/").status_code == 200


def test_a_folder_of_many_files_is_announced_without_being_counted(editor, dataset):
    announced = [
        editor.api("POST", f"/datasets/{dataset.pk}/uploads", {"path": f"{n}.mrc", "size_bytes": 1})
        for n in range(2 * ENOUGH)
    ]
    assert {answer.status_code for answer in announced} == {201}


def test_who_has_ordered_too_much_can_still_be_removed(editor, owner, dataset):
    for n in range(ENOUGH + 1):
        editor.api("PATCH", f"/datasets/{dataset.pk}", {"description": f"{n}"})
    membership = Membership.unscoped.get(user=editor.user)
    assert owner.api("DELETE", f"/members/{membership.pk}").status_code == 204


@pytest.mark.parametrize("is_stopped", [True, False], ids=["stopped", "announced again"])
def test_files_that_are_announced_and_given_up_leave_no_rows_without_end(
    editor, dataset, monkeypatch, is_stopped
):
    few = configuration().model_copy(update={"trial_files": ENOUGH})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: few)

    def announce():
        upload = begin_upload(actor=editor.actor, dataset=dataset, path="a", size_bytes=1)
        if is_stopped:
            abort_upload(actor=editor.actor, upload=upload)

    for _ in range(ENOUGH):
        announce()
    with pytest.raises(TooManyRequests):
        [announce() for _ in range(2)]
    assert Upload.unscoped.count() <= ENOUGH + 1
