"""What may go wrong on purpose. ``plain_errors`` makes pages of these, the API makes JSON; nobody else catches them."""

from __future__ import annotations


class PlatformError(Exception):
    """Base: ``status`` is the HTTP status, the message is for the person who reads it.

    ``remedy`` is the address of the page that helps, where there is one.
    """

    status = 500
    remedy = ""
    remedy_words = "Set it up"


class NotFound(PlatformError):
    """Missing, or of an organization that the actor has nothing to do with: the answer is the same."""

    status = 404

    def __init__(self) -> None:
        super().__init__("There is nothing here, or it is not yours to see.")


class Forbidden(PlatformError):
    """A member whose role or token does not reach that far."""

    status = 403


class Refused(PlatformError):
    """Input that cannot be used. ``fields`` holds a message for each field that is to blame."""

    status = 422

    def __init__(self, message: str, fields: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.fields = fields or {}


class Conflict(PlatformError):
    """Impossible in the present state, such as cancelling what has ended."""

    status = 409


class TakesNothing(Conflict):
    """The organization may be read at present, but nothing may be added or changed."""

    remedy = "/organization/"
    remedy_words = "See what holds and until when"


class Closed(Forbidden):
    """The data of the organization cannot be reached any more."""

    remedy = "/organization/"
    remedy_words = "See what holds now"


class QuotaExceeded(PlatformError):
    """More than the plan of the organization holds."""

    status = 413


class DiskFull(PlatformError):
    """The server has no room; what has arrived is kept."""

    status = 507


class TooManyRequests(PlatformError):
    """A limit on the rate; the message says when to try again."""

    status = 429


class Busy(PlatformError):
    """More than can be worked on at this moment."""

    status = 503


class MailNotSent(PlatformError):
    """The mail server did not take a mail that the next step needs."""

    status = 503

    def __init__(self) -> None:
        super().__init__("The mail could not be sent just now. Nothing is lost: try again in a few minutes.")
