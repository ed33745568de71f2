"""Dashboard, projects and their job graph."""

from __future__ import annotations

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
