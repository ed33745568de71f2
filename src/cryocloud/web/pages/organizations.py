"""Members, roles, invitations, switching between organizations."""

from __future__ import annotations

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
