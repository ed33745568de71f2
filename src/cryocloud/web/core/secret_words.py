"""Secrets that are handed out once (tokens, invitations); only their hash is kept."""

from __future__ import annotations

import hashlib
import secrets


def new_secret(prefix: str = "") -> str:
    """A word of 256 random bits."""
    return prefix + secrets.token_urlsafe(32)


def hash_of(secret: str) -> str:
    """What is stored. 256 random bits need no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()
