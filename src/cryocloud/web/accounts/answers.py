"""Answers to orders that may come twice: the same ``Idempotency-Key`` gives the same answer and has one effect."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.models import KeptAnswer
from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import Refused

KEPT = timedelta(hours=24)


def find_answer(actor: Actor, key: str, order: bytes) -> KeptAnswer | None:
    """The answer that was given to this order; another order under the same key is refused."""
    kept = KeptAnswer.objects.filter(pk=_place(actor, key)).first()
    if kept is None:
        return None
    if kept.created_at < now() - KEPT:
        kept.delete()
        return None
    if kept.order_hash != hashlib.sha256(order).hexdigest():
        raise Refused(
            f"The Idempotency-Key “{key}” belongs to another order of the last {KEPT // timedelta(hours=1)} hours. "
            "Take a new key for each order, and the old one only to repeat the same order."
        )
    return kept


def keep_answer(actor: Actor, key: str, order: bytes, *, status: int, content: str) -> None:
    """In the transaction of the order itself: both are there afterwards, or neither."""
    KeptAnswer.objects.create(
        pk=_place(actor, key),
        user=actor.user,
        order_hash=hashlib.sha256(order).hexdigest(),
        status=status,
        content=content,
    )


def forget_answers(user_id: str) -> None:
    """With a role ends the right to hear again what was answered under it."""
    KeptAnswer.objects.filter(user_id=user_id).delete()


def forget_old_answers() -> None:
    KeptAnswer.objects.filter(created_at__lt=now() - KEPT).delete()


def _place(actor: Actor, key: str) -> str:
    credential = actor.token.pk if actor.token else "session"
    return hashlib.sha256(f"{actor.user.pk}:{credential}:{key}".encode()).hexdigest()
