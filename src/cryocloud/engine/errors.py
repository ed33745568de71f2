"""Errors of the engine. The message names the offending value and the remedy."""


class EngineError(Exception):
    """Base of all errors raised on purpose by the engine."""


class InputError(EngineError):
    """The input cannot be used as it is; the person who supplied it can mend it."""
