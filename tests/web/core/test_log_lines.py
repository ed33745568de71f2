"""What strangers write never shapes the log, and secrets of links never reach it."""

from __future__ import annotations

import io
import logging

import pytest
from django.test import Client

from cryocloud.web.core.log_format import JsonFormatter, PlainFormatter

SECRET = "s3cret-of-a-mailed-link"


@pytest.fixture(params=[JsonFormatter(), PlainFormatter("%(levelname)s %(message)s")], ids=["json", "plain"])
def log(request):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(request.param)
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


@pytest.mark.parametrize("path", ["invitations", "first-admin"])
def test_a_form_without_its_token_leaves_no_secret_of_its_link(db, log, path):
    assert Client(enforce_csrf_checks=True).post(f"/{path}/{SECRET}/").status_code == 403
    assert "CSRF" in log.getvalue()
    assert SECRET not in log.getvalue()


def test_what_is_quoted_cannot_begin_a_line(log):
    logging.getLogger("cryocloud.test").warning("refused: %s", "x\r\nERROR forged\x1b[31m")
    assert len(log.getvalue().splitlines()) == 1
    assert "\x1b" not in log.getvalue()
