"""Health, readiness, and the first administrator's link."""

from __future__ import annotations

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
