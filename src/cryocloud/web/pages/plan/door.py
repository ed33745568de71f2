"""The decorator of pages about plans: where nothing is sold they do not exist."""

from __future__ import annotations

from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponseBase

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.pages.visitor import MemberView, members_only
from cryocloud.web.subscriptions.orders import terms


def members_where_sold(view: MemberView) -> MemberView:
    """Calls ``view(request, actor, ...)`` for a person who has logged in, where something is sold."""

    @members_only
    @wraps(view)
    def where_sold(request: HttpRequest, actor: Actor, *arguments: Any, **named: Any) -> HttpResponseBase:
        terms()
        return view(request, actor, *arguments, **named)

    return where_sold
