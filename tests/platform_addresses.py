"""Every address of the platform, read from Django's resolver and from the API's own description."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLResolver, get_resolver

from cryocloud.web.api import api

# What stands in an address besides ids of tenants.
WORDS = {
    "size": "thumb",
    "job_type": "pick",
    "workflow": "spa",
    "viewer": "micrographs",
    "kind": "picks",
    "secret": "x",
    "pk": "1",
    "person": "x",
    "refund": "x",
    "line": "x",
    "transfer": "x",
    "request_key": "x",
    "organization": "x",
    "subscription": "x",
    "quote": "x",
    "withdrawal": "x",
    "year": "2026",
    "number": "1",
}
NAMES = {"plots": "fsc.png", "previews": "index.json", "job-types": "pick", "workflows": "spa"}
MISSING = "a" * 26
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>|\{(\w+)\}")


@dataclass(frozen=True)
class Address:
    """``template`` with its parameters in angle or curly brackets; ``method`` is None for pages."""

    template: str
    method: str | None = None
    operation: str = ""

    def __str__(self) -> str:
        return f"{self.method or 'page'} {self.template}"

    @property
    def parameters(self) -> list[str]:
        return [first or second for first, second in _PARAMETER.findall(self.template)]

    def path(self, ids: dict[str, str]) -> str:
        """With the seeds in place; a parameter without a seed is an error, so that no route is forgotten."""

        def seed(match: re.Match[str]) -> str:
            name = match[1] or match[2]
            if name in ids:
                return ids[name]
            if name in WORDS:
                return WORDS[name]
            folder = self.template[: match.start()].rstrip("/").rsplit("/", 1)[-1]
            if name == "name" and folder in NAMES:
                return NAMES[folder]
            raise LookupError(
                f"{self}: no seed for “{name}”. Add a row to platform_world, or a word to platform_addresses."
            )

        return _PARAMETER.sub(seed, self.template)


def pages() -> list[Address]:
    """All pages of ours and of allauth; the API is listed by its operations."""
    return [Address("/" + route) for route in _routes(get_resolver()) if not route.startswith("api/")]


def operations() -> list[Address]:
    document = api.get_openapi_schema()
    return [
        Address(path, method.upper(), operation["operationId"])
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def _routes(resolver: Any, prefix: str = "") -> Iterator[str]:
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _routes(pattern, route)
        else:
            yield route
