"""Secrets that the platform must be able to read again, encrypted with a key made from its own."""

from __future__ import annotations

import base64
import hashlib

from cryptography.fernet import Fernet
from django.conf import settings


def seal(purpose: str, text: str) -> str:
    """Encrypt; what was sealed for one purpose cannot be opened for another."""
    return _cipher(purpose).encrypt(text.encode()).decode("ascii")


def unseal(purpose: str, sealed: str) -> str:
    return _cipher(purpose).decrypt(sealed.encode("ascii")).decode()


def _cipher(purpose: str) -> Fernet:
    key = hashlib.sha256(f"{purpose}:{settings.SECRET_KEY}".encode()).digest()
    return Fernet(base64.urlsafe_b64encode(key))
