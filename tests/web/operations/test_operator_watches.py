"""The operator's pages of work, mail and audit, over HTTP."""

from __future__ import annotations

import smtplib
from datetime import timedelta

import pytest
from django.core import mail

from cryocloud.client.mail_sink import mail_sink
from cryocloud.web.accounts.models import User
from cryocloud.web.audit.models import AuditEvent
from cryocloud.web.audit.services import record_event
from cryocloud.web.configuration import configuration
from cryocloud.web.core.clock import now
from cryocloud.web.core.models import BackgroundTask
from cryocloud.web.organizations.models import Organization
from cryocloud.web.runs.models import Attempt, Job
from cryocloud.web.runs.services import is_dispatch_paused
from cryocloud.web.scheduling.fairness import job_to_start
from platform_world import make_world

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(make_member):
    operator = make_member(name="olga")
    User.objects.filter(pk=operator.user.pk).update(is_operator=True)
    operator.user.refresh_from_db()
    return operator


@pytest.fixture
def queued(owner, home):
    make_world(owner)
    job = Job.unscoped.get()
    Job.unscoped.filter(pk=job.pk).update(state=Job.State.QUEUED, created_at=now() - timedelta(hours=3))
    return job


def text_of(person, path):
    answer = person.client.get(path)
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def test_what_waits_is_told_with_whose_it_is_how_long_and_why(operator, owner, queued, monkeypatch):
    page = text_of(operator, "/operator/work/")
    assert owner.organization.name in page and "ada" in page and queued.pk in page
    assert "3 h ago" in page and "waits for a slot" in page
    Organization.objects.filter(pk=owner.organization.pk).update(compute_hours_max=0)
    assert "no compute is left to its organization" in text_of(operator, "/operator/work/")
    Organization.objects.filter(pk=owner.organization.pk).update(compute_hours_max=None, slots_max=0)
    assert "its organization has 0 of 0 slots" in text_of(operator, "/operator/work/")


def test_no_job_starts_beyond_the_slots_set_by_hand(owner, queued):
    assert job_to_start(set()) == queued
    Organization.objects.filter(pk=owner.organization.pk).update(slots_max=0)
    assert job_to_start(set()) is None


def test_what_runs_is_told_with_time_and_memory(operator, owner, queued):
    Job.unscoped.filter(pk=queued.pk).update(state=Job.State.RUNNING)
    Attempt.unscoped.update(state=Attempt.State.RUNNING, wall_s=75, peak_memory_bytes=2_000_000_000)
    page = text_of(operator, "/operator/work/")
    assert "1 of 1 slot taken" in page and "1 min 15 s" in page and "2 GB" in page
    assert "of memory free" in page and "No job waits" in page


def test_jobs_can_be_held_back_and_let_go(operator, queued):
    assert operator.client.post("/operator/work/pause/", {"to": "paused"}).status_code == 302
    assert is_dispatch_paused()
    page = text_of(operator, "/operator/work/")
    assert "paused by an operator" in page and "Start jobs again" in page
    operator.client.post("/operator/work/pause/", {"to": "going"})
    assert not is_dispatch_paused()
    verbs = AuditEvent.objects.filter(actor_id=operator.user.pk).order_by("pk").values_list("verb", flat=True)
    assert list(verbs) == ["platform.paused", "platform.resumed"]


def test_tasks_in_trouble_show_their_error_without_names_and_can_be_tried_again(operator, owner):
    error = (
        "Traceback\n  File x\nFileNotFoundError: [Errno 2] No such file: '/home/datasets/secret_protein.mrc'"
    )
    failed = BackgroundTask.objects.create(
        path="data.tasks.check", organization_id=owner.organization.pk, arguments={}, state="failed", tries=5,
        error=error,
    )  # fmt: skip
    left = BackgroundTask.objects.create(
        path="left.behind", arguments={}, state="running", lease_expires_at=now() - timedelta(hours=1)
    )
    BackgroundTask.objects.create(path="all.well", arguments={}, state="done")
    page = text_of(operator, "/operator/work/")
    assert "FileNotFoundError: [Errno 2] No such file: …" in page and "secret_protein" not in page
    assert "left.behind" in page and "all.well" not in page
    assert operator.client.post("/operator/work/retry/", {"task": left.pk}).status_code == 409
    assert operator.client.post("/operator/work/retry/", {"task": failed.pk}).status_code == 302
    failed.refresh_from_db()
    assert (failed.state, failed.tries) == ("ready", 0)


def with_server(monkeypatch, settings, url):
    fresh = configuration().model_copy(update={"smtp_url": url})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: fresh)
    host, port = url.removeprefix("smtp://").split(":")
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = host, int(port), 2


def said(operator):
    answer = operator.client.post("/operator/mail/", follow=True)
    return " ".join(answer.content.decode().split())


def test_a_test_mail_shows_the_answer_of_the_server(operator, monkeypatch, settings):
    with mail_sink() as sink:
        with_server(monkeypatch, settings, sink.url)
        page = said(operator)
        assert "The test mail was sent: 250 kept." in page
        assert sink.url.removeprefix("smtp://") in page
        assert b"To: olga@lab.example" in sink.mails[0]
        assert len(sink.mails) == 1


def test_a_refusal_of_the_server_is_shown_with_the_remedy(operator, monkeypatch, settings):
    with mail_sink() as sink:
        with_server(monkeypatch, settings, sink.url)
        monkeypatch.setattr(
            smtplib.SMTP, "rcpt", lambda *_, **__: (550, b"5.7.1 relaying denied for <b>you</b>")
        )
        page = said(operator)
    assert "not sent: 550 5.7.1 relaying denied for &lt;b&gt;you&lt;/b&gt;." in page
    assert "look at CRYOCLOUD_MAIL_FROM" in page


def test_a_server_that_is_not_there_is_named(operator, monkeypatch, settings):
    with mail_sink() as sink:
        url = sink.url
    with_server(monkeypatch, settings, url)
    page = said(operator)
    assert "not sent:" in page and "Connection refused" in page and "CRYOCLOUD_SMTP_URL" in page


def test_without_a_server_the_folder_of_the_mails_is_named(operator, home, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = home / "mail"
    page = text_of(operator, "/operator/mail/")
    assert "There is no mail server" in page and f"{home}/mail" in page
    assert f"written to a file in {home}/mail" in said(operator)
    assert "<dd>1, the latest just now</dd>" in text_of(operator, "/operator/mail/")
    assert AuditEvent.objects.filter(verb="mail.tested").count() == 1
    assert not mail.outbox


def test_where_codes_lie_is_said_where_there_is_no_mail_server(client, db, monkeypatch):
    for path in ("/accounts/signup/", "/accounts/password/reset/"):
        assert "has no mail server" in client.get(path).content.decode()
    fresh = configuration().model_copy(update={"smtp_url": "smtp://mail.lab.example:25"})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: fresh)
    for path in ("/accounts/signup/", "/accounts/password/reset/"):
        assert "has no mail server" not in client.get(path).content.decode()


def test_the_audit_log_is_filtered_by_what_who_where_and_when(operator, owner, stranger):
    for person in (owner, stranger):
        record_event(
            "token.made",
            organization_id=person.organization.pk,
            target=person.user,
            actor_id=person.user.pk,
            via="session",
            scope="read",
            path="secret_protein.mrc",
        )
    record_event("organization.renamed", organization_id=owner.organization.pk, target=owner.organization)
    page = text_of(operator, "/operator/audit/")
    assert "ada@lab.example" in page and "eve@lab.example" in page and "scope: read" in page
    assert "secret_protein" not in page
    page = text_of(operator, "/operator/audit/?person=ada")
    assert "ada@lab.example" in page and "eve@lab.example" not in page
    page = text_of(operator, "/operator/audit/?organization=of+eve&verb=token.made")
    assert "eve@lab.example" in page and "ada@lab.example" not in page
    assert "Nothing is found" in text_of(operator, "/operator/audit/?until=2020-01-01")
    assert "eve@lab.example" in text_of(operator, "/operator/audit/?since=0001-01-01&until=9999-12-31")
    assert "eve@lab.example" in text_of(operator, f"/operator/audit/?since={now():%Y-%m-%d}")
    answer = operator.client.get("/operator/audit/?since=yesterday")
    assert answer.status_code == 422 and "Enter a valid date" in answer.content.decode()


def test_the_audit_log_has_pages_that_keep_the_filter(operator, owner):
    for _ in range(101):
        record_event("token.made", organization_id="", target=owner.user, actor_id=owner.user.pk)
    page = text_of(operator, "/operator/audit/?person=ada&verb=token.made")
    assert "Page 1 of 2, 101 events" in page
    assert 'href="?page=2&amp;verb=token.made&amp;person=ada"' in page
