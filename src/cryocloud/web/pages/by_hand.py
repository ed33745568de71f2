"""What the editors in the browser talk to: drafts, saved as people draw, and the jobs that are made of them.

They answer in JSON, refusals as well: the page that asks shows them and keeps what was drawn.
"""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.urls import URLPattern, path
from django.views.decorators.http import require_http_methods, require_POST

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.core.errors import NotFound, PlatformError, Refused
from cryocloud.web.edits.models import Draft
from cryocloud.web.edits.services import StaleDraft, draft_of, save_draft
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Role
from cryocloud.web.pages.visitor import members_only
from cryocloud.web.results.by_hand import JOB_TYPES, order_by_hand
from cryocloud.web.runs.models import Job


@require_http_methods(["GET", "POST"])
@members_only
def draft(request: HttpRequest, actor: Actor, job_id: str, kind: str) -> HttpResponse:
    """The person's draft of a result, with a token for saving it, which changes when they log in again."""
    if request.method != "POST":
        job = access.get(actor, Job, job_id)
        found = draft_of(actor=actor, source_id=job.pk, kind=kind)
        return JsonResponse(_told(found) | {"csrf": get_token(request)})
    job = access.get(actor, Job, job_id, needs=Role.EDITOR)
    try:
        sent = _sent(request)
        saved = save_draft(
            actor=actor,
            project=job.project,
            source_id=job.pk,
            kind=kind,
            version=_version(sent),
            content=sent.get("content"),
        )
    except StaleDraft as stale:
        return JsonResponse(_told(stale.draft) | {"message": str(stale)}, status=stale.status)
    except PlatformError as refusal:
        return _refusal(refusal)
    return JsonResponse({"version": saved.version})


@require_POST
@members_only
def use_draft(request: HttpRequest, actor: Actor, job_id: str, kind: str) -> HttpResponse:
    """A new job of what was drawn."""
    job = access.get(actor, Job, job_id, needs=Role.EDITOR)
    if kind not in JOB_TYPES:
        raise NotFound
    try:
        sent = _sent(request)
        parameters = sent.get("parameters", {})
        if not isinstance(parameters, dict):
            raise Refused("“parameters” holds names with values.")
        made = order_by_hand(
            actor=actor, job=job, kind=kind, parameters=parameters, file=str(sent.get("file", ""))
        )
    except PlatformError as refusal:
        return _refusal(refusal)
    return JsonResponse({"url": f"/jobs/{made.pk}/"})


def _told(found: Draft) -> dict[str, Any]:
    return {"version": found.version, "content": found.content}


def _sent(request: HttpRequest) -> dict[str, Any]:
    try:
        sent = json.loads(request.body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Refused(f"What was sent is no JSON: {error}.") from None
    if not isinstance(sent, dict):
        raise Refused("What was sent is no JSON object.")
    return sent


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number that can be used")


def _version(sent: dict[str, Any]) -> int:
    version = sent.get("version")
    if type(version) is not int:
        raise Refused("“version” is the number that the draft had when it was read.")
    return version


def _refusal(refusal: PlatformError) -> JsonResponse:
    fields = refusal.fields if isinstance(refusal, Refused) else {}
    message = " ".join(fields.values()) or str(refusal)
    return JsonResponse({"message": message, "fields": fields}, status=refusal.status)


urlpatterns: list[URLPattern] = [
    path("jobs/<str:job_id>/drafts/<str:kind>/", draft, name="draft"),
    path("jobs/<str:job_id>/drafts/<str:kind>/use/", use_draft, name="use_draft"),
]
