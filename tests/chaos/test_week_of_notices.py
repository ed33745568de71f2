"""A week with 300 endings in three organizations: everybody is told once of what concerns them, and nobody else.

Real worker, killed at any point; real SMTP and HTTP on the loopback interface. Only computing is left out: jobs end
through the scheduler's own last step.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from allauth.account.models import EmailAddress
from django.db import connection

import cryocloud.catalog.types
import cryocloud.catalog.workflows
from chaos.week import Calendar, Ledger, MailServer, Person, Worker, accepted, key_of_mail
from cryocloud.web import configuration as settings
from cryocloud.web.notices.models import Notice, Occasion, Webhook
from cryocloud.web.notices.services import choose_for_project, choose_mails
from cryocloud.web.notices.webhooks import set_webhook
from cryocloud.web.organizations.models import Membership, Role
from cryocloud.web.organizations.services import remove_member
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Job, Run
from cryocloud.web.runs.services import accept_doubt, cancel_job, cancel_run, retry_job, start_run
from free_port import free_port
from platform_endings import BAD_INPUT, DONE, EXCEPTIONS, FAILED, end_job, end_run, queued_job
from platform_orders import FAKE_JOB_TYPES, make_dataset, make_project
from signature_lines import is_genuine
from web.notices.receiver import Receiver, receiving

EVENTS = 300
WEEK_S = 7 * 24 * 3600
STEP_S = WEEK_S / EVENTS
BURST = 5
WORDS = {"exceptions": "Done, with exceptions", "waiting": "Needs you"}
KINDS = {"done": "done", "exceptions": "done", "failed": "failed", "waiting": "needs_you"}


@dataclass
class Lab:
    """An organization with its people and what receives its webhook."""

    people: list[Person]
    projects: list[Project]
    receiver: Receiver
    secret: str
    is_called: bool = True

    @property
    def owner(self) -> Person:
        return self.people[0]


@dataclass
class Week:
    """Everything that happens, and what it should lead to."""

    labs: list[Lab]
    worker: Worker
    server: MailServer
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    ledger: Ledger = field(default_factory=Ledger)

    def happen(self) -> None:
        """One thing comes to an end, in one of all ways; it leads to one event, to two, or to none."""
        lab = self.chance.choice(self.labs)
        starter = self.chance.choice([one for one in lab.people if one.is_member])
        project = self.chance.choice(lab.projects)
        ways = (self._job, self._job, self._retried_job, self._run, self._doubtful_run, self._cancelled)
        self.chance.choice(ways)(lab, starter, project)

    def _job(self, lab: Lab, starter: Person, project: Project) -> None:
        code = self.chance.choice((DONE, EXCEPTIONS, FAILED, BAD_INPUT))
        job = end_job(queued_job(project, starter.member.user.pk), code, resolution_angstrom=3.4)
        self._told(lab, starter, job)

    def _retried_job(self, lab: Lab, starter: Person, project: Project) -> None:
        job = end_job(queued_job(project, starter.member.user.pk), FAILED, "a fault")
        self._told(lab, starter, job)
        retry_job(actor=lab.owner.member.actor, job=job)
        end_job(job, None)  # type: ignore[arg-type]  # lost and begun again, which nobody is told
        self._told(lab, starter, end_job(job, self.chance.choice((DONE, FAILED))))

    def _run(self, lab: Lab, starter: Person, project: Project) -> None:
        run = end_run(self._start(lab, starter, project), DONE, self.chance.choice((DONE, FAILED)))
        self._told(lab, starter, run)

    def _doubtful_run(self, lab: Lab, starter: Person, project: Project) -> None:
        run = end_run(self._start(lab, starter, project, doubt="Look at it."), DONE)
        self._told(lab, starter, run)
        if self.chance.random() < 0.5:
            cancel_run(actor=lab.owner.member.actor, run=run)
        else:
            accept_doubt(actor=lab.owner.member.actor, run=run)
            self._told(lab, starter, end_run(run, FAILED))

    def _cancelled(self, lab: Lab, starter: Person, project: Project) -> None:
        cancel_job(actor=lab.owner.member.actor, job=queued_job(project, starter.member.user.pk))
        cancel_run(actor=lab.owner.member.actor, run=self._start(lab, starter, project))

    def _start(self, lab: Lab, starter: Person, project: Project, **parameters: Any) -> Run:
        file = make_dataset(lab.owner.member, {"a.txt": b"1"}).files.get()
        run = start_run(
            actor=lab.owner.member.actor, project=project, workflow="tally", parameters=parameters,
            inputs={"input": f"file:{file.pk}"},
        )  # fmt: skip
        Run.unscoped.filter(pk=run.pk).update(created_by_id=starter.member.user.pk)
        return run

    def _told(self, lab: Lab, starter: Person, about: Run | Job) -> None:
        page = f"/{'runs' if isinstance(about, Run) else 'jobs'}/{about.pk}/"
        words = WORDS.get(about.state, about.state.capitalize())
        for person in lab.people:
            if person.hears_of(about.project_id, is_own=person is starter):
                key = (person.email, page, words)
                is_outage = bool(self.server.refusal)
                self.ledger.note(person, key, KINDS[about.state], about.project_id, is_outage=is_outage)
        if lab.is_called:
            calls = self.ledger.calls.setdefault(lab.owner.email, Counter())
            calls[page.removeprefix("/"), about.state] += 1

    def kill_worker(self) -> None:
        time.sleep(self.chance.uniform(0.0, 0.6))
        self.worker.kill()
        self.worker.start()

    def change_somebody(self) -> None:
        """Between two events somebody chooses anew."""
        lab = self.chance.choice(self.labs)
        person, project = self.chance.choice(lab.people[:3]), self.chance.choice(lab.projects)
        if not person.is_member:
            return
        if self.chance.random() < 0.5:
            person.mails = {kind for kind in ("done", "failed", "needs_you") if self.chance.random() < 0.7}
            wanted = {kind: kind in person.mails for kind in ("done", "failed", "needs_you")}
            choose_mails(actor=person.member.actor, **wanted)
        else:
            choice = self.chance.choice(("own", "follow", "mute"))
            person.choices[project.pk] = choice
            choose_for_project(actor=person.member.actor, project=project, choice=choice)

    def remove(self, lab: Lab, person: Person) -> None:
        person.is_member = False
        membership = Membership.unscoped.get(user=person.member.user)
        remove_member(actor=lab.owner.member.actor, membership=membership)

    def lose_address(self, person: Person) -> None:
        person.has_address = False
        EmailAddress.objects.filter(user=person.member.user).update(verified=False)


@pytest.fixture
def calendar(home: Path, monkeypatch: pytest.MonkeyPatch) -> Calendar:
    made = Calendar(home / "ahead")
    made.start(monkeypatch)
    return made


@pytest.fixture
def prepared(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Job types that do little, webhooks on this machine, and no pictures of results that are not there."""
    for package, folder in ((cryocloud.catalog.types, "catalog"), (cryocloud.catalog.workflows, "workflows")):
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(FAKE_JOB_TYPES / folder)])
    opened = settings.configuration().model_copy(update={"webhook_networks": (ip_network("127.0.0.0/8"),)})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: opened)
    nothing = SimpleNamespace(enqueue=lambda *_, **__: None)
    monkeypatch.setattr("cryocloud.web.results.publishing.make_previews", nothing)


@pytest.fixture
def week(
    home: Path, db: None, prepared: None, calendar: Calendar, make_member: Callable[..., Any]
) -> Iterator[Week]:
    server, port = MailServer(), free_port()
    controller = Controller(server, hostname="127.0.0.1", port=port)
    controller.start()
    worker = Worker(home, str(connection.settings_dict["NAME"]), calendar, port)
    with ExitStack() as stack:
        labs = [_lab(make_member, name, stack.enter_context(receiving())) for name in ("ada", "bea", "cyd")]
        worker.start()
        yield Week(labs, worker, server)
        worker.kill()
    controller.stop()


def _lab(make_member: Callable[..., Any], name: str, receiver: Receiver) -> Lab:
    owner = make_member(name=name)
    members = [owner]
    for role in (Role.EDITOR, Role.VIEWER, Role.EDITOR, Role.EDITOR):
        members.append(make_member(owner.organization, role, name=f"{name}{len(members)}"))
    for one in members:
        EmailAddress.objects.create(user=one.user, email=one.user.email, verified=True, primary=True)
    _, secret = set_webhook(actor=owner.actor, organization=owner.organization, url=receiver.url)
    return Lab(list(map(Person, members)), [make_project(owner) for _ in range(2)], receiver, secret)


def live_through(week: Week, calendar: Calendar) -> None:
    """Bursts of events; what people change, outages and kills come between them at fixed and at random times."""
    first, second, third = week.labs
    plan: dict[int, Callable[[], None]] = {
        30: lambda: _refuse(week, "RCPT 451 later"),
        36: lambda: week.remove(first, first.people[3]),
        37: lambda: week.lose_address(second.people[3]),
        45: lambda: _take_again(week),
        50: lambda: _fail(second, 503),
        90: lambda: _fail(third, None),
        100: lambda: _fail(second, 204),
        150: lambda: week.remove(third, third.people[4]),
        180: lambda: _refuse(week, "DATA 452 no room"),
        183: lambda: week.remove(second, second.people[4]),
        190: lambda: _take_again(week),
    }
    burst = 0
    while (told := Occasion.unscoped.exclude(subject="webhook").count()) < EVENTS:
        for _ in range(BURST):
            week.happen()
            calendar.pass_s(STEP_S)
        if burst % 9 == 4:
            week.kill_worker()
            calendar.pass_s(130)  # the leases of what it had in hand run out
        week.worker.settle()
        third.is_called = Webhook.unscoped.get(organization=third.owner.member.organization).is_on
        for moment in [one for one in sorted(plan) if one <= told]:
            plan.pop(moment)()
        week.change_somebody()
        burst += 1
    assert not plan
    for _ in range(12):  # the pauses of what waits for another try
        calendar.pass_s(6 * 3600)
        week.worker.settle()


def _fail(lab: Lab, status: int | None) -> None:
    lab.receiver.answer = lambda: status


def _refuse(week: Week, refusal: str) -> None:
    week.server.refusal = refusal


def _take_again(week: Week) -> None:
    """What was held is sent within the next pause, before anybody changes anything."""
    week.server.refusal = ""
    week.ledger.end_outage()
    for _ in range(5):
        week.worker.calendar.pass_s(3 * 3600)
        week.worker.settle()


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.django_db(transaction=True)
def test_each_event_is_told_once_to_each(week: Week, calendar: Calendar) -> None:
    began_s = time.monotonic()
    live_through(week, calendar)
    took_s = time.monotonic() - began_s
    kills = week.worker.kills
    assert kills >= 2
    _assert_notices(week)
    unsure, missing = _assert_mails(week, kills)
    repeated = _assert_calls(week, kills)
    print(
        f"{Occasion.unscoped.count()} events, {Notice.unscoped.count()} notices, {len(week.server.mails)} mails, "
        f"{sum(len(lab.receiver.calls) for lab in week.labs)} calls; {kills} kills; "
        f"{unsure} mails cut off, {missing} of these missing, {repeated} calls made twice; {took_s:.0f} s"
    )


def _assert_notices(week: Week) -> None:
    rows = Notice.unscoped.exclude(occasion__subject="webhook").select_related("occasion", "user")
    told = Counter((one.user.email, one.occasion.address, one.occasion.state_words) for one in rows)
    assert told == week.ledger.notices


def _assert_mails(week: Week, kills: int) -> tuple[int, int]:
    """None twice and none too many; missing are only those that a kill cut off while they were sent."""
    told = [mail for mail in week.server.mails if not mail[1].startswith("Switched off")]
    came = Counter(map(key_of_mail, told))
    cut_off = Notice.unscoped.filter(mail=Notice.Mail.UNSURE).select_related("occasion", "user")
    unsure = Counter((one.user.email, one.occasion.address, one.occasion.state_words) for one in cut_off)
    assert came - week.ledger.mails == Counter(), "a mail too many"
    assert not (week.ledger.mails - came) - unsure, "a mail is missing"
    assert unsure.total() <= kills
    assert not Notice.unscoped.filter(mail__in=(Notice.Mail.WAITING, Notice.Mail.SENDING)).exists()
    off = [mail for mail in week.server.mails if mail[1].startswith("Switched off")]
    assert len(off) == 1 and off[0][0] == week.labs[2].owner.email
    return unsure.total(), (week.ledger.mails - came).total()


def _assert_calls(week: Week, kills: int) -> int:
    verify, repeated = is_genuine(any_time=True), 0
    for lab in week.labs:
        assert all(verify(lab.secret, one.headers, one.body) for one in lab.receiver.calls)
        assert len(lab.receiver.calls) > 20
        counted, again = accepted(lab.receiver)
        repeated += again
        if lab is week.labs[2]:
            assert not counted - week.ledger.calls[lab.owner.email], "a call too many"
        else:
            assert counted == week.ledger.calls[lab.owner.email]
    assert repeated <= kills
    return repeated
