"""Whatever refuses a call of the API, Django or a credential or an operation, the answer has one shape."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse, HttpResponseBase

PREFIX = "/api/"

Handler = Callable[[HttpRequest], HttpResponseBase]


def error_body(message: str, fields: dict[str, str] | None = None) -> bytes:
    """The JSON of ``answers.Error``."""
    return json.dumps({"error": message, "fields": fields or {}}, ensure_ascii=False).encode()


def one_error_shape(get_response: Handler) -> Handler:
    """Middleware: gives errors that were not made by an operation the shape of those that were."""

    def handle(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if not request.path.startswith(PREFIX):
            return response
        response.headers.setdefault("Cache-Control", "no-store")
        if isinstance(response, HttpResponse) and response.status_code >= 400 and not _has_shape(response):
            response.content = error_body(_message(request, response))
            response.headers["Content-Type"] = "application/json; charset=utf-8"
            # CommonMiddleware has measured the page that was replaced; with its length, clients wait for ever.
            response.headers["Content-Length"] = str(len(response.content))
        return response

    return handle


def _has_shape(response: HttpResponse) -> bool:
    return response.content.startswith(b'{"error": ')


def _message(request: HttpRequest, response: HttpResponse) -> str:
    match response.status_code:
        case 404:
            return f"{request.path[:200]} is no address of the API. All of them: /api/v1/reference/"
        case 405:
            return f"{request.method} is not possible here, but {response.headers.get('Allow', 'nothing')}."
        case 500:
            return "Something went wrong on our side. It has been recorded; nothing was changed."
        case 400:
            return "The call cannot be read; look at its address and its headers."
        case status:
            return f"Refused: {HTTPStatus(status).phrase.lower()}."
