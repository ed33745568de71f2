"""Who looks at a page, and the decorator that every page for members wears."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponseBase

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.models import User
from cryocloud.web.accounts.orders import SAFE_METHODS, count_order
from cryocloud.web.core.errors import Conflict, NotFound
from cryocloud.web.core.models import TenantRecord
from cryocloud.web.data.models import Dataset, DatasetFile
from cryocloud.web.organizations.access import get_organization, organizations_of, visible
from cryocloud.web.organizations.models import Membership, Organization
from cryocloud.web.organizations.services import switch_organization
from cryocloud.web.payments.models import Payment
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Job, Run

_SHOWN: dict[str, type[TenantRecord]] = {
    "project_id": Project,
    "dataset_id": Dataset,
    "file_id": DatasetFile,
    "run_id": Run,
    "job_id": Job,
    "membership_id": Membership,
    "payment_id": Payment,
}
ORGANIZATION_FIELD = "organization"
NO_ORGANIZATION = (
    "This form does not say for which of your organizations it is; nothing was changed. Load its page again, look "
    "which organization its header names, and send it once more."
)
MemberView = Callable[..., HttpResponseBase]


def members_only(view: MemberView) -> MemberView:
    """Calls ``view(request, actor, ...)`` for a person who has logged in; others are sent to the log-in page."""

    @login_required
    @wraps(view)
    def for_members(request: HttpRequest, *arguments: Any, **named: Any) -> HttpResponseBase:
        assert isinstance(request.user, User)
        actor = Actor(request.user)
        if request.method not in SAFE_METHODS:
            count_order(actor)
        else:
            _enter_what_is_shown(request, actor)
        return view(request, actor, *arguments, **named)

    return for_members


def _enter_what_is_shown(request: HttpRequest, actor: Actor) -> None:
    """Whoever opens a page of another of their organizations works there from now on: header and menus follow.

    Parts of pages, pictures and other requests of a page that lies open elsewhere change nothing.
    """
    match = request.resolver_match
    is_opened = request.headers.get("Sec-Fetch-Dest", "document") == "document"
    if match is None or not is_opened or "HX-Request" in request.headers:
        return
    for name, model in _SHOWN.items():
        if name in match.kwargs:
            enter_organization_of(actor, model, match.kwargs[name])


def enter_organization_of(actor: Actor, model: type[TenantRecord], object_id: str) -> None:
    """Switch to the organization of a row, if it is one of the actor's and another than the current one."""
    found = visible(actor, model).filter(pk=object_id).select_related("organization").first()
    if found is not None and found.organization_id != actor.user.current_organization_id:
        switch_organization(actor=actor, organization=found.organization)


def current_organization(request: HttpRequest, actor: Actor) -> Organization:
    """The one that the person last switched to, or the first of theirs.

    A form counts for the one for which it was drawn, whatever was opened in other tabs since; whoever sends it works
    there from now on.
    """
    own = organizations_of(actor)
    current = own.filter(pk=actor.user.current_organization_id).first() or own.first()
    if current is None:
        raise NotFound
    if request.method in SAFE_METHODS:
        return current
    given = request.POST.get(ORGANIZATION_FIELD, "")
    if not given and own.count() > 1:
        raise Conflict(NO_ORGANIZATION)
    if not given or given == current.pk:
        return current
    drawn_for = get_organization(actor, given)
    switch_organization(actor=actor, organization=drawn_for)
    return drawn_for
