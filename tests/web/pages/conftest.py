import pytest

from web.pages.laboratory import seed_laboratory


@pytest.fixture
def laboratory(owner):
    return seed_laboratory(owner)
