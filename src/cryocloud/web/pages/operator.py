"""The operator's page: how the platform stands. For everybody else it is not there."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.urls import URLPattern, path
from django.views.decorators.http import require_safe

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.core.errors import NotFound
from cryocloud.web.operations.health import problems
from cryocloud.web.operations.overview import overview
from cryocloud.web.pages.visitor import members_only


@require_safe
@members_only
def operator(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    if not actor.user.is_operator:
        raise NotFound
    shown = {"section": "operator", "overview": overview(), "problems": problems()}
    return render(request, "operations/operator.html", shown)


urlpatterns: list[URLPattern] = [path("operator/", operator, name="operator")]
