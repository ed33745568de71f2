"""What stands in place of a page whose subject is in the trash."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.core.errors import NotFound
from cryocloud.web.core.models import DeletableRecord
from cryocloud.web.organizations.access import role_in
from cryocloud.web.pages.visitor import MemberView
from cryocloud.web.trash import services


def or_in_trash(model: type[DeletableRecord]) -> Callable[[MemberView], MemberView]:
    """The view takes ``(request, actor, id)``; its organization's members learn that the row is in the trash."""

    def decorate(view: MemberView) -> MemberView:
        @wraps(view)
        def shown(request: HttpRequest, actor: Actor, **named: Any) -> HttpResponseBase:
            try:
                return view(request, actor, **named)
            except NotFound:
                (object_id,) = named.values()
                deletion = services.find_deletion(actor, model, object_id)
                if deletion is None:
                    raise
            role = role_in(actor, deletion.organization_id)
            context = {
                "section": "dashboard",
                "deletion": deletion,
                "is_whole": deletion.target_id == object_id,
                "what": model._meta.verbose_name,
                "due_at": services.due_at(deletion),
                "may_restore": role is not None and role >= services.needed_role(deletion.kind),
            }
            return render(request, "trash/in_trash.html", context, status=404)

        return shown

    return decorate
