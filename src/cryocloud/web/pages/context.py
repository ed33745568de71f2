from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.models import User
from cryocloud.web.accounts.second_factor import has_second_factor
from cryocloud.web.configuration import configuration
from cryocloud.web.notices.services import unread_count
from cryocloud.web.organizations.access import organizations_of, owns_any
from cryocloud.web.organizations.models import Organization
from cryocloud.web.pages.standing import Shown, shown_standing


def site(request: HttpRequest) -> dict[str, Any]:
    """What every page may use; the organizations are read only where the navigation is drawn."""
    own = SimpleLazyObject(lambda: _own_organizations(request))
    return {
        "configuration": configuration(),
        "organizations": own,
        "lacks_second_factor": SimpleLazyObject(lambda: _lacks_second_factor(request)),
        "current_organization": SimpleLazyObject(lambda: _current(request, list(own))),
        "current_standing": SimpleLazyObject(lambda: _standing(request, list(own))),
        "unread_notices": SimpleLazyObject(lambda: _unread_notices(request)),
    }


def _own_organizations(request: HttpRequest) -> list[Organization]:
    user = getattr(request, "user", None)
    return list(organizations_of(Actor(user))) if isinstance(user, User) else []


def _unread_notices(request: HttpRequest) -> int:
    user = getattr(request, "user", None)
    return unread_count(Actor(user)) if isinstance(user, User) else 0


def _lacks_second_factor(request: HttpRequest) -> bool:
    """Owners are reminded on every page until they have one."""
    user = getattr(request, "user", None)
    return isinstance(user, User) and not has_second_factor(user) and owns_any(Actor(user))


def _standing(request: HttpRequest, own: list[Organization]) -> Shown | None:
    current = _current(request, own)
    return None if current is None else shown_standing(current)


def _current(request: HttpRequest, own: list[Organization]) -> Organization | None:
    chosen = [one for one in own if one.id == getattr(request.user, "current_organization_id", "")]
    return next(iter(chosen or own), None)
