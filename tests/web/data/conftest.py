"""A dataset, a real web process, and a client for uploads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from cryocloud.web.data.models import Dataset
from cryocloud.web.data.services import create_dataset
from platform_server import Served, serving
from web_data import Tus


@pytest.fixture
def server(transactional_db: None, home: Path) -> Iterator[Served]:
    with serving(home, str(connection.settings_dict["NAME"])) as served:
        yield served


@pytest.fixture
def dataset(owner: Any) -> Dataset:
    return create_dataset(actor=owner.actor, organization=owner.organization, name="apoferritin")


@pytest.fixture
def tus(server: Served, owner: Any) -> Tus:
    return Tus(server.address, owner.secret)
