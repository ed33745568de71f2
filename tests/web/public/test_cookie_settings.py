"""Names and flags of cookies follow the address under which the platform is served."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import json, django
django.setup()
from django.conf import settings
from cryocloud.web.core.cookies import inventory
print(json.dumps({
    "names": [cookie.name for cookie in inventory()],
    "secure": [settings.SESSION_COOKIE_SECURE, settings.CSRF_COOKIE_SECURE],
    "hidden_from_scripts": [settings.SESSION_COOKIE_HTTPONLY, settings.CSRF_COOKIE_HTTPONLY],
    "hsts_s": settings.SECURE_HSTS_SECONDS,
}))
"""


def facts(address, home):
    own = {name: text for name, text in os.environ.items() if not name.startswith("CRYOCLOUD_")}
    own |= {"CRYOCLOUD_HOME": str(home), "CRYOCLOUD_ADDRESS": address}
    own |= {"CRYOCLOUD_CONTROLLER": "A lab", "CRYOCLOUD_CONTACT": "em@lab.example"}
    own["DJANGO_SETTINGS_MODULE"] = "cryocloud.web.settings"
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=own, capture_output=True, text=True, check=True
    )
    return json.loads(said.stdout)


@pytest.mark.requirement("COO-01")
def test_on_https_cookies_are_bound_to_the_host_and_secure(tmp_path):
    found = facts("https://cryo.example", tmp_path)
    assert found["names"] == ["__Host-session", "__Host-device", "__Host-csrf"]
    assert found["secure"] == [True, True] and found["hsts_s"] > 0


def test_on_a_workstation_without_https_they_still_work_and_stay_hidden_from_scripts(tmp_path):
    found = facts("http://127.0.0.1:8000", tmp_path)
    assert found["names"] == ["session", "device", "csrf"]
    assert found["secure"] == [False, False] and found["hidden_from_scripts"] == [True, True]
