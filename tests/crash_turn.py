"""One turn of a process that handles money: ``python crash_turn.py WHAT ARGUMENTS``; it may be killed on the way."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import django

django.setup()

from cryocloud.web.accounts.actor import Actor  # noqa: E402
from cryocloud.web.accounts.models import User  # noqa: E402
from cryocloud.web.core.clock import now  # noqa: E402
from cryocloud.web.organizations.models import Organization  # noqa: E402
from cryocloud.web.payments.events import receive_event  # noqa: E402
from cryocloud.web.payments.models import ProviderEvent, Refund  # noqa: E402
from cryocloud.web.payments.statements import take_statement  # noqa: E402
from cryocloud.web.payments.transfers import make_transfer_file, refunds_by_transfer  # noqa: E402
from payment_desk import tick, work  # noqa: E402
from web_books import issue  # noqa: E402


def operator() -> Actor:
    return Actor(User.objects.get(is_operator=True))


def main(what: str, given: str) -> None:
    match what:
        case "receive":
            told = json.loads(Path(given).read_text(encoding="utf-8"))
            receive_event(told["provider"], told["body"].encode(), told["headers"])
        case "statement":
            take_statement(actor=operator(), name="bank.xml", content=Path(given).read_bytes())
        case "transfer" if refunds_by_transfer().exists():
            make_transfer_file(actor=operator())
        case "invoice":
            issue(Organization.objects.get(pk=given), key="crash")
    # A worker that was killed leaves leases; another waits for their end, this one takes over at once.
    from cryocloud.web.core.tasks import release_others

    release_others("another")
    work()
    ProviderEvent.objects.filter(settled_at=None).update(received_at="2000-01-01T00:00Z")
    Refund.objects.update(ask_at=now())
    tick()


if __name__ == "__main__":
    main(*sys.argv[1:])
