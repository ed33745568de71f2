"""Where payment providers tell what has happened. They are no callers of the API: their messages prove themselves."""

from __future__ import annotations

from django.http import HttpRequest
from ninja import Router, Status
from ninja.errors import HttpError

from cryocloud.web.payments.events import receive_event
from cryocloud.web.payments.providers.base import ForgedEvent

router = Router()


@router.post(
    "/payments/events/{provider}",
    auth=None,
    include_in_schema=False,
    response={204: None},
    operation_id="receive_payment_event",
)
def receive_payment_event(request: HttpRequest, provider: str) -> Status[None]:
    try:
        receive_event(provider, request.body, request.headers)
    except ForgedEvent as forged:
        raise HttpError(400, str(forged)) from None
    return Status(204, None)
