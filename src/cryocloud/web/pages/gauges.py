"""What an organization has used of what it may, in words that end with what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.contrib.humanize.templatetags.humanize import intcomma

from cryocloud.web.configuration import configuration
from cryocloud.web.data.services import storage_limit, storage_used
from cryocloud.web.metering.allowances import allowance
from cryocloud.web.metering.services import compute_limit_s, running_compute_s, used_compute_s
from cryocloud.web.organizations.models import Organization
from cryocloud.web.pages.templatetags.wording import bytes_text, duration
from cryocloud.web.terms import billing

NEAR = 0.8


@dataclass(frozen=True)
class Gauge:
    """One quantity: ``name`` begins a sentence, ``spoken`` says an amount with its unit. No limit is None.

    ``included`` is what costs nothing more, where the limit lies higher.
    """

    name: str
    used: float
    limit: float | None
    spoken: Callable[[float], str]
    remedy: str
    included: float | None = None

    @property
    def share(self) -> float:
        """Of what is allowed; all of it where nothing is."""
        if self.limit is None:
            return 0.0
        return min(1.0, self.used / self.limit) if self.limit else 1.0

    @property
    def left(self) -> float:
        return max(0.0, (self.limit or 0.0) - self.used)

    @property
    def level(self) -> str:
        if not self.limit or self.share < NEAR:
            return ""
        return "bad" if self._is_used_up else "warning"

    @property
    def _is_used_up(self) -> bool:
        """Also where what is left is spoken as nothing."""
        return self.left <= 0 or self.spoken(self.left) == self.spoken(0)

    @property
    def left_words(self) -> str:
        if self.limit is None:
            return "no limit"
        if not self.limit:
            return "none included"
        return "nothing left" if self._is_used_up else f"{self.spoken(self.left)} left"

    @property
    def used_words(self) -> str:
        of = "" if not self.limit else f" of {self.spoken(self.limit)}"
        included = "" if self.included is None else f", {self.spoken(self.included)} included"
        return f"{self.spoken(self.used)} used{of}{included}"

    @property
    def warning(self) -> str:
        """What is short, how much of it, and the remedy; empty while there is enough."""
        if self.limit == 0:
            return f"{self.name} limited to {self.spoken(0)}. {self.remedy}"
        if not self.level:
            return ""
        state = "used up" if self.level == "bad" else "nearly used up"
        return f"{self.name} {state}: {self.used_words}. {self.remedy}"


def compute_gauge(organization: Organization) -> Gauge:
    used_s = used_compute_s(organization) + running_compute_s(organization)
    remedy = f"Results stay; for more hours, {_ask(organization)}."
    return Gauge("Compute is", used_s, compute_limit_s(organization), duration, remedy)


def storage_gauges(organization: Organization) -> tuple[Gauge, Gauge]:
    """Bytes and files."""
    used, limit, given = storage_used(organization), storage_limit(organization), allowance(organization)
    is_beyond = given is not None and limit.size_bytes is not None and limit.size_bytes > given.storage_bytes
    included = given.storage_bytes if given is not None and is_beyond else None
    remedy = f"Delete datasets and empty the trash; for more storage, {_ask(organization)}."
    return (
        Gauge("Storage is", used.size_bytes, limit.size_bytes, bytes_text, remedy, included),
        Gauge("The number of files is", used.files, limit.files, _files, remedy),
    )


def _ask(organization: Organization) -> str:
    """Where plans are sold an owner chooses one, elsewhere people are asked."""
    if billing() is None:
        return f"write to {configuration().contact_words}"
    larger = "a larger plan" if organization.state == Organization.State.ACTIVE else "a plan"
    return f"an owner can choose {larger} in the settings of the organization"


def _files(number: float) -> str:
    return f"{intcomma(int(number))} file{'' if number == 1 else 's'}"
