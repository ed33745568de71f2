"""Refusals that are sent before Django sees a request: one plain sentence, in JSON where programs ask."""

from __future__ import annotations

import json
from typing import Any

PROGRAMS = ("/api/", "/uploads/", "/events/")
_COMMON = (
    (b"connection", b"close"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


def refusal(path: str, status: int, sentence: str) -> tuple[dict[str, Any], bytes]:
    """The ASGI message that starts the answer, and the answer's body."""
    if path.startswith(PROGRAMS):
        kind, body = b"application/json; charset=utf-8", json.dumps({"error": sentence, "fields": {}})
    else:
        kind, body = b"text/plain; charset=utf-8", sentence
    content = body.encode()
    headers = [*_COMMON, (b"content-type", kind), (b"content-length", str(len(content)).encode())]
    if status in (429, 503):
        headers.append((b"retry-after", b"5"))
    return {"type": "http.response.start", "status": status, "headers": headers}, content
