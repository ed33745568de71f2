"""One structured line a request, and one place where refusals become pages."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from cryocloud.web.core.errors import PlatformError
from cryocloud.web.core.ids import new_id
from cryocloud.web.core.log_format import request_id

Handler = Callable[[HttpRequest], HttpResponse]

_log = logging.getLogger("cryocloud.request")
_UNLOGGED = ("/static/", "/health/")
_PERSONAL = ("/api/", "/accounts/", "/invitations/", "/first-admin/")


def request_log(get_response: Handler) -> Handler:
    """Path template, status and duration; no query string, no cookie, no body.

    The id of the request stands in every line that is logged on its behalf, and in the answer.
    """

    def handle(request: HttpRequest) -> HttpResponse:
        began_s = time.monotonic()
        request_id.set(new_id())
        response = get_response(request)
        response["X-Request-ID"] = request_id.get()
        if not request.path.startswith(_UNLOGGED):
            match = request.resolver_match
            _log.info(
                "request",
                extra={
                    "method": request.method,
                    "route": match.route if match else "unknown",
                    "status": response.status_code,
                    "ms": round(1000 * (time.monotonic() - began_s), 1),
                },
            )
        return response

    return handle


def nothing_kept(get_response: Handler) -> Handler:
    """What is answered to a credential, or on the way to one, is kept by no browser and no proxy.

    Pages for everybody, asked for without a credential, and static files may be kept. Logging out also empties
    whatever the browser has kept all the same.
    """

    def handle(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        has_credential = settings.SESSION_COOKIE_NAME in request.COOKIES or "Authorization" in request.headers
        if has_credential or request.path.startswith(_PERSONAL):
            response.headers["Cache-Control"] = "no-store"
        match = request.resolver_match
        if request.method == "POST" and match and match.url_name == "account_logout":
            response.headers["Clear-Site-Data"] = '"cache", "storage"'
        return response

    return handle


class plain_errors:
    """Turns a ``PlatformError`` raised in a view into a page with its message."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, PlatformError):
            return None
        shown = {
            "message": str(error),
            "status": error.status,
            "remedy": error.remedy,
            "remedy_words": error.remedy_words,
        }
        return render(request, "error.html", shown, status=error.status)
