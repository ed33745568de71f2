"""Who has a trial, and what limits hold: of the plan, or set by hand."""

from __future__ import annotations

import pytest
from django.test import Client

from cryocloud.web.configuration import configuration
from cryocloud.web.core.errors import QuotaExceeded
from cryocloud.web.data.services import reserve_storage
from cryocloud.web.metering.services import require_compute
from cryocloud.web.operations.first_admin import offer_first_link
from cryocloud.web.organizations.models import Organization

GIVEN = {
    "name": "Ada", "email": "ada@lab.example", "password": "the Thon rings are round", "organization": "Lab of Ada",
}  # fmt: skip
PUBLIC = ("/", "/faq/", "/plans/", "/accounts/login/", "/accounts/signup/")


@pytest.fixture
def with_trials(monkeypatch):
    def choose(wish):
        fresh = configuration().model_copy(update={"trials": wish})
        monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: fresh)

    return choose


def text_of(person, path):
    return " ".join(person.client.get(path).content.decode().split())


def set_limits(person, **limits):
    Organization.objects.filter(pk=person.organization.pk).update(**limits)
    person.organization.refresh_from_db()


@pytest.mark.parametrize(("wish", "state"), [("others", "active"), ("all", "trial"), ("none", "active")])
def test_the_first_organization_has_no_trial_unless_it_is_wished_for(db, with_trials, wish, state):
    with_trials(wish)
    Client().post(offer_first_link(), GIVEN)
    assert Organization.objects.get().state == state


def test_pages_of_an_organization_without_a_trial_do_not_speak_of_one(owner):
    set_limits(owner, state="active")
    for path in ("/dashboard/", "/datasets/", "/organization/", "/settings/"):
        assert "trial" not in text_of(owner, path).lower(), path
    assert "no limit" in text_of(owner, "/dashboard/")


def test_a_platform_without_trials_offers_none(db, with_trials):
    assert "trial" in Client().get("/").content.decode()
    with_trials("none")
    for path in PUBLIC:
        assert "trial" not in Client().get(path).content.decode().lower(), path


def test_further_organizations_have_no_trial_where_there_are_none(owner, with_trials):
    with_trials("none")
    owner.client.post("/organization/new/", {"name": "Second lab"})
    assert Organization.objects.get(name="Second lab").state == "active"


def test_limits_by_hand_hold_instead_of_those_of_the_plan(owner):
    set_limits(owner, state="active")
    require_compute(owner.organization)
    reserve_storage(owner.organization.pk, files=10**6, size_bytes=0)
    set_limits(owner, compute_hours_max=0, files_max=3)
    with pytest.raises(QuotaExceeded, match="0 hours of compute of the plan are used up"):
        require_compute(owner.organization)
    with pytest.raises(QuotaExceeded, match="3 of the plan's 3 files are left"):
        reserve_storage(owner.organization.pk, files=4, size_bytes=0)
    path = f"/organizations/{owner.organization.pk}/storage"
    told = owner.api("GET", path).json()
    assert (told["limit_files"], told["limit_bytes"]) == (3, None)


def test_what_is_used_up_says_so_with_value_limit_and_remedy(owner):
    set_limits(owner, compute_hours_max=0, storage_bytes_max=1000)
    for path in ("/dashboard/", "/datasets/"):
        page = text_of(owner, path)
        assert "Nearly used up" not in page
        assert "Storage is" not in page, "nothing is stored yet"
    page = text_of(owner, "/dashboard/")
    assert "Compute is limited to 0 s. Results stay; for more hours, write to" in page
    dataset = owner.api("POST", "/datasets", {"name": "A", "organization_id": owner.organization.pk}).json()
    owner.api("POST", f"/datasets/{dataset['id']}/uploads", {"path": "a.mrc", "size_bytes": 900})
    near = (
        "Storage is nearly used up: 900 B used of 1 kB. Delete datasets and empty the trash; for more storage, "
        "write to"
    )
    for path in ("/dashboard/", "/datasets/"):
        assert near in text_of(owner, path)
    set_limits(owner, storage_bytes_max=900)
    assert "Storage is used up: 900 B used of 900 B." in text_of(owner, "/dashboard/")
