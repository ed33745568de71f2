"""All addresses of the platform. ``/events/`` and ``/uploads/`` are served before Django, by ``asgi``."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from cryocloud.web.api import api
from cryocloud.web.api.reference import reference

PAGES = (
    "public",
    "withdrawal",
    "account",
    "organizations",
    "welcome",
    "notices",
    "webhooks",
    "plan",
    "datasets",
    "projects",
    "trash",
    "storage",
    "invoices",
    "payments",
    "usage",
    "caps",
    "runs",
    "viewers",
    "by_hand",
    "operations",
    "operator",
)

urlpatterns: list[URLPattern | URLResolver] = [
    *(path("", include(f"cryocloud.web.pages.{name}")) for name in PAGES),
    path("accounts/", include("allauth.urls")),
    path("api/v1/reference/", reference),
    path("api/v1/", api.urls),
]
