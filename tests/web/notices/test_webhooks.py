"""Calls of webhooks: signed, repeated, given up; set up by those who govern."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from django.core import mail

from cryocloud.web import configuration as settings
from cryocloud.web.audit.models import AuditEvent
from cryocloud.web.core import clock, tasks
from cryocloud.web.notices import outward
from cryocloud.web.notices.calls import PAUSES_S
from cryocloud.web.notices.models import Call, Notice, Webhook
from cryocloud.web.operations.replay import replay
from cryocloud.web.operations.worker import LANES
from cryocloud.web.organizations.models import Role
from cryocloud.web.projects.models import Project
from platform_endings import FAILED, end_job, queued_job
from platform_orders import make_project
from signature_lines import is_genuine
from web.notices.conftest import make_due, work
from web.notices.receiver import Receiver, receiving

PAGE = "/organization/webhook/"


@pytest.fixture(autouse=True)
def loopback(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator who lets webhooks call programs on the same machine."""
    opened = settings.configuration().model_copy(update={"webhook_networks": (ip_network("127.0.0.0/8"),)})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: opened)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def secret(ada: Any, receiver: Receiver) -> str:
    page = ada.client.post(PAGE, {"url": receiver.url}).content.decode()
    found = re.search(r"whsec_[\w+/=]+", page)
    assert found, page
    return found[0]


class Time:
    """A clock that the test sets forward."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = timedelta()
        real, passed = clock.datetime, self

        class Ahead(real):  # type: ignore[misc, valid-type]
            @classmethod
            def now(cls, zone: Any = None) -> Any:
                return real.now(zone) + passed.ahead

        monkeypatch.setattr(clock, "datetime", Ahead)


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


def test_a_run_of_the_lines_in_the_guide_knows_our_calls_from_others(
    ada: Any, project: Project, receiver: Receiver, secret: str
) -> None:
    job = end_job(queued_job(project, ada.user.pk), resolution_angstrom=3.94)
    work()
    (call,) = receiver.calls
    verify = is_genuine()
    assert verify(secret, call.headers, call.body)
    assert not verify(secret, call.headers, call.body.replace(b"done", b"gone"))
    assert not verify("whsec_" + "A" * 44, call.headers, call.body)
    assert not verify(secret, call.headers | {"webhook-timestamp": str(int(time.time()) - 301)}, call.body)
    told = json.loads(call.body)
    assert (told["type"], told["data"]["state"], told["data"]["id"]) == ("job.done", "done", job.pk)
    assert told["data"]["resolution_angstrom"] == 3.94
    assert told["data"]["project"] == {"id": project.pk, "name": "Apoferritin"}
    assert told["data"]["url"].endswith(f"/jobs/{job.pk}/")
    assert call.path == "/hook?from=lab" and call.headers["content-type"] == "application/json"


def test_the_secret_is_shown_once_and_kept_encrypted(ada: Any, receiver: Receiver, secret: str) -> None:
    assert secret not in ada.client.get(PAGE).content.decode()
    assert secret not in str(Webhook.unscoped.values())
    assert secret not in str(list(AuditEvent.objects.values()))
    again = ada.client.post(PAGE, {"url": receiver.url + "&again"})
    assert again.status_code == 302, "another address, the same secret"
    renewed = ada.client.post(f"{PAGE}secret/").content.decode()
    assert "whsec_" in renewed and secret not in renewed


def test_what_fails_is_called_again_with_growing_pauses_and_the_same_id(
    ada: Any, project: Project, receiver: Receiver, secret: str
) -> None:
    answers = iter([500, None, 302, 404, 204])
    receiver.answer = lambda: next(answers)
    receiver.extra = {"Location": "http://127.0.0.1:1/elsewhere"}
    end_job(queued_job(project, ada.user.pk))
    words = []
    for _ in range(5):
        work()
        words.append(Call.unscoped.get().answer)
        make_due()
    assert words[:4] == [
        "answered 500",
        "no connection, or no answer that is HTTP",
        "answered 302, redirects are not followed",
        "answered 404",
    ]
    assert Call.unscoped.get().state == Call.State.DELIVERED
    assert len({one.headers["webhook-id"] for one in receiver.calls}) == 1 and len(receiver.calls) == 5
    assert all(is_genuine()(secret, one.headers, one.body) for one in receiver.calls)
    assert list(PAUSES_S) == sorted(PAUSES_S)
    make_due()
    work()
    assert len(receiver.calls) == 5


def test_after_days_in_vain_it_is_switched_off_and_its_owners_are_told(
    ada: Any, project: Project, receiver: Receiver, secret: str, passing: Time
) -> None:
    receiver.answer = lambda: 503
    end_job(queued_job(project, ada.user.pk))
    work()
    mail.outbox.clear()
    passing.ahead = timedelta(days=3, minutes=1)
    end_job(queued_job(project, ada.user.pk), FAILED)
    work()
    assert not Webhook.unscoped.get().is_on
    told = [one for one in mail.outbox if one.subject.startswith("Switched off")]
    assert len(told) == 1 and "answered 503" in told[0].body and "/organization/webhook/" in told[0].body
    assert "you govern the organization" in told[0].body
    assert Notice.unscoped.filter(occasion__subject="webhook", user=ada.user).count() == 1
    calls = len(receiver.calls)
    end_job(queued_job(project, ada.user.pk))
    work()
    assert len(receiver.calls) == calls and "Off" in ada.client.get(PAGE).content.decode()
    receiver.answer = lambda: 200
    ada.client.post(f"{PAGE}switch/", {"on": "yes"})
    end_job(queued_job(project, ada.user.pk))
    work()
    assert receiver.calls[-1].status == 200


def test_who_says_gone_is_left_alone_at_once(
    ada: Any, project: Project, receiver: Receiver, secret: str
) -> None:
    receiver.answer = lambda: 410
    end_job(queued_job(project, ada.user.pk))
    work()
    assert not Webhook.unscoped.get().is_on and Call.unscoped.get().state == Call.State.GIVEN_UP


def test_a_test_goes_the_same_way_and_stands_in_the_list(ada: Any, receiver: Receiver, secret: str) -> None:
    ada.client.post(f"{PAGE}test/")
    assert "Waiting" in ada.client.get(PAGE).content.decode()
    work()
    assert json.loads(receiver.calls[0].body)["type"] == "test"
    page = ada.client.get(PAGE).content.decode()
    assert "Delivered" in page and "answered 204" in page


def test_a_worker_killed_after_the_answer_calls_again_with_the_same_id(
    ada: Any, project: Project, receiver: Receiver, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    end_job(queued_job(project, ada.user.pk))
    with monkeypatch.context() as patched:
        patched.setattr("cryocloud.web.notices.calls._succeed", kill)
        with pytest.raises(Killed):
            tasks.run_next("killed", LANES["calling"])
    tasks.release_others("next")
    work()
    assert [one.headers["webhook-id"] for one in receiver.calls] == [Call.unscoped.get().message_id] * 2


def test_an_organization_hears_of_itself_only(
    ada: Any, project: Project, receiver: Receiver, secret: str, make_person: Callable[..., Any]
) -> None:
    eve = make_person(name="eve")
    end_job(queued_job(make_project(eve), eve.user.pk))
    work()
    assert receiver.calls == []


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_who_does_not_govern_sees_and_changes_nothing(
    ada: Any, secret: str, make_person: Callable[..., Any], role: Role
) -> None:
    other = make_person(ada.organization, role, name="bob")
    assert other.client.get(PAGE).status_code == 403
    for part in ("", "test/", "secret/", "switch/", "remove/"):
        assert other.client.post(PAGE + part, {"url": "https://1.1.1.1/"}).status_code == 403
    assert other.api("GET", f"/organizations/{ada.organization.pk}/webhook").status_code == 403
    assert Webhook.unscoped.count() == 1 and not Call.unscoped.exists()


def test_set_up_over_the_api_with_each_change_in_the_audit_log(ada: Any, receiver: Receiver) -> None:
    path = f"/organizations/{ada.organization.pk}/webhook"
    assert ada.api("GET", path).status_code == 404
    made = ada.api("PUT", path, {"url": receiver.url}).json()
    assert made["secret"].startswith("whsec_") and made["is_on"]
    assert ada.api("PUT", path, {"url": receiver.url}).json()["secret"] == ""
    assert ada.api("POST", f"{path}/test").status_code == 201
    work()
    (call,) = ada.api("GET", f"{path}/calls").json()["items"]
    assert (call["type"], call["state"], call["answer"]) == ("test", "delivered", "answered 204")
    assert is_genuine()(made["secret"], receiver.calls[0].headers, receiver.calls[0].body)
    assert ada.api("POST", f"{path}/secret").json()["secret"] not in ("", made["secret"])
    assert ada.api("POST", f"{path}/switch", {"on": False}).json()["is_on"] is False
    assert ada.api("POST", f"{path}/test").status_code == 409
    assert ada.api("DELETE", path).status_code == 204 and ada.api("GET", path).status_code == 404
    verbs = AuditEvent.objects.filter(verb__startswith="webhook.").values_list("verb", flat=True)
    assert list(verbs) == [
        "webhook.set", "webhook.set", "webhook.secret_renewed", "webhook.switched_off", "webhook.removed",
    ]  # fmt: skip


def test_a_receiver_that_drips_is_left_at_the_deadline(
    ada: Any, project: Project, receiver: Receiver, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outward, "DEADLINE_S", 1.0)
    receiver.drip_s = 0.4
    end_job(queued_job(project, ada.user.pk))
    began_s = time.monotonic()
    work()
    assert time.monotonic() - began_s < 3 and Call.unscoped.get().answer == "no answer within 1 s"


def test_who_says_gone_mails_the_governors_once_a_day(
    ada: Any, receiver: Receiver, secret: str, passing: Time
) -> None:
    """However often they switch it on and try, and also under another address."""
    receiver.answer = lambda: 410
    for _ in range(3):
        ada.client.post(f"{PAGE}test/")
        work()
        assert not Webhook.unscoped.get().is_on
        ada.client.post(f"{PAGE}switch/", {"on": "yes"})
    ada.client.post(f"{PAGE}remove/")
    ada.client.post(PAGE, {"url": receiver.url})
    ada.client.post(f"{PAGE}test/")
    work()
    (told,) = [one for one in mail.outbox if one.subject.startswith("Switched off")]
    assert "answered 410 Gone" in told.body and "in vain" not in told.body
    passing.ahead = timedelta(days=1, minutes=1)
    ada.client.post(f"{PAGE}switch/", {"on": "yes"})
    ada.client.post(f"{PAGE}test/")
    work()
    assert len([one for one in mail.outbox if one.subject.startswith("Switched off")]) == 2
    assert AuditEvent.objects.filter(verb="webhook.answered_gone").count() == 5


def test_after_a_restore_all_webhooks_are_off_and_those_who_govern_are_told(
    ada: Any, project: Project, receiver: Receiver, secret: str, make_person: Callable[..., Any]
) -> None:
    """The backup may hold a webhook that was removed since, or a secret that was renewed because it had leaked."""
    make_person(ada.organization, Role.EDITOR, name="bob")
    end_job(queued_job(project, ada.user.pk))  # its call was waiting when the backup was made
    assert Webhook.unscoped.get().is_on
    replay(after_restore=True)
    assert not Webhook.unscoped.get().is_on
    ada.client.force_login(ada.user, backend="django.contrib.auth.backends.ModelBackend")
    ada.client.post(f"{PAGE}switch/", {"on": "yes"})
    work()
    assert receiver.calls == [], "what waited may have been called since"
    (told,) = [one for one in mail.outbox if one.subject.startswith("Switched off")]
    assert told.to == [ada.user.email] and "restored from a backup" in told.body
    replay()
    assert Webhook.unscoped.get().is_on, "a start without a restore leaves it alone"
