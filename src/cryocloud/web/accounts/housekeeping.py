"""What accounts forget of their own accord, and what must reach the disk."""

from __future__ import annotations

from datetime import timedelta

from cryocloud.web.accounts.answers import forget_old_answers
from cryocloud.web.audit.tombstones import write_out
from cryocloud.web.core.periodic import every


@every(timedelta(hours=1))
def forget_answers_of_yesterday() -> None:
    forget_old_answers()


@every(timedelta(minutes=1))
def write_out_tombstones() -> None:
    write_out()
