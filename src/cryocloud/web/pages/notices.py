"""What a person is told of: the list, and what they choose to hear."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.notices import services
from cryocloud.web.notices.models import ProjectChoice
from cryocloud.web.organizations.access import get, visible
from cryocloud.web.pages.projects import page_number
from cryocloud.web.pages.visitor import members_only
from cryocloud.web.projects.models import Project

PAGE_SIZE = 30
CHOSEN = {
    "own": "You hear of what you start in “{}”.",
    "follow": "You hear of everything in “{}”.",
    "mute": "You hear of nothing in “{}”.",
}


class MailForm(forms.Form):
    done = forms.BooleanField(label="is done", required=False)
    failed = forms.BooleanField(label="failed", required=False)
    needs_you = forms.BooleanField(
        label="needs you",
        required=False,
        help_text="A run waits where a result is not to be trusted. Admins also hear of a webhook that fails.",
    )


@require_GET
@members_only
def notices(request: HttpRequest, actor: Actor) -> HttpResponse:
    listed = Paginator(services.notices_of(actor), PAGE_SIZE).get_page(page_number(request))
    return render(request, "notices/list.html", {"section": "notices", "notices": listed})


@require_GET
@members_only
def bell(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The bell alone, for pages that stay open."""
    return render(request, "notices/bell.html")


@require_POST
@members_only
def read_all(request: HttpRequest, actor: Actor) -> HttpResponse:
    services.read_notices(actor=actor)
    return redirect("notices")


@members_only
@require_http_methods(["GET", "HEAD", "POST"])
def settings(request: HttpRequest, actor: Actor) -> HttpResponse:
    chosen = services.mail_choice(actor)
    initial = {name: getattr(chosen, name) for name in MailForm.base_fields}
    form = MailForm(request.POST if request.method == "POST" else None, initial=initial)
    if form.is_valid():
        services.choose_mails(actor=actor, **form.cleaned_data)
        messages.success(request, "Your choice is saved.")
        return redirect("notice_settings")
    projects = visible(actor, ProjectChoice).filter(user=actor.user).select_related("project")
    shown = {"section": "settings", "form": form, "chosen": projects.order_by("project__name")}
    return render(request, "notices/settings.html", shown)


@require_POST
@members_only
def choose_for_project(request: HttpRequest, actor: Actor, project_id: str) -> HttpResponse:
    project, choice = get(actor, Project, project_id), request.POST.get("choice", "")
    services.choose_for_project(actor=actor, project=project, choice=choice)
    messages.success(request, CHOSEN[choice].format(project.name))
    return redirect("project", project_id=project.pk)


urlpatterns: list[URLPattern] = [
    path("notices/", notices, name="notices"),
    path("notices/bell/", bell, name="bell"),
    path("notices/read/", read_all, name="read_notices"),
    path("settings/notices/", settings, name="notice_settings"),
    path("projects/<str:project_id>/notices/", choose_for_project, name="project_notices"),
]
