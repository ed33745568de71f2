"""A CryoCloud server from Python: ``CryoCloud(address, token)``. Needs httpx (``pip install 'cryocloud[client]'``)."""

from __future__ import annotations

from cryocloud.client.platform.client import CryoCloud
from cryocloud.client.platform.connection import Refusal, Unreachable

__all__ = ["CryoCloud", "Refusal", "Unreachable"]
