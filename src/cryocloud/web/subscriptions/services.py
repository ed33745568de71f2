"""What owners and staff do with subscriptions; the clock comes by ``advance``."""

from __future__ import annotations

from cryocloud.web.subscriptions.advance import advance
from cryocloud.web.subscriptions.changes import (
    change_plan,
    leave_method,
    pay_by_method,
    pay_by_transfer,
    set_spending_limit,
    take_back,
)
from cryocloud.web.subscriptions.closing import close_organization, shorten_retrieval
from cryocloud.web.subscriptions.ending import deactivate, decide_review, end_overdue
from cryocloud.web.subscriptions.orders import subscribe, subscription_of
from cryocloud.web.subscriptions.quotes import accept_quote, withdraw_quote, write_quote
from cryocloud.web.subscriptions.withdrawals import (
    confirm_withdrawal,
    declare_withdrawal,
    settle_withdrawal,
)

__all__ = (
    "accept_quote",
    "advance",
    "change_plan",
    "close_organization",
    "confirm_withdrawal",
    "deactivate",
    "decide_review",
    "declare_withdrawal",
    "end_overdue",
    "leave_method",
    "pay_by_method",
    "pay_by_transfer",
    "set_spending_limit",
    "settle_withdrawal",
    "shorten_retrieval",
    "subscribe",
    "subscription_of",
    "take_back",
    "withdraw_quote",
    "write_quote",
)
