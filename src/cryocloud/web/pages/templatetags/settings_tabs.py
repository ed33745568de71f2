from __future__ import annotations

from typing import Any

from django import template
from django.urls import reverse

register = template.Library()

TABS = (
    ("settings", "Profile"),
    ("notice_settings", "Notices"),
    ("account_email", "Email"),
    ("account_change_password", "Password"),
    ("mfa_index", "Second factor"),
    ("usersessions_list", "Sessions"),
    ("tokens", "API tokens"),
)


@register.inclusion_tag("settings/tabs.html", takes_context=True)
def settings_tabs(context: dict[str, Any]) -> dict[str, Any]:
    """The pages of the settings, ours and allauth's; the longest address that begins the present one is current."""
    here = context["request"].path
    tabs = [(reverse(name), label) for name, label in TABS]
    current = max((address for address, _ in tabs if here.startswith(address)), key=len, default="")
    return {"tabs": tabs, "current": current}
