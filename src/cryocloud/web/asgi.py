"""The web process: uploads and event streams in ASGI of their own, everything else in Django."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cryocloud.web.settings")
application = get_asgi_application()
