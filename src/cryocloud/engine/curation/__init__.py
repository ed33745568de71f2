"""Which micrographs are worth going on with, and why the others are not."""

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
