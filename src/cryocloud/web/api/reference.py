"""The API as a page to read, made from its OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from cryocloud.web.api import api

SHAPES = "#/components/schemas/"


@dataclass(frozen=True)
class Value:
    """A parameter of a call or a field of a shape; ``shape`` is the name of the shape that it holds, if any."""

    name: str
    kind: str
    shape: str
    is_required: bool
    help: str


@dataclass(frozen=True)
class Operation:
    """One call."""

    name: str
    method: str
    path: str
    summary: str
    values: tuple[Value, ...]
    body: Value | None
    answer: Value | None


def reference(request: HttpRequest) -> HttpResponse:
    """For everybody: it says what can be asked, and shows no data."""
    document = api.get_openapi_schema()
    areas: dict[str, list[Operation]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            areas.setdefault(operation["tags"][0], []).append(_operation(path, method, operation))
    shapes = document["components"]["schemas"]
    context = {
        "areas": [(area, operations, f"area-{area}") for area, operations in areas.items()],
        "shapes": [
            (name, shape.get("description", ""), _fields(shape)) for name, shape in sorted(shapes.items())
        ],
    }
    return render(request, "api/reference.html", context)


def _operation(path: str, method: str, operation: dict[str, Any]) -> Operation:
    good = [answer for status, answer in operation["responses"].items() if int(status) < 300]
    return Operation(
        name=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation.get("description") or operation["summary"].capitalize() + ".",
        values=tuple(_parameters(operation.get("parameters", ()))),
        body=_content("body", operation.get("requestBody", {})),
        answer=_content("answer", good[0]) if good else None,
    )


def _parameters(parameters: Iterable[dict[str, Any]]) -> Iterable[Value]:
    for one in parameters:
        yield _value(one["name"], one["schema"], one.get("required", False))


def _content(name: str, holder: dict[str, Any]) -> Value | None:
    for content in holder.get("content", {}).values():
        return _value(name, content.get("schema", {}), True)
    return None


def _fields(shape: dict[str, Any]) -> list[Value]:
    required = shape.get("required", ())
    return [_value(name, schema, name in required) for name, schema in shape.get("properties", {}).items()]


def _value(name: str, schema: dict[str, Any], is_required: bool) -> Value:
    kind, shape = _kind(schema)
    facts = [schema.get("description", ""), *_limits(schema)]
    return Value(name, kind, shape, is_required, "; ".join(fact for fact in facts if fact))


def _kind(schema: dict[str, Any]) -> tuple[str, str]:
    """In words, and the shape that it is or holds."""
    if "$ref" in schema:
        return "", schema["$ref"].removeprefix(SHAPES)
    for word in ("anyOf", "oneOf", "allOf"):
        if word in schema:
            parts = [_kind(part) for part in schema[word]]
            return " or ".join(kind for kind, _ in parts if kind), next((s for _, s in parts if s), "")
    if schema.get("type") == "array":
        kind, shape = _kind(schema.get("items", {}))
        return f"list of {kind}".strip(), shape
    return schema.get("format") or schema.get("type") or "anything", ""


def _limits(schema: dict[str, Any]) -> Iterable[str]:
    if "enum" in schema:
        yield "one of " + ", ".join(str(word) for word in schema["enum"])
    if "minimum" in schema:
        yield f"at least {schema['minimum']}"
    if "maximum" in schema:
        yield f"at most {schema['maximum']}"
    if schema.get("maxLength"):
        yield f"at most {schema['maxLength']} characters"
    if schema.get("default") not in (None, ""):
        yield f"default {schema['default']}"
