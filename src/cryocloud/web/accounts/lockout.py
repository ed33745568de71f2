"""What happens after too many wrong passwords for one address from one place."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def address_tried(request: HttpRequest, credentials: dict[str, Any] | None) -> str:
    """The address somebody tries to log in with; in lower case, so that its spelling opens no second door."""
    given = (credentials or {}).get("email") or request.POST.get("login") or ""
    return str(given).strip().lower()[:254]


def locked_out_page(
    request: HttpRequest, response: HttpResponse | None, credentials: dict[str, Any] | None
) -> HttpResponse:
    return render(request, "429.html", status=429)
