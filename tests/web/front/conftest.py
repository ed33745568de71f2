"""A real web process, and sockets to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from platform_server import Served, serving
from raw_http import RawConnection

SHORT = """
import django
django.setup()
from cryocloud.web.api import catalog

def broken():
    raise RuntimeError("the secret of the database is 42")

catalog.job_type_names = broken
"""
LIMITS = {
    "CRYOCLOUD_CONNECTIONS_PER_CLIENT": "60",
    "CRYOCLOUD_CONNECTIONS": "150",
    "CRYOCLOUD_HEAD_WAIT_S": "1",
    "CRYOCLOUD_BODY_WAIT_S": "2",
    "CRYOCLOUD_IDLE_WAIT_S": "2",
    "CRYOCLOUD_TRIAL_STORAGE_BYTES": str(900 << 20),
}


@pytest.fixture(scope="module")
def served_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def running(served_home: Path, django_db_setup: None, django_db_blocker: Any) -> Iterator[Served]:
    with serving(served_home, str(connection.settings_dict["NAME"]), prelude=SHORT, **LIMITS) as served:
        first = RawConnection(served.address, timeout_s=60)
        first.ask("GET", "/health/live")  # its memory is that of a server, not of one that starts
        first.close()
        yield served


@pytest.fixture
def server(transactional_db: None, running: Served) -> Served:
    return running


@pytest.fixture
def connect(server: Served) -> Iterator[Callable[..., RawConnection]]:
    opened: list[RawConnection] = []

    def start(**options: Any) -> RawConnection:
        opened.append(RawConnection(server.address, **options))
        return opened[-1]

    yield start
    for one in opened:
        one.close()
