"""Settings of a person: profile, sessions, second factor, tokens."""

from __future__ import annotations

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
