"""How allauth is bent to this platform."""

from __future__ import annotations

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest

from cryocloud.web.configuration import configuration


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth publishes no types
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return configuration().sign_up_open
