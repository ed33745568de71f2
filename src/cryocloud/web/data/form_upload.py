"""Whether the upload form for browsers without script may be sent, asked before its body comes.

Django keeps such a body whole before a view sees it: without this, anybody who has logged in could fill the disk.
"""

from __future__ import annotations

from django.db import transaction

from cryocloud.web.accounts.credentials import Credential
from cryocloud.web.core.disk_room import REFUSAL, room
from cryocloud.web.core.errors import DiskFull, Forbidden
from cryocloud.web.data.models import Dataset
from cryocloud.web.data.storage import reserve_storage
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Role

# The body as it came, the files taken out of it, and the files that are kept.
COPIES = 3
# What a form holds besides its files.
FRAME_BYTES = 64 << 10


def admit(credential: Credential, dataset_id: str, size_bytes: int) -> None:
    """Raise unless the person may upload there, and plan and disk have room for so much."""
    actor = credential.actor() if credential.session_key else None
    if actor is None:
        raise Forbidden("Log in to send files.")
    dataset = access.get(actor, Dataset, dataset_id, needs=Role.EDITOR)
    with transaction.atomic():
        reserve_storage(dataset.organization_id, files=1, size_bytes=max(0, size_bytes - FRAME_BYTES))
    found = room()
    if found.free_bytes - found.reserved_bytes < COPIES * size_bytes:
        raise DiskFull(REFUSAL)
