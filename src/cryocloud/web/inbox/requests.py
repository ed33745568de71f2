"""Mails to the contact address: whoever writes asks for an invitation, and operators decide."""

from __future__ import annotations

from cryocloud.web.configuration import configuration
from cryocloud.web.inbox.acknowledging import acknowledge
from cryocloud.web.inbox.boxes import Box, register_box
from cryocloud.web.inbox.keeping import close_thread, open_thread
from cryocloud.web.inbox.models import InvitationRequest, Mail

KIND = "invitation"
State = InvitationRequest.State


def receive_request(mail: Mail) -> None:
    """A first mail makes a request, a later one in its thread opens it again; spam stays spam."""
    request, is_new = InvitationRequest.objects.get_or_create(
        thread=mail.thread,
        defaults={"email": mail.sender, "name": mail.sender_name, "state": _state_of(mail)},
    )
    if is_new and request.state != State.OPEN:
        close_thread(mail.thread)
    elif not is_new and request.state in (State.INVITED, State.SET_ASIDE) and not mail.is_automatic:
        request.state = State.OPEN
        request.save(update_fields=["state"])
        open_thread(mail.thread)
    if is_new and request.state == State.OPEN and mail.sender:
        acknowledge.enqueue(mail.thread_id)


def _state_of(mail: Mail) -> InvitationRequest.State:
    """Lists and programs do not ask; who sent spam once has sent it again."""
    if mail.is_automatic:
        return State.SET_ASIDE
    is_spammer = (
        InvitationRequest.objects.filter(email=mail.sender, state=State.SPAM).exclude(email="").exists()
    )
    return State.SPAM if is_spammer else State.OPEN


def _addresses() -> tuple[str, ...]:
    contact = configuration().contact.lower()
    return (contact,) if contact else ()


register_box(Box(KIND, _addresses, receive_request))
