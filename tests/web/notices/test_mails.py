"""Who is told of what, when, how often, and in which words."""

from __future__ import annotations

import smtplib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db import IntegrityError, transaction

from cryocloud.web.configuration import configuration
from cryocloud.web.core import tasks
from cryocloud.web.core.clock import now
from cryocloud.web.core.models import BackgroundTask
from cryocloud.web.notices.mail import LIFE, PAUSES_S
from cryocloud.web.notices.models import Notice, Occasion
from cryocloud.web.notices.services import choose_for_project, choose_mails
from cryocloud.web.operations.replay import replay
from cryocloud.web.operations.worker import LANES
from cryocloud.web.organizations.models import Membership, Role
from cryocloud.web.organizations.services import remove_member
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Run
from cryocloud.web.runs.services import accept_doubt, cancel_job, cancel_run, retry_job, start_run
from platform_endings import BAD_INPUT, DONE, EXCEPTIONS, FAILED, end_job, end_run, queued_job
from platform_orders import make_dataset
from web.notices.conftest import make_due, work

Person = Callable[..., Any]


def tally(member: Any, project: Project, **parameters: Any) -> Run:
    file = make_dataset(member, {"a.txt": b"1"}).files.get()
    return start_run(
        actor=member.actor, project=project, workflow="tally", parameters=parameters,
        inputs={"input": f"file:{file.pk}"},
    )  # fmt: skip


def mails_to(person: Any) -> list[Any]:
    return [one for one in mail.outbox if one.to == [person.user.email]]


def test_the_mail_of_a_finished_job_says_what_is_needed_and_no_more(ada: Any, project: Project) -> None:
    job = end_job(queued_job(project, ada.user.pk), resolution_angstrom=3.94, trusted=1.0)
    work()
    (sent,) = mail.outbox
    site = configuration().address
    assert sent.subject == "Done at 3.94 Å: Job 1 (Counting), Apoferritin"
    assert sent.to == [ada.user.email] and sent.from_email == configuration().mail_from
    for line in (
        "Organization: Lab of ada\nProject:      Apoferritin\nState:        Done\nResolution:   3.94 Å\n",
        f"\n{site}/jobs/{job.pk}/\n",
        f"you started it.\nChoose which mails you get: {site}/settings/notices/\n",
    ):
        assert line in sent.body
    assert len(sent.body.splitlines()) < 20
    assert sent.extra_headers["List-Unsubscribe"] == f"<{site}/settings/notices/>"


def test_a_run_is_told_when_it_asks_and_when_it_is_done_but_not_its_jobs(ada: Any, project: Project) -> None:
    run = end_run(tally(ada, project, doubt="The first count may be wrong."), DONE)
    work()
    assert run.state == Run.State.WAITING
    assert [one.subject for one in mail.outbox] == ["Needs you: Run 1 (Tally), Apoferritin"]
    assert "The first count may be wrong." in mail.outbox[0].body
    accept_doubt(actor=ada.actor, run=run)
    assert end_run(run, DONE).state == Run.State.DONE
    work()
    assert mail.outbox[-1].subject == "Done, not to be trusted: Run 1 (Tally), Apoferritin"
    assert len(mail.outbox) == Notice.unscoped.count() == 2


def test_each_failure_is_told_and_its_retry_again(ada: Any, project: Project) -> None:
    job = end_job(queued_job(project, ada.user.pk), BAD_INPUT, "box_size_px: 5 is too small; take 64")
    retry_job(actor=ada.actor, job=job)
    end_job(job, EXCEPTIONS)
    end_run(tally(ada, project), DONE, FAILED)
    work()
    assert [one.subject.split(":")[0] for one in mail.outbox] == ["Failed", "Done, with exceptions", "Failed"]
    assert "box_size_px: 5 is too small; take 64" in mail.outbox[0].body
    assert "Job 3 (Counting) failed: the box is too small" in mail.outbox[2].body


def test_who_cancels_is_not_told_of_it(ada: Any, project: Project) -> None:
    cancel_job(actor=ada.actor, job=queued_job(project, ada.user.pk))
    cancel_run(actor=ada.actor, run=tally(ada, project))
    work()
    assert not Occasion.unscoped.exists() and mail.outbox == []


def test_an_attempt_that_is_begun_again_is_no_end(ada: Any, project: Project) -> None:
    end_job(queued_job(project, ada.user.pk), None)  # type: ignore[arg-type]  # lost, without a record
    assert not Occasion.unscoped.exists()


def test_nothing_is_told_of_what_was_rolled_back(ada: Any, project: Project) -> None:
    @transaction.atomic
    def end_and_trip() -> None:
        end_job(queued_job(project, ada.user.pk))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        end_and_trip()
    work()
    assert mail.outbox == [] and not Notice.unscoped.exists()


def test_followers_hear_of_the_work_of_others_and_who_muted_hears_nothing(
    ada: Any, project: Project, make_person: Person
) -> None:
    bob, eve, zoe = (make_person(ada.organization, Role.VIEWER, name=name) for name in ("bob", "eve", "zoe"))
    choose_for_project(actor=bob.actor, project=project, choice="follow")
    choose_for_project(actor=eve.actor, project=project, choice="mute")
    end_job(queued_job(project, ada.user.pk))
    end_job(queued_job(project, eve.user.pk))
    work()
    assert [len(mails_to(one)) for one in (ada, bob, eve, zoe)] == [1, 2, 0, 0]
    assert "because you follow the project" in mails_to(bob)[0].body


def test_choices_between_the_event_and_the_mail_count(ada: Any, project: Project) -> None:
    end_job(queued_job(project, ada.user.pk))
    choose_mails(actor=ada.actor, done=False, failed=True, needs_you=True)
    work()
    end_job(queued_job(project, ada.user.pk), FAILED)
    choose_for_project(actor=ada.actor, project=project, choice="mute")
    work()
    assert mail.outbox == []
    assert set(Notice.unscoped.values_list("mail", flat=True)) == {Notice.Mail.UNWANTED}


@pytest.mark.parametrize("kind", ["done", "failed"])
def test_each_kind_of_mail_is_switched_off_by_itself(ada: Any, project: Project, kind: str) -> None:
    choose_mails(actor=ada.actor, **({"done": True, "failed": True, "needs_you": True} | {kind: False}))
    end_job(queued_job(project, ada.user.pk), DONE)
    end_job(queued_job(project, ada.user.pk), FAILED)
    work()
    assert [one.subject.startswith("Failed") for one in mail.outbox] == [kind == "done"]
    assert Notice.unscoped.count() == 2, "the pages show both"


def test_who_was_removed_meanwhile_gets_nothing_and_sees_nothing(
    ada: Any, project: Project, make_person: Person
) -> None:
    bob = make_person(ada.organization, Role.EDITOR, name="bob")
    end_job(queued_job(project, bob.user.pk))
    remove_member(actor=ada.actor, membership=Membership.unscoped.get(user=bob.user))
    work()
    end_job(queued_job(project, bob.user.pk))
    work()
    assert mail.outbox == []
    assert bob.client.get("/api/v1/notices").json()["items"] == []


def test_an_account_that_is_closed_or_an_address_nobody_proved_gets_no_mail(
    ada: Any, project: Project, make_person: Person
) -> None:
    bob = make_person(ada.organization, Role.EDITOR, name="bob")
    EmailAddress.objects.filter(user=bob.user).update(verified=False)
    eve = make_person(ada.organization, Role.EDITOR, name="eve")
    for person in (bob, eve):
        end_job(queued_job(project, person.user.pk))
    eve.user.is_active = False
    eve.user.save()
    work()
    assert mail.outbox == []


class Server(EmailBackend):
    """A mail server that has its days; ``trouble`` is raised at ``moment``."""

    trouble: Exception | None = None
    moment = "open"

    def open(self) -> None:
        if self.trouble and self.moment == "open":
            raise self.trouble

    def send_messages(self, messages: Any) -> Any:
        if self.trouble and self.moment == "before":
            raise self.trouble
        count = super().send_messages(messages)
        if self.trouble and self.moment == "after":
            raise self.trouble
        return count


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> type[Server]:
    monkeypatch.setattr("cryocloud.web.notices.mail.get_connection", Server)
    monkeypatch.setattr(Server, "trouble", None)
    monkeypatch.setattr(Server, "moment", "open")
    return Server


REFUSALS = [
    ("open", ConnectionRefusedError()),
    ("open", smtplib.SMTPAuthenticationError(535, b"no")),
    ("before", smtplib.SMTPSenderRefused(550, b"who?", "a@b")),
    ("before", smtplib.SMTPRecipientsRefused({"x": (451, b"later")})),
    ("before", smtplib.SMTPDataError(452, b"full")),
]


@pytest.mark.parametrize(("moment", "trouble"), REFUSALS, ids=lambda part: str(part)[:30])
def test_what_the_server_did_not_take_is_sent_later_once(
    ada: Any, project: Project, server: type[Server], moment: str, trouble: Exception
) -> None:
    server.moment, server.trouble = moment, trouble
    end_job(queued_job(project, ada.user.pk))
    work()
    assert mail.outbox == [] and Notice.unscoped.get().mail == Notice.Mail.WAITING
    server.trouble = None
    work()
    assert mail.outbox == [], "it waits a minute"
    for _ in range(3):
        make_due()
        work()
    assert len(mail.outbox) == 1 and Notice.unscoped.get().mail == Notice.Mail.SENT


def test_pauses_grow_and_end_within_a_day(ada: Any, project: Project, server: type[Server]) -> None:
    server.trouble = ConnectionRefusedError()
    end_job(queued_job(project, ada.user.pk))
    pauses = []
    for _ in range(len(PAUSES_S) + 3):
        work()
        waiting = BackgroundTask.objects.filter(path__contains="mail_notice", state="ready").first()
        if waiting is None:
            break
        pauses.append(round((waiting.run_after - now()).total_seconds(), -1))
        make_due()
    assert pauses == [round(pause, -1) for pause in PAUSES_S] == sorted(pauses)
    assert Notice.unscoped.get().mail == Notice.Mail.GIVEN_UP and sum(PAUSES_S) < 24 * 3600


@pytest.mark.parametrize(
    "trouble",
    [smtplib.SMTPRecipientsRefused({"x": (550, b"nobody")}), smtplib.SMTPDataError(554, b"no")],
    ids=["nobody there", "never"],
)
def test_what_the_server_will_never_take_is_given_up(
    ada: Any, project: Project, server: type[Server], trouble: Exception
) -> None:
    server.moment, server.trouble = "before", trouble
    end_job(queued_job(project, ada.user.pk))
    work()
    assert Notice.unscoped.get().mail == Notice.Mail.GIVEN_UP


def test_news_of_the_day_before_yesterday_is_not_sent(ada: Any, project: Project) -> None:
    end_job(queued_job(project, ada.user.pk))
    Notice.unscoped.update(created_at=now() - LIFE - timedelta(minutes=1))
    work()
    assert mail.outbox == [] and Notice.unscoped.get().mail == Notice.Mail.GIVEN_UP


class Killed(BaseException):
    """As a process that is no more: nothing is caught, nothing written."""


@pytest.mark.parametrize(
    ("moment", "sent", "state"), [("open", 1, "sent"), ("before", 0, "unsure"), ("after", 1, "unsure")]
)
def test_a_worker_that_is_killed_sends_no_mail_twice(
    ada: Any, project: Project, server: type[Server], moment: str, sent: int, state: str
) -> None:
    server.moment, server.trouble = moment, Killed()  # type: ignore[assignment]
    end_job(queued_job(project, ada.user.pk))
    with pytest.raises(Killed):
        tasks.run_next("killed", LANES["mailing"])
    server.trouble = None
    tasks.release_others("next")
    work()
    assert (len(mail.outbox), Notice.unscoped.get().mail) == (sent, state)


def test_a_person_has_one_notice_of_an_occasion(ada: Any, project: Project) -> None:
    end_job(queued_job(project, ada.user.pk))
    notice = Notice.unscoped.get()
    with pytest.raises(IntegrityError), transaction.atomic():
        Notice.unscoped.create(
            organization_id=notice.organization_id, occasion=notice.occasion, user=notice.user
        )


def test_after_a_restore_what_waited_in_the_backup_is_not_sent(ada: Any, project: Project) -> None:
    end_job(queued_job(project, ada.user.pk))
    replay(after_restore=True)
    work()
    assert mail.outbox == [] and Notice.unscoped.get().mail == Notice.Mail.UNSURE
