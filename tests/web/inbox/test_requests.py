"""From a mail to an account: somebody asks for an invitation, an operator decides."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import pytest
from django.core import mail
from django.db import connection
from django.test import Client

from cryocloud.web.accounts.models import User
from cryocloud.web.audit.models import AuditEvent
from cryocloud.web.configuration import configuration
from cryocloud.web.core.models import BackgroundTask
from cryocloud.web.inbox.keeping import last_day_kept
from cryocloud.web.inbox.models import InvitationRequest, Mail, SignUpInvitation, Thread
from cryocloud.web.organizations.models import Membership, Organization, Role
from web.inbox.conftest import CONTACT, GRACE, arrive, letter, work
from web.visitors import PASSWORD, Visitor, mailed_code

KEPT = "250 2.0.0 Kept"


@pytest.fixture
def closed(monkeypatch):
    site = configuration().model_copy(update={"sign_up_open": False})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: site)


@pytest.fixture
def invited(operator):
    """The path of the link that Grace gets when her request is granted."""

    def grant():
        assert arrive(letter()) == KEPT
        assert decide(operator, "invite").status_code == 302
        work()
        return link_in_mail()

    return grant


def link_in_mail():
    return re.findall(r"/welcome/[\w-]{43}/", "".join(one.body for one in mail.outbox))[-1]


def decide(operator, to, request=None):
    request = request or InvitationRequest.objects.latest("created_at")
    return operator.client.post(f"/operator/requests/{request.pk}/", {"to": to})


def page_of(operator, state="open"):
    return " ".join(operator.client.get(f"/operator/requests/?state={state}").content.decode().split())


@pytest.mark.requirement("ONB-03")
@pytest.mark.django_db(transaction=True)
def test_a_mail_comes_in_and_an_invitation_goes_out(lmtp, operator, closed):
    with lmtp() as server:
        server.send_message(letter(), GRACE, [CONTACT])
    page = page_of(operator)
    for words in ("Grace Hopper", GRACE, "May I use CryoCloud?", "may I use it for apoferritin?"):
        assert words in page
    answer = decide(operator, "invite")
    assert answer.status_code == 302
    work()
    invitation = next(one for one in mail.outbox if one.subject == "olga invites you to CryoCloud")
    assert invitation.to == [GRACE] and "olga@lab.example" in invitation.body
    visitor = Visitor(Client())
    link = link_in_mail()
    assert "olga" in visitor.client.get(link).content.decode()
    answer = visitor.client.post(link)
    form = visitor.client.get(answer.url).content.decode()
    assert GRACE in form and 'name="organization"' in form
    given = {"name": "Grace Hopper", "organization": "Harvard", "password1": PASSWORD}
    visitor.client.post(answer.url, given | {"email": "eve@evil.example"})
    visitor.client.post("/accounts/confirm-email/", {"code": mailed_code(GRACE)})
    membership = Membership.unscoped.get(user__email=GRACE)
    assert membership.organization.name == "Harvard" and membership.role == Role.OWNER
    assert membership.organization.state == Organization.State.TRIAL
    assert not User.objects.filter(email="eve@evil.example").exists()
    assert Client().get(link).status_code == 404, "the link worked once"
    assert {"sign_up_invitation.made", "sign_up_invitation.accepted", "invitation_request.decided"} <= set(
        AuditEvent.objects.values_list("verb", flat=True)
    )


@pytest.mark.requirement("ONB-02")
def test_a_link_of_a_secret_nobody_knows_leads_nowhere(operator, invited):
    link = invited()
    assert Client().get("/welcome/" + "x" * 43 + "/").status_code == 404
    assert len(link.split("/")[2]) * 6 >= 128, "bits of the secret"
    secret = link.split("/")[2]
    assert not SignUpInvitation.objects.filter(secret_hash=secret).exists()


@pytest.mark.requirement("ONB-02")
def test_a_link_ends_after_seven_days(operator, invited, monkeypatch):
    link = invited()
    made = SignUpInvitation.objects.get().created_at
    for seconds, status in ((-5, 200), (5, 404)):
        moment = made + timedelta(days=7, seconds=seconds)
        monkeypatch.setattr("cryocloud.web.inbox.sign_up.now", lambda moment=moment: moment)
        assert Client().get(link).status_code == status
    assert Client().post(link).status_code == 404


@pytest.mark.requirement("ONB-02")
def test_somebody_who_has_logged_in_with_another_address_sees_no_link(owner, operator, invited):
    link = invited()
    assert owner.client.get(link).status_code == owner.client.post(link).status_code == 404
    assert Client().get(link).status_code == 200


@pytest.mark.requirement("ONB-02")
@pytest.mark.django_db(transaction=True)
def test_of_two_that_sign_up_by_one_link_at_once_one_account_comes(operator, invited, closed):
    link = invited()
    visitors = [Visitor(Client()) for _ in range(2)]
    for one in visitors:
        assert one.client.post(link).status_code == 302

    def sign_up(one):
        try:
            return one.client.post(
                "/accounts/signup/", {"name": "Grace", "organization": "", "password1": PASSWORD}
            )
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(sign_up, visitors))
    assert User.objects.filter(email=GRACE).count() == 1
    mail.outbox[:] = [one for one in mail.outbox if re.search("[A-Z0-9]{4}-[A-Z0-9]{4}", one.body)]
    for one in visitors:
        one.client.post("/accounts/confirm-email/", {"code": mailed_code(GRACE)})
    assert Membership.unscoped.filter(user__email=GRACE).count() == 1
    assert Client().get(link).status_code == 404


def test_an_operator_who_may_no_longer_invite_takes_the_link_along(operator, invited):
    link = invited()
    User.objects.filter(pk=operator.user.pk).update(is_operator=False)
    assert Client().get(link).status_code == 404


def test_two_clicks_send_one_invitation_and_another_one_is_asked_for(operator, invited):
    link = invited()
    assert (
        "is invited already"
        in operator.client.post(
            f"/operator/requests/{InvitationRequest.objects.get().pk}/", {"to": "invite"}, follow=True
        ).content.decode()
    )
    work()
    assert SignUpInvitation.objects.count() == 1
    decide(operator, "invite_again")
    work()
    fresh = link_in_mail()
    assert fresh != link
    assert Client().get(link).status_code == 404 and Client().get(fresh).status_code == 200


def test_who_has_an_account_is_not_invited(operator, owner):
    arrive(letter(From=owner.user.email))
    page = operator.client.post(
        f"/operator/requests/{InvitationRequest.objects.get().pk}/", {"to": "invite"}, follow=True
    ).content.decode()
    assert f"{owner.user.email} has an account already." in page
    assert not SignUpInvitation.objects.exists()


def test_a_mail_without_an_address_is_shown_and_cannot_be_invited(operator):
    arrive(letter(From="nobody at all"))
    page = page_of(operator)
    assert "no address" in page and 'value="invite"' not in page
    assert decide(operator, "invite").status_code == 302
    assert not SignUpInvitation.objects.exists()


@pytest.mark.requirement("ONB-03")
def test_the_arrival_is_acknowledged_once_a_thread(operator, settings):
    arrive(letter())
    began = Thread.objects.get().created_at
    work()
    acknowledgement = mail.outbox[-1]
    assert acknowledgement.to == [GRACE] and "Your mail has arrived" in acknowledgement.body
    assert acknowledgement.extra_headers["Auto-Submitted"] == "auto-replied"
    assert acknowledgement.extra_headers["In-Reply-To"] == "<1@uni.example>"
    assert Thread.objects.get().acknowledged_at - began < timedelta(minutes=5)
    task = BackgroundTask.objects.get()
    assert task.run_after - task.created_at < timedelta(seconds=1), "the worker takes it at once"
    ours = acknowledgement.extra_headers["Message-ID"]
    arrive(letter("One more thing.", Message_ID="<2@uni.example>", In_Reply_To="<1@uni.example>"))
    arrive(letter("And another.", Message_ID="<3@uni.example>", In_Reply_To=ours))
    work()
    assert len(mail.outbox) == 1
    assert Thread.objects.count() == InvitationRequest.objects.count() == 1
    assert "One more thing." in page_of(operator) and "And another." in page_of(operator)


def test_a_stranger_cannot_write_into_a_thread(operator):
    arrive(letter())
    foreign = {"From": "eve@evil.example", "Message_ID": "<9@evil.example>", "In_Reply_To": "<1@uni.example>"}
    arrive(letter("Invite me instead.", **foreign))
    assert set(InvitationRequest.objects.values_list("email", flat=True)) == {GRACE, "eve@evil.example"}


def test_a_mail_that_is_delivered_twice_is_one_request(operator):
    assert arrive(letter()) == arrive(letter()) == KEPT
    relayed = b"Received: from other.example; Sat, 28 Nov 2026 11:00:00 +0000\r\n" + letter().as_bytes()
    assert arrive(relayed) == KEPT
    assert Mail.objects.count() == InvitationRequest.objects.count() == 1


def test_two_mails_that_claim_one_message_id_are_both_kept(operator):
    arrive(letter())
    arrive(letter("Something else."))
    assert Mail.objects.count() == 2


@pytest.mark.parametrize(
    "headers",
    [
        {"Auto_Submitted": "auto-replied"},
        {"Auto_Submitted": "auto-generated; owner=x"},
        {"Precedence": "bulk"},
        {"Precedence": "Junk"},
        {"List_Id": "<news.uni.example>"},
        {"List_Unsubscribe": "<https://news.example/>"},
        {"X_Auto_Response_Suppress": "All"},
        {"From": f"CryoCloud <{CONTACT}>"},
    ],
)
def test_programs_and_lists_get_no_answer_and_wait_for_nobody(operator, headers):
    assert arrive(letter(**headers)) == KEPT
    work()
    assert not mail.outbox
    assert InvitationRequest.objects.get().state == "set_aside"
    assert "Sent by a program or to a list" in page_of(operator, "set_aside")


def test_a_bounce_of_the_acknowledgement_is_kept_and_answered_by_nobody(operator):
    arrive(letter())
    work()
    bounce = letter("Undelivered.", From="MAILER-DAEMON@uni.example", Message_ID="<b@uni.example>")
    assert arrive(bounce, sender="<>") == KEPT
    work()
    assert len(mail.outbox) == 1


def test_one_address_gets_three_acknowledgements_a_day(operator):
    for number in range(6):
        arrive(letter(f"Question {number}", Message_ID=f"<{number}@uni.example>"))
    work()
    assert InvitationRequest.objects.count() == 6
    assert len(mail.outbox) == 3


def test_a_mail_server_that_is_down_delays_the_acknowledgement_only(operator, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    assert arrive(letter()) == KEPT
    work()
    assert Thread.objects.get().acknowledged_at is None
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    BackgroundTask.objects.update(run_after="2020-01-01T00:00Z")
    work()
    assert [one.to for one in mail.outbox] == [[GRACE]]


def test_what_is_set_aside_has_a_last_day_and_comes_back_with_the_next_mail(operator):
    arrive(letter())
    decide(operator, "set_aside")
    thread = Thread.objects.get()
    assert thread.keep_until == last_day_kept(thread.closed_at)
    assert "May I use CryoCloud?" in page_of(operator, "set_aside")
    arrive(letter("Please.", Message_ID="<2@uni.example>", In_Reply_To="<1@uni.example>"))
    assert InvitationRequest.objects.get().state == "open"
    thread.refresh_from_db()
    assert thread.closed_at is None and thread.keep_until is None


@pytest.mark.parametrize(
    ("closed_at", "day"),
    [
        (datetime(2024, 2, 29, 12, tzinfo=UTC), date(2027, 2, 28)),
        (datetime(2025, 2, 28, 22, 59, 59, tzinfo=UTC), date(2028, 2, 28)),
        (datetime(2026, 12, 31, 22, 59, 59, tzinfo=UTC), date(2029, 12, 31)),
        (datetime(2026, 12, 31, 23, 0, 0, tzinfo=UTC), date(2030, 1, 1)),
        (datetime(2026, 6, 30, 22, 0, 0, tzinfo=UTC), date(2029, 7, 1)),
    ],
)
def test_words_are_kept_for_three_years_of_the_calendar_in_amsterdam(closed_at, day):
    assert last_day_kept(closed_at) == day


def test_spam_stays_spam(operator):
    arrive(letter())
    work()
    decide(operator, "spam")
    arrive(letter("Again", Message_ID="<2@uni.example>"))
    arrive(letter("And again", Message_ID="<3@uni.example>", In_Reply_To="<1@uni.example>"))
    work()
    assert set(InvitationRequest.objects.values_list("state", flat=True)) == {"spam"}
    assert len(mail.outbox) == 1, "the one before it was marked"
    assert "No request waits for a decision." in page_of(operator)


def test_an_invitation_settles_all_open_requests_of_that_address(operator):
    arrive(letter())
    arrive(letter("A second question", Message_ID="<2@uni.example>"))
    decide(operator, "invite")
    assert set(InvitationRequest.objects.values_list("state", flat=True)) == {"invited"}
    assert SignUpInvitation.objects.count() == 1


def test_only_operators_see_requests_and_decide(owner, operator):
    arrive(letter())
    request = InvitationRequest.objects.get()
    assert owner.client.get("/operator/requests/").status_code == 404
    for wish in ("invite", "spam"):
        assert owner.client.post(f"/operator/requests/{request.pk}/", {"to": wish}).status_code == 404
    assert Client().get("/operator/requests/").status_code == 302
    assert InvitationRequest.objects.get().state == "open"
    assert operator.client.post("/operator/requests/none/", {"to": "invite"}).status_code == 404
    assert operator.client.post(f"/operator/requests/{request.pk}/", {"to": "gift"}).status_code == 422
