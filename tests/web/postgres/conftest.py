"""Databases of a private PostgreSQL; a visible skip where none can be had."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

import private_postgres
from cryocloud.web.core.ids import new_id


@pytest.fixture(scope="session")
def postgres() -> private_postgres.Server:
    try:
        return private_postgres.server()
    except private_postgres.NoServer as reason:
        pytest.skip(f"no PostgreSQL here: {reason}")


@pytest.fixture
def new_database(postgres: private_postgres.Server) -> Callable[[], dict[str, str]]:
    """Settings of a platform with an empty database and the server's own programs."""

    def make() -> dict[str, str]:
        path = f"{postgres.programs}{os.pathsep}{os.environ['PATH']}"
        return {"CRYOCLOUD_DATABASE": postgres.create_database(new_id()), "PATH": path}

    return make
