"""What a page offers: its links, its forms and what it orders by htmx."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin


@dataclass
class Form:
    action: str
    fields: dict[str, str] = field(default_factory=dict)


class Offers(HTMLParser):
    """Links, forms and htmx orders of a page."""

    def __init__(self, path: str, html: str) -> None:
        super().__init__()
        self.path = path
        self.links: set[str] = set()
        self.forms: list[Form] = []
        self.current: Form | None = None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "a" and (given.get("href") or "").startswith("/"):
            self.links.add(given["href"])
        if given.get("hx-post"):
            self.forms.append(Form(urljoin(self.path, given["hx-post"])))
        if tag == "form" and (given.get("method") or "get").lower() == "post":
            self.current = Form(given.get("action") or self.path)
            self.forms.append(self.current)
        if self.current and tag in ("input", "button", "textarea") and given.get("name"):
            self.current.fields[given["name"]] = given.get("value") or ""

    def handle_endtag(self, tag):
        if tag == "form":
            self.current = None
