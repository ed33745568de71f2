"""How often something may be done, counted in the memory of the one web process."""

from __future__ import annotations

import hashlib

from django.core.cache import cache

from cryocloud.web.core.errors import TooManyRequests


def spend(action: str, who: str, *, amount: int, window_s: int) -> None:
    """Count one; beyond ``amount`` within ``window_s`` seconds of the first, refuse."""
    key = _key(action, who)
    cache.add(key, 0, window_s)
    try:
        used = cache.incr(key)
    except ValueError:  # the window ended between the two calls
        return
    if used > amount:
        raise TooManyRequests(
            f"That was done more than {amount} times in a short while. Try again in {_in_words(window_s)}."
        )


def is_spent(action: str, who: str, *, amount: int) -> bool:
    """Whether the next one would be refused."""
    return int(cache.get(_key(action, who), 0)) >= amount


def _key(action: str, who: str) -> str:
    return f"rate:{action}:{hashlib.sha256(who.encode()).hexdigest()}"


def _in_words(window_s: int) -> str:
    minutes = max(1, window_s // 60)
    return f"{minutes} minutes" if minutes < 120 else f"{minutes // 60} hours"
