"""Pages about the plan of an organization; where nothing is sold they do not exist."""

from __future__ import annotations

from django.urls import URLPattern

from cryocloud.web.pages.plan import choosing, ending, overview, paying, quotes

urlpatterns: list[URLPattern] = [
    *overview.urlpatterns,
    *choosing.urlpatterns,
    *ending.urlpatterns,
    *paying.urlpatterns,
    *quotes.urlpatterns,
]
