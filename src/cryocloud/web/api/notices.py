"""What the caller is told of, what they choose to hear, and the webhook of an organization."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from django.http import HttpRequest
from ninja import Field, Query, Router, Schema, Status

from cryocloud.web.api.answers import ERRORS, Page, PageQuery, one_page, written_out
from cryocloud.web.api.credentials import actor
from cryocloud.web.core.errors import NotFound
from cryocloud.web.notices import services, webhooks
from cryocloud.web.notices.models import Call, Notice, Occasion, Webhook
from cryocloud.web.notices.outward import URL_LENGTH
from cryocloud.web.organizations import access
from cryocloud.web.projects.models import Project

router = Router(tags=["notices"])


class NoticeOut(Schema):
    """That the caller is told of something that happened."""

    id: str
    organization_id: str
    project_id: str | None
    kind: Annotated[Occasion.Kind, written_out(Occasion.Kind)]
    subject: Annotated[Occasion.Subject, written_out(Occasion.Subject)]
    subject_id: str = Field(description="Of the run, the job, the webhook or the organization")
    title: str
    state: str
    resolution_angstrom: float | None
    message: str
    created_at: datetime
    read_at: datetime | None


class Counted(Schema):
    read: int = Field(description="How many were unread until now")


class MailChoiceShape(Schema):
    """Of which kinds of occasions the caller gets mails."""

    done: bool
    failed: bool
    needs_you: bool


class ProjectChoiceShape(Schema):
    choice: Literal["own", "follow", "mute"] = Field(
        description="Hear of what one started, of everything, or of nothing in the project"
    )


class WebhookIn(Schema):
    url: str = Field(max_length=URL_LENGTH, description="https, on the public internet")


class WebhookOut(Schema):
    """Where the organization is called."""

    id: str
    url: str
    is_on: bool
    failing_since: datetime | None
    created_at: datetime


class WebhookMade(WebhookOut):
    secret: str = Field(description="Signs the calls; given for a new one and a renewed one only, else empty")


class SwitchIn(Schema):
    on: bool


class CallOut(Schema):
    """One message for the webhook."""

    id: str
    message_id: str
    type: str
    state: Annotated[Call.State, written_out(Call.State)]
    tries: int
    answer: str
    created_at: datetime
    last_tried_at: datetime | None
    next_try_at: datetime | None

    @staticmethod
    def resolve_type(call: Call) -> str:
        return f"{call.occasion.subject}.{call.occasion.kind}" if call.occasion else "test"


@router.get("/notices", response={200: Page[NoticeOut], **ERRORS}, operation_id="list_notices")
def list_notices(request: HttpRequest, query: Query[PageQuery], unread: bool = False) -> Any:
    """The caller's own, newest first."""
    rows = services.notices_of(actor(request))
    page = one_page(rows.filter(read_at=None) if unread else rows, query)
    return page | {"items": [_notice(notice) for notice in page["items"]]}


@router.post("/notices/read", response={200: Counted, **ERRORS}, operation_id="read_notices")
def read_notices(request: HttpRequest) -> Any:
    """Mark all as read."""
    return {"read": services.read_notices(actor=actor(request))}


@router.post("/notices/{notice_id}/read", response={200: NoticeOut, **ERRORS}, operation_id="read_notice")
def read_notice(request: HttpRequest, notice_id: str) -> Any:
    """Mark one as read."""
    who = actor(request)
    own = services.notices_of(who).filter(pk=notice_id)
    if not own.exists():
        raise NotFound
    services.read_notices(actor=who, notice_id=notice_id)
    return _notice(own.get())


@router.get("/me/mails", response={200: MailChoiceShape, **ERRORS}, operation_id="get_mail_choice")
def get_mail_choice(request: HttpRequest) -> Any:
    """Which mails the caller gets."""
    return services.mail_choice(actor(request))


@router.put("/me/mails", response={200: MailChoiceShape, **ERRORS}, operation_id="choose_mails")
def choose_mails(request: HttpRequest, body: MailChoiceShape) -> Any:
    """Switch mails on and off, in all organizations of the caller."""
    return services.choose_mails(actor=actor(request), **body.dict())


@router.get(
    "/projects/{project_id}/notices",
    response={200: ProjectChoiceShape, **ERRORS},
    operation_id="get_project_choice",
)
def get_project_choice(request: HttpRequest, project_id: str) -> Any:
    """What the caller hears of in a project."""
    who = actor(request)
    return {"choice": services.project_choice(who, access.get(who, Project, project_id))}


@router.put(
    "/projects/{project_id}/notices",
    response={200: ProjectChoiceShape, **ERRORS},
    operation_id="choose_for_project",
)
def choose_for_project(request: HttpRequest, project_id: str, body: ProjectChoiceShape) -> Any:
    """Follow a project, mute it, or neither."""
    who = actor(request)
    project = access.get(who, Project, project_id)
    services.choose_for_project(actor=who, project=project, choice=body.choice)
    return body


@router.get(
    "/organizations/{organization_id}/webhook",
    response={200: WebhookOut, **ERRORS},
    operation_id="get_webhook",
)
def get_webhook(request: HttpRequest, organization_id: str) -> Any:
    """The webhook; 404 while there is none."""
    return _webhook(request, organization_id)


@router.put(
    "/organizations/{organization_id}/webhook",
    response={200: WebhookMade, **ERRORS},
    operation_id="set_webhook",
)
def set_webhook(request: HttpRequest, organization_id: str, body: WebhookIn) -> Any:
    """Make it, or give it another address and switch it on."""
    who = actor(request)
    organization = access.get_organization(who, organization_id)
    webhook, secret = webhooks.set_webhook(actor=who, organization=organization, url=body.url)
    return _made(webhook, secret)


@router.delete(
    "/organizations/{organization_id}/webhook", response={204: None, **ERRORS}, operation_id="remove_webhook"
)
def remove_webhook(request: HttpRequest, organization_id: str) -> Any:
    """Call no more; what was recorded of calls goes too."""
    webhooks.remove_webhook(actor=actor(request), webhook=_webhook(request, organization_id))
    return Status(204, None)


@router.post(
    "/organizations/{organization_id}/webhook/switch",
    response={200: WebhookOut, **ERRORS},
    operation_id="switch_webhook",
)
def switch_webhook(request: HttpRequest, organization_id: str, body: SwitchIn) -> Any:
    """On or off; what happens while it is off is not told later."""
    webhooks.switch_webhook(actor=actor(request), webhook=_webhook(request, organization_id), on=body.on)
    return _webhook(request, organization_id)


@router.post(
    "/organizations/{organization_id}/webhook/secret",
    response={200: WebhookMade, **ERRORS},
    operation_id="renew_webhook_secret",
)
def renew_webhook_secret(request: HttpRequest, organization_id: str) -> Any:
    """A new secret; the old one signs nothing any more."""
    webhook = _webhook(request, organization_id)
    return _made(webhook, webhooks.renew_secret(actor=actor(request), webhook=webhook))


@router.post(
    "/organizations/{organization_id}/webhook/test",
    response={201: CallOut, **ERRORS},
    operation_id="test_webhook",
)
def test_webhook(request: HttpRequest, organization_id: str) -> Any:
    """Order a call that tells of nothing."""
    webhook = _webhook(request, organization_id)
    return Status(201, webhooks.send_test(actor=actor(request), webhook=webhook))


@router.get(
    "/organizations/{organization_id}/webhook/calls",
    response={200: Page[CallOut], **ERRORS},
    operation_id="list_webhook_calls",
)
def list_webhook_calls(request: HttpRequest, organization_id: str, query: Query[PageQuery]) -> Any:
    """The calls of the last 30 days with their answers, newest first."""
    return one_page(webhooks.calls_of(_webhook(request, organization_id)), query)


def _webhook(request: HttpRequest, organization_id: str) -> Webhook:
    who = actor(request)
    return webhooks.get_webhook(who, access.get_organization(who, organization_id))


def _made(webhook: Webhook, secret: str) -> dict[str, Any]:
    return {name: getattr(webhook, name) for name in WebhookOut.model_fields} | {"secret": secret}


def _notice(notice: Notice) -> dict[str, Any]:
    occasion = notice.occasion
    names = ("kind", "subject", "subject_id", "title", "resolution_angstrom", "message", "project_id")
    return {name: getattr(occasion, name) for name in names} | {
        "id": notice.pk,
        "organization_id": notice.organization_id,
        "state": occasion.standing,
        "created_at": notice.created_at,
        "read_at": notice.read_at,
    }
