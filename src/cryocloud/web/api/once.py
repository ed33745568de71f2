"""``Idempotency-Key``: an order that is sent again, because its answer was lost, has one effect."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from ninja import NinjaAPI
from ninja.operation import Operation

from cryocloud.web.accounts.answers import NONE_YET, claim_answer, keep_answer
from cryocloud.web.api.credentials import actor
from cryocloud.web.api.error_shape import error_body
from cryocloud.web.core.errors import Refused

HEADER = "Idempotency-Key"
# Operations whose answer tells a secret, which lies nowhere in clear: of such an answer nothing is kept.
TELL_A_SECRET = frozenset({"renew_webhook_secret"})
NOT_TOLD_AGAIN = (
    "This order was carried out before. Its answer held a secret, which is told once and not kept. If that answer was "
    "lost, order a new secret under a new Idempotency-Key."
)
_KEY = re.compile(r"[\x21-\x7e]{1,128}")
_PARAMETER = {
    "in": "header",
    "name": HEADER,
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"},
    "description": "Any text that is new for each order, such as a UUID. The same order sent again with it within "
    "24 hours gets the same answer and has no second effect; another order under it is refused. An answer that told a "
    "secret is not kept: the same order sent again has no second effect and gets 409.",
}


def accept_repeated_orders(api: NinjaAPI) -> None:
    """Let every operation by POST take the header; what the description leaves out has no caller to remember."""
    for router in api._get_bound_routers():
        for view in router.path_operations.values():
            for operation in view.operations:
                if operation.methods == ["POST"] and operation.include_in_schema:
                    _have_one_effect(operation)


def _have_one_effect(operation: Operation) -> None:
    act = operation.view_func
    extra = operation.openapi_extra or {}
    operation.openapi_extra = extra | {"parameters": [*extra.get("parameters", []), _PARAMETER]}

    def once(request: HttpRequest, **values: Any) -> Any:
        key = request.headers.get(HEADER)
        if key is None:
            return act(request, **values)
        if not _KEY.fullmatch(key):
            raise Refused(f"{HEADER}: give 1 to 128 visible ASCII characters without spaces.")
        return _answer_once(
            request,
            key,
            lambda: _respond(operation, request, act(request, **values)),
            tells_a_secret=operation.operation_id in TELL_A_SECRET,
        )

    operation.view_func = once


def _respond(operation: Operation, request: HttpRequest, found: Any) -> HttpResponseBase:
    return operation._result_to_response(request, found, operation.api.create_temporal_response(request))


def _answer_once(request: HttpRequest, key: str, act: Any, *, tells_a_secret: bool) -> HttpResponseBase:
    caller, order = actor(request), f"{request.method} {request.path}\n".encode() + request.body
    with transaction.atomic():
        kept = claim_answer(caller, key, order)
        if kept.status != NONE_YET:
            return HttpResponse(
                kept.content, status=kept.status, content_type="application/json; charset=utf-8"
            )
        response: HttpResponse = act()
        status, content = response.status_code, response.content
        if tells_a_secret:
            status, content = HTTPStatus.CONFLICT, error_body(NOT_TOLD_AGAIN)
        keep_answer(kept, status=status, content=content.decode())
        return response
