"""Whether two addresses lead to the same mailbox."""

from __future__ import annotations

from cryocloud.web.core.secret_words import hash_of

WITHOUT_DOTS = {"gmail.com", "googlemail.com"}


def mailbox_hash(address: str) -> str:
    """Of the plainest form: no capitals, nothing after a plus sign, no dots where the provider ignores them."""
    name, _, domain = address.strip().lower().rpartition("@")
    name = name.partition("+")[0] or name
    if domain in WITHOUT_DOTS:
        name, domain = name.replace(".", ""), "gmail.com"
    return hash_of(f"{name}@{domain}")
