"""The decorator that every page of the operator wears."""

from __future__ import annotations

from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponseBase

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.staff import require_operator
from cryocloud.web.pages.visitor import MemberView, members_only


def operators_only(view: MemberView) -> MemberView:
    """Calls ``view(request, actor, ...)`` for operators; for everybody else the page is not there."""

    @members_only
    @wraps(view)
    def for_operators(request: HttpRequest, actor: Actor, *arguments: Any, **named: Any) -> HttpResponseBase:
        require_operator(actor)
        return view(request, actor, *arguments, **named)

    return for_operators
