"""The privacy policy: one text, its version, the day from which it holds, and its hash.

The text that comes with the platform names whoever runs it, from the configuration; an operator may bring a whole text
of their own. The hash is that of the text as people read it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path

from django.template import Context, Template

from cryocloud.web.configuration import Configuration, configuration

TEXT = Path(__file__).parent.parent / "templates" / "public" / "policy_text.html"


@dataclass(frozen=True)
class Policy:
    version: str
    effective_on: date
    text: str
    sha256: str


# A text that has been in force is never edited: a change is a new version with a hash of its own.
VERSIONS = {
    "1.0": (date(2026, 11, 23), "9219374ca5a358ab900412477d7da833c3df558f2fd708f166b406f5b5b321d9"),
    "1.1": (date(2026, 11, 28), "6562af6ad1bd05100cc19883a0292ea2bb63b7ea9bb2612c6acd6346a63ec331"),
}


def current_policy() -> Policy:
    """The operator's own text, or ours with the operator's name."""
    return _policy(configuration())


@lru_cache(maxsize=4)
def _policy(site: Configuration) -> Policy:
    if site.policy is not None and site.policy_since is not None:
        text = site.policy.read_text(encoding="utf-8")
        return _hashed(site.policy_since.isoformat(), site.policy_since, text)
    version = max(VERSIONS)
    named = {
        "controller": site.controller or "whoever runs this installation",
        "controller_address": site.controller_address,
        "contact": site.contact_words,
        "data_protection_contact": site.data_protection_contact or site.contact_words,
        "authority": site.authority,
        "authority_url": site.authority_url,
    }
    text = Template(TEXT.read_text(encoding="utf-8")).render(Context(named))
    return _hashed(version, VERSIONS[version][0], text)


def _hashed(version: str, effective_on: date, text: str) -> Policy:
    return Policy(version, effective_on, text, hashlib.sha256(text.encode()).hexdigest())
