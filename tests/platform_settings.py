"""The platform's own settings in a home that lasts as long as the test run, with cheap password hashes."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

import private_postgres

_home = tempfile.mkdtemp(prefix="cryocloud-test-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
os.environ["CRYOCLOUD_HOME"] = _home

if private_postgres.wanted():
    # Processes that the test runner starts find the URL, and use the same server.
    del os.environ[private_postgres.WISH]
    os.environ["CRYOCLOUD_DATABASE"] = private_postgres.server().url("cryocloud")

from cryocloud.web.settings import *  # noqa: E402, F403
from cryocloud.web.settings import STATIC_ROOT  # noqa: E402

STATIC_ROOT.mkdir()  # WhiteNoise warns if it is missing

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
