"""``python -m cryocloud.web COMMAND``: Django's management commands, and ours."""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cryocloud.web.settings")
    execute_from_command_line(["cryocloud.web", *sys.argv[1:]])
