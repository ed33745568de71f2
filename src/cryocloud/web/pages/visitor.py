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
from cryocloud.web.core.errors import NotFound
from cryocloud.web.organizations.access import organizations_of
from cryocloud.web.organizations.models import Organization

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
        return view(request, actor, *arguments, **named)

    return for_members


def current_organization(actor: Actor) -> Organization:
    """The one that the person last switched to, or the first of theirs."""
    own = organizations_of(actor)
    found = own.filter(pk=actor.user.current_organization_id).first() or own.first()
    if found is None:
        raise NotFound
    return found
