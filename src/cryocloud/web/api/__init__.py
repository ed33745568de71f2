"""The API: everything that the pages do, under ``/api/v1``, described by its own OpenAPI document."""

from __future__ import annotations

import importlib
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.parser import Parser

from cryocloud import __version__
from cryocloud.web.api.credentials import SessionCredential, TokenCredential
from cryocloud.web.api.error_shape import error_body
from cryocloud.web.api.once import accept_repeated_orders
from cryocloud.web.core.errors import PlatformError, Refused

AREAS = (
    "organizations",
    "invoices",
    "datasets",
    "projects",
    "runs",
    "orders",
    "results",
    "trash",
    "notices",
    "payments",
    "catalog",
)


class ObjectParser(Parser):
    """A body is an object; ninja alone would take `null` for one in which everything is left out."""

    def parse_body(self, request: HttpRequest) -> Any:
        found = super().parse_body(request)
        if not isinstance(found, dict):
            raise ValueError("the body is no JSON object")
        return found


api = NinjaAPI(
    title="CryoCloud",
    version=__version__,
    description="Everything that the pages do. Errors are `{error, fields}`; lists give `items` and `next`.",
    auth=[TokenCredential(), SessionCredential()],
    parser=ObjectParser(),
    docs_url=None,
    urls_namespace="api",
)


def _answer(status: int, message: str, fields: dict[str, str] | None = None) -> HttpResponse:
    return HttpResponse(
        error_body(message, fields), status=status, content_type="application/json; charset=utf-8"
    )


@api.exception_handler(PlatformError)
def _platform_error(request: HttpRequest, error: PlatformError) -> HttpResponse:
    return _answer(error.status, str(error), error.fields if isinstance(error, Refused) else None)


@api.exception_handler(AuthenticationError)
def _not_authenticated(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    return _answer(401, "Log in, or send a token: “Authorization: Bearer cryo_…”.")


@api.exception_handler(HttpError)
def _http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    return _answer(error.status_code, str(error))


@api.exception_handler(RequestDataTooBig)
def _too_big(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
    limit_bytes = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    return _answer(413, f"A body may have {limit_bytes:,} bytes. Send files by tus, to /uploads/.")


@api.exception_handler(ValidationError)
def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    fields = {".".join(str(part) for part in one["loc"][1:]): str(one["msg"]) for one in error.errors}
    return _answer(422, "Some values cannot be used.", fields)


for _area in AREAS:
    api.add_router("", importlib.import_module(f"cryocloud.web.api.{_area}").router)
accept_repeated_orders(api)
