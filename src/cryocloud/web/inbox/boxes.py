"""Which mails are taken, and what becomes of them. An app that wants mails registers a box for its addresses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cryocloud.web.inbox.models import Mail


@dataclass(frozen=True)
class Box:
    """``receive`` is called with each new mail, in the transaction that keeps it."""

    kind: str
    addresses: Callable[[], tuple[str, ...]]
    receive: Callable[[Mail], None]


_boxes: list[Box] = []


def register_box(box: Box) -> None:
    """Of two boxes with the same address the one that came first gets the mail."""
    if box.kind not in {one.kind for one in _boxes}:
        _boxes.append(box)


def box_of(recipient: str) -> Box | None:
    """``contact+anything@lab.example`` belongs to ``contact@lab.example``."""
    local, _, domain = recipient.strip().lower().rpartition("@")
    address = f"{local.partition('+')[0]}@{domain}"
    return next((box for box in _boxes if address in box.addresses()), None)
