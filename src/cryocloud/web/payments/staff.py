"""Who may handle money, and that they say why."""

from __future__ import annotations

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.models import User
from cryocloud.web.accounts.second_factor import require_second_factor
from cryocloud.web.core.errors import NotFound, Refused

REASON_LENGTH = 500


def require_staff(actor: Actor) -> None:
    """Operators, with a second factor; for everybody else there is nothing here, and tokens move no money."""
    if actor.token or not actor.user.is_operator:
        raise NotFound
    require_second_factor(actor, "Handling money")


def is_alone(actor: Actor) -> bool:
    """Whether nobody else could approve what this person has prepared."""
    return not User.objects.filter(is_operator=True, is_active=True).exclude(pk=actor.user.pk).exists()


def checked_reason(reason: str) -> str:
    said = " ".join(reason.split())
    if not said:
        raise Refused("A reason is needed.", {"reason": "Say why; it stands in the audit log."})
    if len(said) > REASON_LENGTH:
        raise Refused(
            "The reason is too long.",
            {"reason": f"This has {len(said)} characters; give at most {REASON_LENGTH}."},
        )
    return said
