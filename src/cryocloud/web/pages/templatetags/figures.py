from __future__ import annotations

from django import template

register = template.Library()


@register.filter
def decimal_bytes(size: int) -> str:
    """A promised size in decimal units: 2 TB are 2 000 000 000 000 bytes."""
    value, unit = float(size), "bytes"
    for unit in ("bytes", "kB", "MB", "GB", "TB", "PB"):
        if value < 1000 or unit == "PB":
            break
        value /= 1000
    return f"{value:.4g} {unit}"
