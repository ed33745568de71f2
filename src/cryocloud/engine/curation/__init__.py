"""Which micrographs are worth going on with, and why the others are not."""

from cryocloud.engine.curation.limits import (
    CRITERIA,
    Criterion,
    Limit,
    derive_limit,
    given_limit,
    reasons_against,
)

__all__ = ["CRITERIA", "Criterion", "Limit", "derive_limit", "given_limit", "reasons_against"]
