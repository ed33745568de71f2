"""On whose behalf something is done, and with which credential."""

from __future__ import annotations

from dataclasses import dataclass

from cryocloud.web.accounts.models import ApiToken, User


@dataclass(frozen=True)
class Actor:
    """A person, through a session or through one of their tokens."""

    user: User
    token: ApiToken | None = None

    @property
    def via(self) -> str:
        return "token" if self.token else "session"
