"""Opaque identifiers: 128 random bits, nothing to guess and nothing to read out of them."""

from __future__ import annotations

import secrets

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
ID_LENGTH = 26


def new_id() -> str:
    """26 characters of 5 random bits each, without 0, 1, l and o, which are misread."""
    return "".join([_ALPHABET[byte & 31] for byte in secrets.token_bytes(ID_LENGTH)])
