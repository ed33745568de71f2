from __future__ import annotations

import pytest
from django.test import Client

from web.visitors import Visitor


@pytest.fixture
def visitor(db) -> Visitor:
    return Visitor(Client())


@pytest.fixture
def another(db) -> Visitor:
    return Visitor(Client())


@pytest.fixture
def member(db) -> Visitor:
    """Ada, signed up and logged in."""
    ada = Visitor(Client())
    assert ada.join().status_code == 302
    return ada
