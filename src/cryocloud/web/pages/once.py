"""An order on a form that is sent twice, by a double click or after going back, has one effect."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.answers import NONE_YET, claim_answer, keep_answer
from cryocloud.web.core.secret_words import new_secret

FIELD = "order_key"
_LENGTH_MAX = 128


def new_order_key() -> str:
    """For a form that is drawn; it comes back with what was filled in."""
    return new_secret()


def order_once(request: HttpRequest, actor: Actor, act: Callable[[], str]) -> HttpResponse:
    """Go to the address that ``act`` gives, or gave when this form came with the same content before.

    Whoever changes something on the form and sends it again means another order.
    """
    key = request.POST.get(FIELD, "")[:_LENGTH_MAX]
    if not key:
        return redirect(act())
    order = _content(request)
    place = f"form:{key}:{hashlib.sha256(order).hexdigest()}"
    with transaction.atomic():
        kept = claim_answer(actor, place, order)
        if kept.status == NONE_YET:
            address = act()
            keep_answer(kept, status=302, content=address)
            return redirect(address)
    messages.info(
        request, "This order had been sent already; this is what it started. Nothing was started twice."
    )
    return redirect(kept.content)


def _content(request: HttpRequest) -> bytes:
    """All that was filled in, whatever the order of the fields; the CSRF token differs each time."""
    filled = sorted(
        (name, request.POST.getlist(name)) for name in request.POST if name != "csrfmiddlewaretoken"
    )
    return repr((request.path, filled)).encode()
