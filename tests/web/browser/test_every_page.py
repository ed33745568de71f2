"""Every page that can be reached by links, as a member and as a passer-by: nothing is blocked, nothing sticks out to
the side, and axe finds nothing serious.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

AXE = Path(__file__).parents[3] / "islands/node_modules/axe-core/axe.min.js"
LINK = re.compile(r'<a\b(?![^>]*\bdownload\b)[^>]*\bhref="([^"#]+)')
ID = re.compile(r"[a-z2-9]{26}")
UNVISITED = ("/accounts/logout/", "/events/", "/api/v1/openapi.json")
PAGES_MAX = 150
DRAWN_S = 120.0
RUN_AXE = (
    "() => axe.run({resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']})"
)
SERIOUS = ("serious", "critical")
WATCH = """
window.blocked = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.blocked.push(event.violatedDirective + " " + event.blockedURI));
"""


def reached(site, role):
    """One address of each kind that links lead to, ids and query set apart."""
    cookies = {"session": site.told["sessions"][role]} if role else {}
    waiting = ["/dashboard/" if role else "/", f"/runs/{site.told['run']}/"]
    waiting += [f"/jobs/{job}/" for job in site.told["jobs"].values()]
    found: dict[str, str] = {}
    with httpx.Client(base_url=site.address, cookies=cookies, follow_redirects=True) as client:
        while waiting and len(found) < PAGES_MAX:
            path = waiting.pop(0)
            kind = ID.sub("ID", urlsplit(path).path)
            if kind in found or path.startswith(UNVISITED):
                continue
            answer = client.get(path)
            if "html" not in answer.headers["content-type"] or answer.status_code != 200:
                continue
            found[kind] = path
            links = (urljoin(str(answer.url), link) for link in LINK.findall(answer.text))
            waiting += [link.removeprefix(site.address) for link in links if link.startswith(site.address)]
    return list(found.values())


def faults(page, path, width_px):
    said = []
    page.on("console", lambda message: message.type == "error" and said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(path, wait_until="load")
    busy = page.locator("[data-started]:not([data-ready], [data-failed])")
    give_up = time.monotonic() + DRAWN_S
    while busy.count() and time.monotonic() < give_up:
        page.wait_for_timeout(100)
    said += ["an island is not ready"] if busy.count() else []
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate(RUN_AXE)["violations"]
    said += [
        f"axe {one['id']}: {node['target']} {node['html'][:160]}"
        for one in found
        if one["impact"] in SERIOUS
        for node in one["nodes"][:3]
    ]
    said += [f"blocked: {what}" for what in page.evaluate("window.blocked")]
    said += [f"failed: {what}" for what in page.locator("[data-failed]").all_inner_texts()]
    wide_px = page.evaluate("document.documentElement.scrollWidth")
    if wide_px > width_px:
        said.append(f"{wide_px} px wide")
    return said


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width_px", [1280, 360])
@pytest.mark.parametrize("role", ["owner", "viewer", None])
def test_every_page_is_whole_and_accessible(site, visit, role, width_px, scheme):
    paths = reached(site, role)
    assert len(paths) >= (40 if role == "owner" else 8)
    wrong = {}
    for path in paths:
        page = visit(width_px, scheme, role)
        page.add_init_script(WATCH)
        if said := faults(page, path, width_px):
            wrong[path] = said
        page.close()
    assert not wrong, "\n".join(f"{path}\n  " + "\n  ".join(said) for path, said in wrong.items())
