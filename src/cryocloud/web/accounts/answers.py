"""Answers to orders that may come twice: the same ``Idempotency-Key`` gives the same answer and has one effect."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.models import KeptAnswer
from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import Refused

KEPT = timedelta(hours=24)
NONE_YET = 0
"""The status of an answer that is being made."""


def claim_answer(actor: Actor, key: str, order: bytes) -> KeptAnswer:
    """The answer that was given to this order, or a row without one: then the order is the caller's to carry out.

    Of two at the same time, the second waits at the insertion for the end of the first one's transaction. Another
    order under the same key is refused.
    """
    place, order_hash = _place(actor, key), hashlib.sha256(order).hexdigest()
    KeptAnswer.objects.filter(pk=place, created_at__lt=now() - KEPT).delete()
    new = KeptAnswer(pk=place, user=actor.user, order_hash=order_hash, status=NONE_YET, content="")
    KeptAnswer.objects.bulk_create([new], ignore_conflicts=True)
    kept = KeptAnswer.objects.get(pk=place)
    if kept.order_hash != order_hash:
        raise Refused(
            f"The Idempotency-Key “{key}” belongs to another order of the last {KEPT // timedelta(hours=1)} hours. "
            "Take a new key for each order, and the old one only to repeat the same order."
        )
    return kept


def keep_answer(claimed: KeptAnswer, *, status: int, content: str) -> None:
    """In the transaction of the order itself: both are there afterwards, or neither."""
    claimed.status, claimed.content = status, content
    claimed.save()  # also where the order has made the actor forget all answers


def forget_answers(user_id: str) -> None:
    """With a role ends the right to hear again what was answered under it."""
    KeptAnswer.objects.filter(user_id=user_id).delete()


def forget_old_answers() -> None:
    KeptAnswer.objects.filter(created_at__lt=now() - KEPT).delete()


def _place(actor: Actor, key: str) -> str:
    credential = actor.token.pk if actor.token else "session"
    return hashlib.sha256(f"{actor.user.pk}:{credential}:{key}".encode()).hexdigest()
