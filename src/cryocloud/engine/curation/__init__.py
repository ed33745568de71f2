"""Which micrographs are worth going on with, and why the others are not.

A micrograph costs more than it gives when its signal ends early or its ice is crystalline. Each is judged
by evidence that CTF estimation has left in the table, each rejection has a reason in words, and each limit
can be replaced by a person's.
"""

from cryocloud.engine.curation.limits import (
    CRITERIA,
    Criterion,
    Limit,
    derive_limit,
    given_limit,
    range_text,
    reasons_against,
)

__all__ = ["CRITERIA", "Criterion", "Limit", "derive_limit", "given_limit", "range_text", "reasons_against"]
