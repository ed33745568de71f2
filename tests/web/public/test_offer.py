"""What the public pages promise is what is enforced: both come from the same settings, and move together."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from cryocloud.web.configuration import configuration
from cryocloud.web.data.storage import storage_limit
from cryocloud.web.metering.limits import compute_limit
from cryocloud.web.organizations.models import Organization
from web_books import EXAMPLE

PUBLIC = ("/", "/plans/", "/faq/")
pytestmark = pytest.mark.django_db


@pytest.fixture
def sell(monkeypatch, tmp_path):
    """``sell(changes)`` has the platform sell the plans of the example, with some of its text replaced."""

    def offer(*changes: tuple[str, str], **values: object) -> None:
        text = EXAMPLE.read_text()
        for was, instead in changes:
            assert was in text
            text = text.replace(was, instead)
        path = tmp_path / f"billing-{len(list(tmp_path.iterdir()))}.toml"
        path.write_text(text)
        changed = configuration().model_copy(update={"billing": path, **values})
        monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: changed)

    return offer


def text_of(client, address):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", client.get(address).content.decode()))


def test_a_card_holds_every_figure_of_its_plan(client, sell):
    sell()
    for address in ("/", "/plans/"):
        said = text_of(client, address)
        for figure in (
            "490.00 EUR a month, without VAT", "592.90 EUR with 21 % VAT",
            "By the year 4,900.00 EUR, with VAT 5,929.00 EUR", "100 hours of compute a month", "5 TB of storage",
            "Further compute: 3.50 EUR an hour, up to a limit that you set",
            "Further storage: 25.00 EUR for 1 TB kept 30 days", "100 % back within 30 days of the first payment",
            "1,900.00 EUR a month", "500 hours of compute a month",
        ):  # fmt: skip
            assert figure in said, (address, figure)


@pytest.mark.requirement("SUP-02")
def test_other_terms_make_other_pages(client, sell):
    sell(
        ("monthly_cents = 49000", "monthly_cents = 51050\nfiles = 70000\nslots = 3"),
        ("yearly_cents = 490000\n", ""),
        ("compute_cents_an_hour = 350\nstorage_cents_a_terabyte_month = 2500\n", ""),
        refund_days=14,
        retrieval_days=45,
    )
    said = text_of(client, "/plans/")
    for figure in (
        "510.50 EUR a month",
        "70,000 files",
        "3 jobs at the same time",
        "Never costs more",
        "within 14 days",
    ):
        assert figure in said, figure
    assert "490.00 EUR" not in said and "3.50 EUR" not in said and "for 45 days" in said
    answers = text_of(client, "/faq/")
    assert "within 14 days of your first payment" in answers and "for 45 days" in answers


def test_a_plan_that_is_not_offered_is_not_shown(client, sell):
    sell(('name = "Facility"', 'name = "Facility"\nis_offered = false'))
    said = text_of(client, "/plans/")
    assert "490.00 EUR" in said and "1,900.00 EUR" not in said


def test_without_plans_nothing_is_promised_about_them(client):
    for address in PUBLIC:
        said = text_of(client, address)
        for word in (
            "EUR",
            "100 %",
            "refund",
            "Deactivated",
            "deactivate",
            "Subscription",
            "subscription",
            "risk-free",
        ):
            assert word not in said, (address, word)
    assert "20 hours" in text_of(client, "/plans/")


def test_where_nobody_begins_with_a_trial_no_page_speaks_of_one(client, monkeypatch, sell):
    sell(trials="none")
    for address in (*PUBLIC, "/accounts/signup/", "/accounts/login/"):
        assert "trial" not in text_of(client, address).lower(), address
    assert 'href="/plans/"' in client.get("/").content.decode()


@pytest.mark.requirement("SUP-02")
def test_trials_are_as_long_and_as_large_as_the_pages_say(client, owner, monkeypatch):
    changed = configuration().model_copy(
        update={
            "trial_days": 45,
            "trial_compute_hours": 7,
            "trial_storage_bytes": 3 * 10**12,
            "trial_files": 1234,
        }
    )
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: changed)
    said = text_of(client, "/plans/")
    assert "45 days" in said and "7 hours of compute" in said and "3 TB of storage, 1,234 files" in said
    made = Organization.objects.create(name="New lab")
    assert made.state_until - made.trial_started_at == timedelta(days=45)
    assert compute_limit(made).limit_s == 7 * 3600
    limit = storage_limit(made)
    assert (limit.size_bytes, limit.files) == (3 * 10**12, 1234)


def test_an_organization_that_is_hosted_for_oneself_hears_of_no_trial_and_no_plan(owner):
    Organization.objects.filter(pk=owner.organization.pk).update(state="active", state_until=None)
    for address in ("/dashboard/", "/organization/", "/datasets/", "/storage/", "/settings/"):
        page = owner.client.get(address).content.decode()
        said = re.sub(r"<[^>]+>", " ", page.split("<main")[1].split("<footer")[0]).lower()
        assert "trial" not in said, address
        if address != "/organization/":
            assert "plan" not in re.findall(r"[a-z]+", said), address
