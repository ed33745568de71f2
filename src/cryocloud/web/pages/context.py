from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from cryocloud.web.configuration import configuration


def site(request: HttpRequest) -> dict[str, Any]:
    """What every page may use."""
    return {"configuration": configuration()}
