"""Calls of webhooks: signed, repeated after growing pauses, and over when the other end has been silent for days.

A call may be made twice: a worker that is killed after the answer and before it is written down calls again, with the
same id, by which the receiver tells.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
from datetime import timedelta
from typing import Any

from django.db import transaction
from django_tasks import task

from cryocloud import __version__
from cryocloud.web.audit.services import record_event
from cryocloud.web.configuration import configuration
from cryocloud.web.core.clock import now
from cryocloud.web.core.sealed import unseal
from cryocloud.web.core.tasks import CALLING
from cryocloud.web.notices import outward
from cryocloud.web.notices.mail import tell
from cryocloud.web.notices.models import Call, Occasion, Webhook
from cryocloud.web.organizations.models import Membership, Organization, Role

# Waits between two tries; then the call is given up, two days after the first.
PAUSES_S = (5, 60, 300, 1800, 2 * 3600, 6 * 3600, 12 * 3600, 24 * 3600)
OFF_AFTER = timedelta(days=3)
TOLD_AGAIN_AFTER = timedelta(days=1)
GONE = 410
OFF = "The webhook is switched off"
OFF_AFTER_RESTORE = "The webhook is switched off after a restore"
RESTORED = (
    "The platform was restored from a backup, so the webhook is again as it was then. If it was removed since, remove "
    "it again. If its address or its secret was changed since, change them again. Then switch it on."
)
SEALED_FOR = "webhook"
SECRET_PREFIX = "whsec_"
_log = logging.getLogger("cryocloud.notices")


def order_call(webhook: Webhook, occasion: Occasion | None) -> Call:
    """In the transaction of what it tells."""
    call = Call.unscoped.create(
        organization_id=webhook.organization_id,
        webhook=webhook,
        occasion=occasion,
        body=json.dumps(_content(webhook.organization, occasion), ensure_ascii=False),
        next_try_at=now(),
    )
    make_call.enqueue(call.pk, organization_id=call.organization_id)
    return call


def _content(organization: Organization, occasion: Occasion | None) -> dict[str, Any]:
    owner = {"organization": {"id": organization.pk, "name": organization.name}}
    if occasion is None:
        return {"type": "test", "timestamp": now().isoformat(), "data": owner}
    project = occasion.project
    return {
        "type": f"{occasion.subject}.{occasion.kind}",
        "timestamp": occasion.created_at.isoformat(),
        "data": owner
        | {
            "project": {"id": project.pk, "name": project.name} if project else None,
            "id": occasion.subject_id,
            "title": occasion.title,
            "state": occasion.standing,
            "resolution_angstrom": occasion.resolution_angstrom,
            "message": occasion.message,
            "url": f"{configuration().address}{occasion.address}",
        },
    }


@task(priority=CALLING)
def make_call(call_id: str, *, organization_id: str) -> None:
    call = (
        Call.unscoped.select_related("webhook")
        .filter(pk=call_id, organization_id=organization_id, state=Call.State.WAITING)
        .first()
    )
    if call is None:
        return
    if not call.webhook.is_on:
        _settle(call, Call.State.GIVEN_UP, "the webhook is switched off")
        return
    status, answer = _try(call)
    if 200 <= status < 300:
        _succeed(call, answer)
    else:
        _fail(call, status, answer)


def _try(call: Call) -> tuple[int, str]:
    """Status, 0 if it came to none, and words for it."""
    body = call.body.encode()
    headers = {"Content-Type": "application/json", "User-Agent": f"CryoCloud/{__version__}"}
    try:
        status = outward.post(call.webhook.url, body, headers | _signed(call, body))
    except outward.NotCalled as error:
        return 0, str(error)
    return status, f"answered {status}{', redirects are not followed' if 300 <= status < 400 else ''}"


def _signed(call: Call, body: bytes) -> dict[str, str]:
    """As standardwebhooks.com has it."""
    key = base64.b64decode(unseal(SEALED_FOR, call.webhook.sealed_secret).removeprefix(SECRET_PREFIX))
    timestamp = str(int(now().timestamp()))
    signed = b".".join((call.message_id.encode(), timestamp.encode(), body))
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": call.message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature}",
    }


@transaction.atomic
def _succeed(call: Call, answer: str) -> None:
    _settle(call, Call.State.DELIVERED, answer)
    Webhook.unscoped.filter(pk=call.webhook_id).exclude(failing_since=None).update(failing_since=None)


@transaction.atomic
def _fail(call: Call, status: int, answer: str) -> None:
    webhook = Webhook.unscoped.select_for_update(no_key=True).filter(pk=call.webhook_id).first()
    if webhook is None:
        return
    webhook.failing_since = webhook.failing_since or now()
    webhook.save(update_fields=["failing_since"])
    if webhook.is_on and (status == GONE or now() - webhook.failing_since >= OFF_AFTER):
        _switch_off(webhook, status, answer)
    if not webhook.is_on or call.tries >= len(PAUSES_S):
        _settle(call, Call.State.GIVEN_UP, answer)
        return
    next_at = now() + timedelta(seconds=PAUSES_S[call.tries])
    _settle(call, Call.State.WAITING, answer)
    Call.unscoped.filter(pk=call.pk).update(next_try_at=next_at)
    make_call.using(run_after=next_at).enqueue(call.pk, organization_id=call.organization_id)


def _settle(call: Call, state: Call.State, answer: str) -> None:
    Call.unscoped.filter(pk=call.pk, state=Call.State.WAITING).update(
        state=state, answer=answer[:200], tries=call.tries + 1, last_tried_at=now(), next_try_at=None
    )


def _switch_off(webhook: Webhook, status: int, answer: str) -> None:
    _log.warning("webhook switched off", extra={"webhook_id": webhook.pk})
    why = f"It was called in vain for {OFF_AFTER.days} days, the last time with: {answer}."
    if status == GONE:
        why = f"Its server answered {GONE} Gone: it wants no more calls."
    verb = "webhook.answered_gone" if status == GONE else "webhook.failed_for_long"
    record_event(verb, organization_id=webhook.organization_id, target=webhook, answer=answer)
    _turn_off(webhook, OFF, f"{why} Mend it, switch it on again, and send a test.")


@transaction.atomic
def switch_all_off() -> None:
    """After a restore: one that was removed since the backup is back, and one whose secret was renewed has the old."""
    for webhook in Webhook.unscoped.select_for_update(no_key=True).filter(is_on=True):
        record_event("webhook.off_after_restore", organization_id=webhook.organization_id, target=webhook)
        _turn_off(webhook, OFF_AFTER_RESTORE, RESTORED)
    waiting = Call.unscoped.filter(state=Call.State.WAITING)
    waiting.update(
        state=Call.State.GIVEN_UP, answer="the platform was restored from a backup", next_try_at=None
    )


def _turn_off(webhook: Webhook, title: str, message: str) -> None:
    """Whoever governs the organization is told, once a day at most, and can switch it on again."""
    webhook.is_on = False
    webhook.save(update_fields=["is_on"])
    told = Occasion.unscoped.filter(
        organization_id=webhook.organization_id, subject=Occasion.Subject.WEBHOOK, title=title
    )
    if told.filter(created_at__gt=now() - TOLD_AGAIN_AFTER).exists():
        return
    occasion = Occasion.unscoped.create(
        organization_id=webhook.organization_id,
        kind=Occasion.Kind.NEEDS_YOU,
        subject=Occasion.Subject.WEBHOOK,
        subject_id=webhook.pk,
        title=title,
        standing="off",
        message=message,
    )
    governors = Membership.unscoped.filter(organization_id=webhook.organization_id, role__gte=Role.ADMIN)
    tell(occasion, governors.filter(user__is_active=True).values_list("user_id", flat=True))
