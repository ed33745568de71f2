"""Who may handle money."""

from __future__ import annotations

from cryocloud.web.accounts import staff
from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.models import User


def require_staff(actor: Actor) -> None:
    staff.require_staff(actor, "Handling money")


def is_alone(actor: Actor) -> bool:
    """Whether nobody else could approve what this person has prepared."""
    return not User.objects.filter(is_operator=True, is_active=True).exclude(pk=actor.user.pk).exists()
