"""One trial a person: a further one waits for somebody's decision, and its page says so."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.core import mail

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.models import User
from cryocloud.web.audit.models import AuditEvent
from cryocloud.web.core.clock import now
from cryocloud.web.lifecycle.tasks import keep_dates
from cryocloud.web.organizations.models import Organization, TrialReview
from cryocloud.web.organizations.services import create_organization
from cryocloud.web.organizations.states import State, move
from web.lifecycle.conftest import send_mails


@pytest.fixture
def opener(ada):
    """Somebody who began a trial themself."""
    create_organization(actor=ada.actor, name="First lab")
    return ada


@pytest.fixture
def operator(make_person):
    person = make_person(name="olga")
    User.objects.filter(pk=person.user.pk).update(is_operator=True)
    return person


def second(person, name="Second lab"):
    answer = person.client.post("/organization/new/", {"name": name})
    assert answer.status_code == 302, answer.content.decode()[:500]
    return Organization.objects.get(name=name)


def decide(operator, organization, decision, reason="A new group of the same person."):
    review = TrialReview.unscoped.get(organization=organization)
    given = {"review": review.pk, f"{review.pk}-decision": decision, f"{review.pk}-reason": reason}
    return operator.client.post("/operator/reviews/", given)


def test_the_first_trial_begins_at_once(ada):
    made = create_organization(actor=ada.actor, name="First lab")
    assert not made.is_under_review
    assert made.state_until == made.trial_started_at + timedelta(days=30)


@pytest.mark.requirement("TRL-11")
def test_a_second_trial_is_under_review_and_shows_what_it_lacks(opener):
    made = second(opener)
    page = opener.client.get("/organization/").content.decode()
    assert "Trial under review" in page and "no compute and no storage" in page
    assert "trial under review" in opener.client.get("/dashboard/").content.decode()
    told = opener.api("GET", f"/organizations/{opener.organization.pk}").json()
    assert told["state"] == "trial"
    body = {"name": "New", "organization_id": made.pk}
    opener.client.post("/projects/new/", {"name": "Prepared", "organization": made.pk})
    refused = opener.client.post("/datasets/new/", {"name": "New", "organization": made.pk})
    assert refused.status_code == 409 and "cannot do this yet" in refused.content.decode()
    assert body["organization_id"] == made.pk
    keep_dates()
    send_mails()
    assert [one.subject for one in mail.outbox] == ["The trial is under review: Second lab"]


@pytest.mark.parametrize(
    ("address", "is_suspect"),
    [
        ("ada+two@lab.example", True),
        ("ADA@LAB.EXAMPLE", True),
        ("a.da@lab.example", False),
        ("bea@lab.example", False),
        ("ada@other.example", False),
    ],
)
def test_the_same_mailbox_is_the_same_person_but_not_the_same_university(opener, address, is_suspect):
    other = User.objects.create_user(
        address.replace("ADA@LAB", "ada+x@lab").lower(), "the Thon rings", name="x"
    )
    assert create_organization(actor=Actor(other), name="Third lab").is_under_review is is_suspect


def test_dots_do_not_make_another_mailbox_where_the_provider_ignores_them(db):
    for number, address in enumerate(("thon.rings@gmail.com", "thonrings+2@googlemail.com")):
        person = User.objects.create_user(address, "the Thon rings", name="x")
        assert create_organization(actor=Actor(person), name="Lab").is_under_review is bool(number)


def test_a_granted_trial_begins_then_with_all_its_days(opener, operator, clock):
    made = second(opener)
    clock.forward(days=45)
    keep_dates()
    assert Organization.objects.get(pk=made.pk).state == State.TRIAL
    page = operator.client.get("/operator/reviews/").content.decode()
    assert "Second lab" in page and "The same person has had a trial with “First lab”" in page
    assert "1 trial waits" in re.sub(r"\s+", " ", operator.client.get("/operator/").content.decode())
    moment = now()
    assert decide(operator, made, "grant").status_code == 302
    granted = Organization.objects.get(pk=made.pk)
    assert not granted.is_under_review
    assert timedelta(days=30) <= granted.state_until - moment < timedelta(days=30, seconds=20)
    assert opener.client.post("/datasets/new/", {"name": "New", "organization": made.pk}).status_code == 302
    mail.outbox.clear()
    keep_dates()
    send_mails()
    (sent,) = [one for one in mail.outbox if "Second lab" in one.subject and "begun" in one.subject]
    assert "Reason: A new group of the same person." in sent.body
    assert AuditEvent.objects.get(verb="trial.granted").detail["reason"] == "A new group of the same person."
    assert "No trial waits" in operator.client.get("/operator/reviews/").content.decode()


def test_a_refused_trial_is_read_only_and_told_once(opener, operator):
    made = second(opener)
    assert decide(operator, made, "refuse").status_code == 302
    assert Organization.objects.get(pk=made.pk).state == State.TRIAL_ENDED
    keep_dates()
    send_mails()
    assert [one.subject for one in mail.outbox] == ["There is no further trial: Second lab"]
    assert decide(operator, made, "grant").status_code == 302
    assert Organization.objects.get(pk=made.pk).state == State.TRIAL_ENDED


@pytest.mark.parametrize(
    ("decision", "reason"), [("grant", ""), ("perhaps", "x"), ("", "x"), ("grant", "x" * 501)]
)
def test_a_decision_needs_a_reason_and_changes_nothing_without(opener, operator, decision, reason):
    made = second(opener)
    assert decide(operator, made, decision, reason).status_code == 422
    assert Organization.objects.get(pk=made.pk).is_under_review
    assert decide(opener, made, "grant").status_code == 404


def test_a_plan_needs_no_decision(opener, operator):
    made = second(opener)
    move(made.pk, State.ACTIVE, reason="A plan was chosen.", actor_id=opener.user.pk)
    assert not Organization.objects.get(pk=made.pk).is_under_review
    assert "not needed any more" in operator.client.get("/operator/reviews/").content.decode()


def test_reviews_are_not_collected(opener):
    for number in range(3):
        second(opener, f"Lab {number}")
    refused = opener.client.post("/organization/new/", {"name": "Lab 4"})
    assert refused.status_code == 409 and "under review" in refused.content.decode()
