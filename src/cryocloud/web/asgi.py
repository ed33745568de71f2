"""The web process: uploads and event streams in ASGI of their own, everything else in Django."""

from __future__ import annotations

import os
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cryocloud.web.settings")
_django = get_asgi_application()

# Models can be imported only after Django has been set up.
from cryocloud.web import event_hub  # noqa: E402
from cryocloud.web.configuration import configuration  # noqa: E402
from cryocloud.web.data import form_upload, tus  # noqa: E402
from cryocloud.web.front.door import FrontDoor  # noqa: E402

BEFORE_DJANGO = {"/events/": event_hub.application, "/uploads/": tus.application}


async def _by_path(scope: Any, receive: Any, send: Any) -> None:
    """Longest-living requests first: what Django would keep in memory or in a thread never reaches it."""
    path = scope.get("path", "")
    served = next((serve for prefix, serve in BEFORE_DJANGO.items() if path.startswith(prefix)), _django)
    await served(scope, receive, send)


async def _admit_form(scope: Any, dataset_id: str, size_bytes: int) -> None:
    credential = event_hub.credential_of(scope)
    await event_hub.hub.ask(lambda: form_upload.admit(credential, dataset_id, size_bytes))


application = FrontDoor(
    _by_path,
    before_turns=tuple(BEFORE_DJANGO),
    admit_form=_admit_form,
    requests_per_client=configuration().connections_per_client,
    body_wait_s=configuration().body_wait_s,
)
