"""The operator's pages: how the platform stands, and what an operator decides. For others they are not there."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.urls import URLPattern, path
from django.views.decorators.http import require_safe

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.operations.health import problems
from cryocloud.web.operations.overview import overview
from cryocloud.web.pages.operator import (
    bank,
    books,
    contracts,
    history,
    mail,
    organizations,
    payments,
    people,
    requests,
    reviews,
    withdrawals,
    work,
)
from cryocloud.web.pages.operator.door import operators_only


@require_safe
@operators_only
def operator(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    shown = {"section": "operator", "overview": overview(), "problems": problems()}
    return render(request, "operations/operator.html", shown)


urlpatterns: list[URLPattern] = [
    path("operator/", operator, name="operator"),
    *people.urlpatterns,
    *organizations.urlpatterns,
    *requests.urlpatterns,
    *contracts.urlpatterns,
    *withdrawals.urlpatterns,
    *reviews.urlpatterns,
    *work.urlpatterns,
    *mail.urlpatterns,
    *books.urlpatterns,
    *payments.urlpatterns,
    *bank.urlpatterns,
    *history.urlpatterns,
]
