"""How often something may be done. Counts are rows: no other traffic pushes them out, and no restart forgets them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection
from django.db.models import F

from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import TooManyRequests
from cryocloud.web.core.models import Count

# One statement for all counts of an attempt; a window that is over begins anew.
_COUNT_ONE_MORE = """
INSERT INTO core_count (key, used, ends_at) VALUES {rows}
ON CONFLICT (key) DO UPDATE SET
    used = CASE WHEN core_count.ends_at <= %s THEN 1 ELSE core_count.used + 1 END,
    ends_at = CASE WHEN core_count.ends_at <= %s THEN excluded.ends_at ELSE core_count.ends_at END
RETURNING key, used
"""


@dataclass(frozen=True)
class Limit:
    """``amount`` times within ``window_s`` of the first."""

    action: str
    who: str
    amount: int
    window_s: int

    @property
    def key(self) -> str:
        return hashlib.sha256(f"{self.action}:{self.who}".encode()).hexdigest()

    def refusal(self) -> TooManyRequests:
        return TooManyRequests(
            f"That was done more than {self.amount} times in a short while. "
            f"Try again in {_in_words(self.window_s)}."
        )


def reached(*limits: Limit) -> Limit | None:
    """The first of these that leaves no more; nothing is counted."""
    used = dict(
        Count.objects.filter(pk__in=[one.key for one in limits], ends_at__gt=now()).values_list("key", "used")
    )
    return next((one for one in limits if used.get(one.key, 0) >= one.amount), None)


def count(*limits: Limit) -> Limit | None:
    """Count one of each, unless one is reached; then that is the answer. What is refused writes nothing."""
    refused = reached(*limits)
    if refused is not None:
        return refused
    adapt, moment = connection.ops.adapt_datetimefield_value, now()
    rows = ", ".join(["(%s, 1, %s)"] * len(limits))
    given = [part for one in limits for part in (one.key, adapt(moment + timedelta(seconds=one.window_s)))]
    with connection.cursor() as cursor:
        cursor.execute(_COUNT_ONE_MORE.format(rows=rows), [*given, adapt(moment), adapt(moment)])
        used = dict(cursor.fetchall())
    return next((one for one in limits if used[one.key] > one.amount), None)


def give_back(*limits: Limit) -> None:
    """What was counted was none of what is limited, such as the right password."""
    Count.objects.filter(pk__in=[one.key for one in limits], used__gt=0).update(used=F("used") - 1)


def spend(action: str, who: str, *, amount: int, window_s: int) -> None:
    """Count one; beyond ``amount`` within ``window_s`` seconds of the first, refuse."""
    refused = count(Limit(action, who, amount, window_s))
    if refused is not None:
        raise refused.refusal()


def _in_words(window_s: int) -> str:
    minutes = max(1, window_s // 60)
    return f"{minutes} minutes" if minutes < 120 else f"{minutes // 60} hours"
