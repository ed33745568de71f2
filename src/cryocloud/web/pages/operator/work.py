"""Queue, lanes, leases and background tasks."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST, require_safe

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.configuration import configuration
from cryocloud.web.operations.work import (
    appointments,
    at_work,
    explained,
    memory,
    queued,
    set_pause,
    told,
    troubled,
    try_again,
)
from cryocloud.web.pages.operator.door import operators_only
from cryocloud.web.runs.services import is_dispatch_paused

PER_PAGE = 50


@require_safe
@operators_only
def work(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    page = Paginator(queued(), PER_PAGE).get_page(request.GET.get("page"))
    shown = {
        "section": "operator",
        "working": at_work(),
        "slots": configuration().slots,
        "memory": memory(),
        "page": page,
        "waiting": explained(list(page)),
        "is_paused": is_dispatch_paused(),
        "troubles": told(list(troubled()[:PER_PAGE])),
        "trouble_count": troubled().count(),
        "appointments": appointments(),
    }
    return render(request, "operations/work.html", shown)


@operators_only
@require_POST
def pause(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    paused = request.POST.get("to") == "paused"
    set_pause(actor=actor, paused=paused)
    messages.success(request, "No further job starts." if paused else "Jobs start again.")
    return redirect("operator_work")


@operators_only
@require_POST
def retry(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    try_again(actor=actor, task_id=request.POST.get("task", ""))
    messages.success(request, "The worker tries the task again.")
    return redirect("operator_work")


urlpatterns: list[URLPattern] = [
    path("operator/work/", work, name="operator_work"),
    path("operator/work/pause/", pause, name="operator_pause"),
    path("operator/work/retry/", retry, name="operator_retry"),
]
