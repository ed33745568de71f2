"""Looking at results: micrographs, classes, curves, orientations, slices, maps."""

from __future__ import annotations

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
