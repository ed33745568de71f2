"""How often the forms of accounts may be sent that guess at nothing by themselves but cost mail, work or patience."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from cryocloud.web.accounts.guessing import MINUTE_S, place_of
from cryocloud.web.accounts.models import User
from cryocloud.web.core.rate_limits import Limit, count

WINDOW_S = 10 * MINUTE_S
# By person where somebody has logged in, else by place.
FORMS = {
    "account_signup": 20,
    "account_email": 20,
    "account_change_password": 20,
    "account_email_verification_sent": 60,
    "account_confirm_password_reset_code": 60,
    "account_complete_password_reset": 60,
    "mfa_login_webauthn": 60,
    "mfa_activate_totp": 20,
}


class limited_forms:
    """Middleware: counts what is posted."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: object) -> HttpResponse | None:
        match = request.resolver_match
        name = match.view_name if match else ""
        if request.method != "POST" or name not in FORMS:
            return None
        who = request.user.pk if isinstance(request.user, User) else place_of(request)
        if count(Limit(f"form {name}", who, FORMS[name], WINDOW_S)) is None:
            return None
        return render(request, "429.html", status=429)
