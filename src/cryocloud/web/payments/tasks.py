"""What the clock does about money: whatever was cut off or had no answer is brought on, as often as it takes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TypeVar

from cryocloud.web.core.clock import now
from cryocloud.web.core.periodic import every
from cryocloud.web.payments import charging, method_changes, refunds
from cryocloud.web.payments.events import SETTLED_WITHIN, act_on
from cryocloud.web.payments.letters import remind
from cryocloud.web.payments.models import Charge, MethodChange, Payment, ProviderEvent, Refund
from cryocloud.web.payments.providers.base import ProviderDown
from cryocloud.web.payments.reconciliation import reconcile

AT_ONCE = 200
Id = TypeVar("Id", str, int)

_log = logging.getLogger("cryocloud.payments")


@every(timedelta(minutes=1))
def move_payments() -> None:
    """Ask about everything under way whose time has come, then try what is due."""
    moment = now()
    charges = Charge.unscoped.filter(state__in=Charge.UNDER_WAY, ask_at__lte=moment)
    _each("charge", charges.order_by("ask_at").values_list("pk", flat=True)[:AT_ONCE], charging.bring_on)
    changes = MethodChange.unscoped.filter(state__in=MethodChange.UNDER_WAY, ask_at__lte=moment)
    _each(
        "change", changes.order_by("ask_at").values_list("pk", flat=True)[:AT_ONCE], method_changes.bring_on
    )
    due = Payment.unscoped.filter(state__in=Payment.LIVE, next_try_at__lte=moment)
    _each("payment", due.order_by("next_try_at").values_list("pk", flat=True)[:AT_ONCE], charging.take)
    under_way = Refund.objects.filter(state__in=Refund.UNDER_WAY, ask_at__lte=moment).exclude(charge=None)
    events = ProviderEvent.objects.filter(settled_at=None, received_at__lte=moment - SETTLED_WITHIN)
    _each("event", events.order_by("received_at").values_list("pk", flat=True)[:AT_ONCE], act_on)
    _each("refund", under_way.order_by("ask_at").values_list("pk", flat=True)[:AT_ONCE], refunds.carry_out)


@every(timedelta(hours=24))
def compare_money() -> None:
    reconcile()


@every(timedelta(hours=1))
def remind_of_transfers() -> None:
    remind()


def _each(kind: str, ids: Iterable[Id], act: Callable[[Id], object]) -> None:
    """One that fails does not keep the others waiting."""
    for one in ids:
        try:
            act(one)
        except ProviderDown as down:
            _log.warning("provider does not answer", extra={kind: one, "reason": str(down)})
        except Exception:
            _log.exception("a step of a payment failed", extra={kind: one})
