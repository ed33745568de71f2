"""Requests for an invitation: what people wrote, and what becomes of it."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Prefetch
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST, require_safe

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.configuration import configuration
from cryocloud.web.core.errors import Conflict
from cryocloud.web.inbox.models import InvitationRequest, Mail
from cryocloud.web.operations.inviting import invite_requester, put_request
from cryocloud.web.pages.operator.door import operators_only

PER_PAGE = 20
State = InvitationRequest.State
SAID = {
    State.OPEN: "The request of {who} is open again.",
    State.SET_ASIDE: "The request of {who} is set aside.",
    State.SPAM: "The request of {who} is spam; further mails of this sender will be too, and get no answer.",
}


@require_safe
@operators_only
def requests(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    state = request.GET.get("state", State.OPEN)
    state = state if state in State.values else State.OPEN
    mails = Prefetch("thread__mails", Mail.objects.order_by("created_at"))
    rows = InvitationRequest.objects.filter(state=state).prefetch_related(mails)
    numbers = dict(InvitationRequest.objects.values_list("state").annotate(Count("pk")))
    shown = {
        "section": "operator",
        "page": Paginator(rows.order_by("-created_at", "pk"), PER_PAGE).get_page(request.GET.get("page")),
        "state": state,
        "states": [(one.value, one.label, numbers.get(one.value, 0)) for one in State],
        "takes_mails": configuration().inbox_port is not None,
    }
    return render(request, "operations/requests.html", shown)


@operators_only
@require_POST
def decide(request: HttpRequest, actor: Actor, request_key: str) -> HttpResponseBase:
    """By the wish on the form, not by the present state: a form that is sent twice does nothing twice."""
    wish, shown_state = request.POST.get("to", ""), request.POST.get("state", State.OPEN)
    try:
        if wish in ("invite", "invite_again"):
            held = invite_requester(actor=actor, request_id=request_key, again=wish == "invite_again")
            messages.success(request, f"The invitation to {held.email} is on its way.")
        else:
            held = put_request(actor=actor, request_id=request_key, to=wish)
            messages.success(
                request, SAID[State(held.state)].format(who=held.email or "a sender without address")
            )
    except Conflict as reason:
        messages.error(request, str(reason))
    back = redirect("operator_requests")
    if shown_state in State.values:
        back["Location"] += f"?state={shown_state}"
    return back


urlpatterns: list[URLPattern] = [
    path("operator/requests/", requests, name="operator_requests"),
    path("operator/requests/<str:request_key>/", decide, name="operator_request"),
]
