"""The API: everything that the pages do, under ``/api/v1``, described by its own OpenAPI document."""

from __future__ import annotations

import importlib

from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

from cryocloud import __version__
from cryocloud.web.api.credentials import SessionCredential, TokenCredential
from cryocloud.web.core.errors import PlatformError, Refused

AREAS = ("organizations", "datasets", "projects", "runs", "results", "catalog")

api = NinjaAPI(
    title="CryoCloud",
    version=__version__,
    auth=[TokenCredential(), SessionCredential()],
    docs_url=None,
    urls_namespace="api",
)


def _answer(
    request: HttpRequest, status: int, message: str, fields: dict[str, str] | None = None
) -> HttpResponse:
    return api.create_response(request, {"error": message, "fields": fields or {}}, status=status)


@api.exception_handler(PlatformError)
def _platform_error(request: HttpRequest, error: PlatformError) -> HttpResponse:
    return _answer(request, error.status, str(error), error.fields if isinstance(error, Refused) else None)


@api.exception_handler(AuthenticationError)
def _not_authenticated(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    return _answer(request, 401, "Log in, or send a token: “Authorization: Bearer cryo_…”.")


@api.exception_handler(HttpError)
def _http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    return _answer(request, error.status_code, str(error))


@api.exception_handler(ValidationError)
def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    fields = {".".join(str(part) for part in one["loc"][1:]): str(one["msg"]) for one in error.errors}
    return _answer(request, 422, "Some values cannot be used.", fields)


for _area in AREAS:
    api.add_router("", importlib.import_module(f"cryocloud.web.api.{_area}").router)
