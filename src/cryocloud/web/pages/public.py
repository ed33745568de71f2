"""Pages for everybody: what the service is, questions and answers, plans, privacy, cookies, guide."""

from __future__ import annotations

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
