"""Those who run the platform. For everybody else what is theirs does not exist, and no token acts in their place."""

from __future__ import annotations

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.second_factor import require_second_factor
from cryocloud.web.core.errors import NotFound


def require_operator(actor: Actor) -> None:
    if actor.token or not actor.user.is_operator:
        raise NotFound


def require_staff(actor: Actor, purpose: str) -> None:
    """With a second factor, for what could harm."""
    require_operator(actor)
    require_second_factor(actor, purpose)
