"""One JSON object a line."""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime

request_id: ContextVar[str] = ContextVar("request_id", default="")

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_UNWANTED = frozenset({"request", "color_message"})  # of Django and uvicorn; a request shows its query string
_WITH_ADDRESS = frozenset({"django.request", "django.security.csrf"})
_VALUE_LENGTH = 2000


class JsonFormatter(logging.Formatter):
    """The message and whatever was given as ``extra``; control characters cannot break the line."""

    def format(self, record: logging.LogRecord) -> str:
        content = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": _event(record)[:_VALUE_LENGTH],
        }
        if request_id.get():
            content["request_id"] = request_id.get()
        content |= {name: value for name, value in vars(record).items() if name not in _STANDARD | _UNWANTED}
        if record.exc_info:
            content["trace"] = self.formatException(record.exc_info)
        return json.dumps(content, default=str)


class PlainFormatter(logging.Formatter):
    """For people; what others have written cannot begin a line of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        text = _event(record)[:_VALUE_LENGTH]
        record.message = "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
        return super().formatMessage(record)


def _event(record: logging.LogRecord) -> str:
    """Without the address that Django adds to its complaints: it may hold the secret of a link."""
    if record.name in _WITH_ADDRESS and isinstance(record.args, tuple) and len(record.args) == 2:
        return str(record.args[0])
    return record.getMessage()
