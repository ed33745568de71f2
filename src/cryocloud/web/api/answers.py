"""Shapes that all operations share: one error, one page of a list."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from django.db.models import Model, QuerySet, TextChoices
from ninja import Field, Schema
from pydantic import WithJsonSchema

from cryocloud.web.core.errors import Refused

Item = TypeVar("Item")
Row = TypeVar("Row", bound=Model)
PAGE_SIZE = 50
PAGE_SIZE_MAX = 500


class Error(Schema):
    """Every refusal looks like this."""

    error: str
    fields: dict[str, str] = Field(default_factory=dict)


ERRORS: dict[frozenset[int], type[Error]] = {frozenset({400, 401, 403, 404, 409, 413, 422, 429}): Error}


class PageQuery(Schema):
    limit: int = Field(PAGE_SIZE, ge=1, le=PAGE_SIZE_MAX, description="Items of a page")
    after: str = Field("", max_length=64, description="`next` of the page before; empty for the first")


class Page(Schema, Generic[Item]):
    items: list[Item]
    next: str = Field("", description="Give this as `after` for the next page; empty at the end")


def one_page(rows: QuerySet[Row], query: PageQuery) -> dict[str, Any]:
    """Newest first; ``after`` is the id of the last item seen."""
    ordered = rows.order_by("-created_at", "-pk")
    if query.after:
        last = rows.filter(pk=query.after).values_list("created_at", "pk").first()
        if last is None:
            raise Refused(
                "after: is not the id of an item in this list; begin without it", {"after": "unknown"}
            )
        moment, pk = last
        ordered = ordered.filter(created_at__lte=moment).exclude(created_at=moment, pk__gte=pk)
    found = list(ordered[: query.limit + 1])
    more = len(found) > query.limit
    return {"items": found[: query.limit], "next": found[query.limit - 1].pk if more else ""}


def written_out(choices: type[TextChoices]) -> WithJsonSchema:
    """Where they are used: of the definitions of one name, and many are called ``State``, ninja keeps the last."""
    return WithJsonSchema({"type": "string", "enum": list(choices.values)})
