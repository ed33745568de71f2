"""Numbers, times and states as people say them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import template

from cryocloud import catalog
from cryocloud.catalog.fields import shown_value, title
from cryocloud.catalog.metrics import Spoken, spoken_number
from cryocloud.catalog.range_words import duration_words, hours_words, size_words
from cryocloud.web.billing.countries import COUNTRIES
from cryocloud.web.billing.money import spoken as money_words
from cryocloud.web.billing.vat import rate_text
from cryocloud.web.core.clock import now
from cryocloud.web.runs.models import Job
from cryocloud.web.runs.state_words import STATE_WORDS

register = template.Library()

register.filter("duration_range", duration_words)
register.filter("hours_range", hours_words)
register.filter("size_range", size_words)

_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


@register.filter
def bytes_text(size_bytes: float | None) -> str:
    """Decimal units, as disks and plans are sold: "1.5 GB", "2 TB"."""
    value = float(size_bytes or 0)
    for unit in _BYTE_UNITS:
        if value < 999.5 or unit == _BYTE_UNITS[-1]:
            break
        value /= 1000
    number = f"{value:.0f}" if unit == "B" or value >= 99.5 else f"{value:.1f}".removesuffix(".0")
    return f"{number} {unit}"


@register.filter
def money(cents: int) -> str:
    """As "1,234.50 EUR"."""
    return money_words(cents)


@register.filter
def vat_rate(rate_bp: int) -> str:
    """Basis points as "25.5 %"."""
    return f"{rate_text(rate_bp)} %"


@register.filter
def country_name(code: str) -> str:
    return COUNTRIES.get(code, code)


@register.filter
def duration(seconds: float | None) -> str:
    """As "48 s", "12 min 30 s" or "3 h 05 min"."""
    whole = round(seconds or 0)
    if whole < 60:
        return f"{seconds or 0:.1f} s" if 0 < (seconds or 0) < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02d} min"


@register.filter
def roughly(seconds: float) -> str:
    """For what is only foretold: "5 min", "3 h", "4 days"."""
    minutes = max(1, round(seconds / 60))
    if minutes < 90:
        return f"{minutes} min"
    hours = round(minutes / 60)
    return f"{hours} h" if hours < 48 else f"{round(hours / 24)} days"


@register.filter
def ago(moment: datetime | None) -> str:
    if moment is None:
        return ""
    minutes = int((now() - moment).total_seconds() // 60)
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return f"{minutes} min ago"
    if minutes < 60 * 24:
        return f"{minutes // 60} h ago"
    days = minutes // (60 * 24)
    return "yesterday" if days == 1 else f"{days} days ago" if days < 30 else f"{moment:%-d %B %Y}"


@register.filter
def spoken(metrics: dict[str, Any]) -> list[Spoken]:
    """A job's metrics in words."""
    return [spoken_number(name, value) for name, value in metrics.items()]


@register.filter
def evidence_text(evidence: dict[str, Any]) -> str:
    return ", ".join(f"{one.label} {one.text}" for one in spoken(evidence))


@register.filter
def job_title(job_type: str) -> str:
    return catalog.job_type_title(job_type)


@register.filter
def workflow_title(name: str) -> str:
    return catalog.workflow_title(name)


@register.filter
def in_words(value: Any) -> str:
    """The choice that a decision records."""
    return shown_value(value)


@register.filter
def percent(fraction: float | None) -> int:
    return round(100 * min(max(fraction or 0.0, 0.0), 1.0))


@register.filter
def state_word(state: str) -> str:
    known = STATE_WORDS.get(state)
    return known.word if known else state.replace("_", " ").capitalize()


@register.filter
def state_help(state: str) -> str:
    """One line on what the state means."""
    known = STATE_WORDS.get(state)
    return known.help if known else ""


@register.filter
def ran_s(job: Job) -> float | None:
    """Seconds from its start to its end; None before the end."""
    if job.started_at is None or job.finished_at is None:
        return None
    return (job.finished_at - job.started_at).total_seconds()


@register.filter
def plot_title(name: str) -> str:
    return title(name)
