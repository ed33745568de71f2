"""What operators decide about requests for an invitation."""

from __future__ import annotations

from django.db import transaction

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.models import User
from cryocloud.web.accounts.second_factor import require_second_factor
from cryocloud.web.accounts.staff import require_operator
from cryocloud.web.audit.services import record_event
from cryocloud.web.core.errors import Conflict, NotFound, Refused
from cryocloud.web.core.rate_limits import spend
from cryocloud.web.inbox.keeping import close_thread, open_thread
from cryocloud.web.inbox.models import InvitationRequest
from cryocloud.web.inbox.sign_up import offer_account

INVITATIONS_A_DAY = 200
State = InvitationRequest.State


@transaction.atomic
def invite_requester(*, actor: Actor, request_id: str, again: bool = False) -> InvitationRequest:
    """Mail a link to whoever asked. ``again`` replaces a link that is lost; a form that is sent twice does not."""
    held = _locked(actor, request_id)
    if not held.email:
        raise Conflict("This mail has no address that an invitation could go to.")
    if held.state == State.INVITED and not again:
        raise Conflict(f"{held.email} is invited already. To send another link, choose “Invite again”.")
    person = User.objects.filter(email=held.email).first()
    if person is not None:
        raise Conflict(
            f"{held.email} has an account already."
            if person.is_active
            else f"{held.email} has an account that is closed; it is reopened under People."
        )
    spend("invitation to sign up", actor.user.pk, amount=INVITATIONS_A_DAY, window_s=24 * 3600)
    offer_account(actor=actor, email=held.email)
    others = InvitationRequest.objects.select_for_update(no_key=True).filter(
        email=held.email, state=State.OPEN
    )
    for request in {held, *others}:
        _decide(actor, request, State.INVITED)
    return held


@transaction.atomic
def put_request(*, actor: Actor, request_id: str, to: str) -> InvitationRequest:
    """Set aside, mark as spam, or open again."""
    held = _locked(actor, request_id)
    if to not in (State.OPEN, State.SET_ASIDE, State.SPAM):
        raise Refused("Choose what becomes of the request: open, set aside or spam.")
    if held.state != to:
        _decide(actor, held, State(to))
    return held


def _locked(actor: Actor, request_id: str) -> InvitationRequest:
    require_operator(actor)
    require_second_factor(actor, "Deciding about requests")
    found = (
        InvitationRequest.objects.select_for_update(no_key=True)
        .select_related("thread")
        .filter(pk=request_id)
        .first()
    )
    if found is None:
        raise NotFound
    return found


def _decide(actor: Actor, request: InvitationRequest, state: InvitationRequest.State) -> None:
    before, request.state = request.state, state
    request.decided_by_id = actor.user.pk
    request.save(update_fields=["state", "decided_by_id"])
    if state == State.OPEN:
        open_thread(request.thread)
    else:
        close_thread(request.thread)
    record_event(
        "invitation_request.decided",
        organization_id="",
        target=request,
        actor_id=actor.user.pk,
        via=actor.via,
        before=before,
        after=state,
    )
