"""The platform's own settings for a server process that shares the database of the test run."""

from __future__ import annotations

import os

from cryocloud.web.settings import *  # noqa: F403

DATABASES["default"]["NAME"] = os.environ["TEST_DATABASE"]  # noqa: F405
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
