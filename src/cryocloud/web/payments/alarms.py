"""Things about money that a person has to look at; one that is known is not raised again."""

from __future__ import annotations

import logging

from cryocloud.web.core.clock import now
from cryocloud.web.payments.models import Difference

_log = logging.getLogger("cryocloud.payments")


def raise_alarm(kind: str, subject: str, words: str) -> bool:
    """Whether it is news."""
    found, is_new = Difference.objects.get_or_create(
        key=f"{kind}:{subject}"[:160], defaults={"kind": kind, "words": words[:500]}
    )
    if not is_new:
        is_new = found.gone_at is not None
        found.words, found.seen_at, found.gone_at = words[:500], now(), None
        found.save()
    if is_new:
        _log.error("difference about money", extra={"kind": kind, "subject": subject})
    return is_new
