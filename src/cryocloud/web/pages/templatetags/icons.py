"""Our own line drawings on a grid of 24, put into the page so that they take the color of the text beside them."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

DRAWINGS = {
    "organization": "M4 20V6l8-3v17M12 9h8v11M3 20h18M7.5 9h1M7.5 13h1M15.5 13h1M15.5 16.5h1",
    "person": "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM4.5 20.5c.8-4 3.8-6 7.5-6s6.7 2 7.5 6",
    "settings": "M4 7h9M17 7h3M4 17h3M11 17h9M15 4.500v5M9 14.500v5",
    "bell": "M6 16.500V11a6 6 0 0 1 12 0v5.500l1.5 2h-15ZM10 21h4",
    "leave": "M10 4H5v16h5M9 12h11M16 8l4 4-4 4",
    "menu": "M4 7h16M4 12h16M4 17h16",
    "down": "M7 10l5 5 5-5",
    "check": "M5 12.500l4.5 4.500L19 7.5",
    "plus": "M12 5v14M5 12h14",
    "data": "M4 6c0-1.7 3.6-3 8-3s8 1.3 8 3-3.6 3-8 3-8-1.3-8-3ZM4 6v6c0 1.7 3.6 3 8 3s8-1.3 8-3V6"
    "M4 12v6c0 1.7 3.6 3 8 3s8-1.3 8-3v-6",
    "play": "M7 4.500v15l12-7.500Z",
    "stop": "M6 6h12v12H6Z",
    "copy": "M9 9h11v11H9ZM5 15H4V4h11v1",
    "compare": "M12 4v16M4 7h5v10H4ZM15 7h5v10h-5Z",
    "download": "M12 4v11M7.5 11l4.5 4.5 4.5-4.500M4 20h16",
    "look": "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12Z"
    "M12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6Z",
    "warning": "M12 4 2.5 20h19ZM12 10v4.500M12 17.300v.2",
    "clock": "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM12 7v5l3.5 2",
    "again": "M19.5 12a7.5 7.5 0 1 1-2.2-5.300L20 9.300M20 4v5.300h-5.3",
    "edit": "M4 20l1-4.500L16 4.500l3.5 3.500L8.5 19ZM14 6.500l3.5 3.5",
    "forward": "M5 12h14M13 6l6 6-6 6",
    "upload": "M12 16V5M7.5 9.5 12 5l4.5 4.500M4 20h16",
    "box": "M3 5h18v4H3ZM5 9v11h14V9M10 13h4",
    "bin": "M4 7h16M9 7V4h6v3M6.500 7l1 13h9l1-13M10 11v5.500M14 11v5.5",
    "flow": "M3 5h6v5H3ZM15 14h6v5h-6ZM9 7.500h4.500a2 2 0 0 1 2 2V14",
}


@register.simple_tag
def icon(name: str) -> SafeString:
    return format_html(
        '<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d="{}"/></svg>',
        DRAWINGS[name],
    )
