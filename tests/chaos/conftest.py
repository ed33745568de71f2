"""The people and homes of the platform's tests."""

from web.conftest import home, make_member

__all__ = ["home", "make_member"]
