"""Pages for everybody: what the service is, questions and answers, plans, privacy, cookies, guide."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from django.views.decorators.http import require_safe

from cryocloud.web.configuration import configuration
from cryocloud.web.core.cookies import inventory
from cryocloud.web.pages.offer import plan_cards
from cryocloud.web.pages.policy import current_policy
from cryocloud.web.pages.questions import questions


@require_safe
def start(request: HttpRequest) -> HttpResponse:
    excerpt = [one for one in questions(configuration()) if one.is_for_the_start_page]
    return render(request, "public/start.html", {"questions": excerpt, "cards": plan_cards()})


@require_safe
def faq(request: HttpRequest) -> HttpResponse:
    return render(request, "public/faq.html", {"section": "faq", "questions": questions(configuration())})


@require_safe
def plans(request: HttpRequest) -> HttpResponse:
    return render(request, "public/plans.html", {"section": "plans", "cards": plan_cards()})


@require_safe
def privacy(request: HttpRequest) -> HttpResponse:
    return render(request, "public/privacy.html", {"policy": current_policy()})


@require_safe
def policy_text(request: HttpRequest) -> HttpResponse:
    """The bytes of which the page shows the hash."""
    policy = current_policy()
    return HttpResponse(
        policy.text, content_type="text/plain; charset=utf-8", headers={"ETag": f'"{policy.sha256}"'}
    )


@require_safe
def cookies(request: HttpRequest) -> HttpResponse:
    return render(request, "public/cookies.html", {"cookies": inventory()})


@require_safe
def guide(request: HttpRequest) -> HttpResponse:
    return render(request, "public/guide.html", {"section": "guide"})


urlpatterns: list[URLPattern] = [
    path("", start, name="start"),
    path("faq/", faq, name="faq"),
    path("plans/", plans, name="plans"),
    path("privacy/", privacy, name="privacy"),
    path("privacy/text/", policy_text, name="policy_text"),
    path("cookies/", cookies, name="cookies"),
    path("guide/", guide, name="guide"),
]
