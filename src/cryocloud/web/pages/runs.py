"""Starting, watching, comparing and stopping workflows and jobs."""

from __future__ import annotations

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
