"""Known and unknown addresses cost the same work, so that the time of an answer tells nothing.

Counted, not timed: nearly all of the time is spent in hashing passwords, and the number of hashes is exact.
"""

from __future__ import annotations

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.test import Client

from cryocloud.web.core.models import Count
from web.visitors import Visitor


class CountingHasher(MD5PasswordHasher):
    hashes = 0

    def encode(self, password, salt):
        type(self).hashes += 1
        return super().encode(password, salt)


@pytest.fixture
def count(settings, visitor):
    settings.PASSWORD_HASHERS = [f"{__name__}.CountingHasher"]
    visitor.sign_up("ada@lab.example")
    visitor.confirm()

    def hashes_of(step):
        Count.objects.all().delete()
        CountingHasher.hashes = 0
        step(Visitor(Client()))
        return CountingHasher.hashes

    return hashes_of


def test_sign_up_with_a_known_address_costs_as_much_as_with_a_new_one(count):
    known = count(lambda visitor: visitor.sign_up("ada@lab.example"))
    new = count(lambda visitor: visitor.sign_up("new@lab.example"))
    assert known == new > 0


def test_a_wrong_password_costs_as_much_as_an_unknown_address(count):
    known = count(lambda visitor: visitor.log_in("ada@lab.example", password="wrong wrong"))
    unknown = count(lambda visitor: visitor.log_in("nobody@lab.example", password="wrong wrong"))
    assert known == unknown > 0
