"""What everybody can read: true to the configuration, without dead links, foreign requests or unlisted cookies."""

from __future__ import annotations

import hashlib
import re
from datetime import date
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from django.http import HttpResponse
from django.test import Client
from django.test.utils import override_settings
from django.urls import path
from django.views.defaults import server_error

from cryocloud.web.configuration import configuration
from cryocloud.web.core.cookies import inventory
from cryocloud.web.pages.policy import TEXT, VERSIONS, current_policy

PAGES = ("/", "/faq/", "/plans/", "/privacy/", "/cookies/", "/guide/")
pytestmark = pytest.mark.django_db


class Page(HTMLParser):
    def __init__(self, answer):
        super().__init__()
        self.links, self.sources, self.ids, self.inline = set(), set(), [], []
        self.feed(answer.content.decode())

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids += [given["id"]] if "id" in given else []
        if tag == "a":
            self.links.add(given["href"])
        self.sources |= {given[name] for name in ("src", "action") if given.get(name)}
        if tag == "link":
            self.sources.add(given["href"])
        self.inline += [name for name in given if name == "style" or name.startswith("on")]


def text_of(answer):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


def with_settings(monkeypatch, **values):
    changed = configuration().model_copy(update=values)
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: changed)


@pytest.mark.requirement("ONB-04")
@pytest.mark.parametrize("address", PAGES)
def test_every_internal_link_leads_somewhere(client, owner, address):
    """As a visitor, and as a member; pages for members send visitors to the log-in page."""
    for browser in (client, owner.client):
        page = Page(browser.get(address))
        internal = {link for link in page.links | page.sources if link.startswith("/")}
        assert len(internal) > 5
        for link in internal - {"/accounts/logout/", "/organization/switch/"}:
            if link.startswith("/static/"):
                assert Client().get(link).status_code in (200, 404)
                continue
            answer = browser.get(link, follow=True)
            assert answer.status_code == 200, link


@pytest.mark.requirement("PRV-25")
@pytest.mark.parametrize("address", [*PAGES, "/accounts/login/", "/accounts/signup/", "/missing/"])
def test_pages_ask_nothing_of_other_sites_and_carry_no_inline_script_or_style(client, address):
    page = Page(client.get(address))
    assert all(source.startswith("/") for source in page.sources)
    assert page.inline == []
    assert len(page.ids) == len(set(page.ids))


@pytest.mark.requirement("SUP-02")
def test_the_figures_of_the_questions_come_from_the_configuration(client, monkeypatch):
    said = text_of(client.get("/faq/"))
    for figure in ("30 days", "20 hours", "2 TB"):
        assert figure in said
    with_settings(
        monkeypatch,
        trial_days=45,
        trial_compute_hours=7,
        trial_storage_bytes=3_500 * 10**9,
        retrieval_days=14,
        contact="help@facility.example",
    )
    for address in ("/faq/", "/plans/", "/"):
        said = text_of(client.get(address))
        assert "20 hours" not in said and "2 TB" not in said and "30 days" not in said, address
        assert "7 hours" in said and "3.5 TB" in said and "14 days" in said and "45 days" in said
    assert "help@facility.example" in text_of(client.get("/faq/"))
    assert "45 days, 7 hours of compute, 3.5 TB" in text_of(client.get("/accounts/signup/"))


def test_each_question_stands_once(client):
    titles = re.findall(r"<h2>(.*?)</h2>", client.get("/faq/").content.decode())
    assert len(titles) == len(set(titles)) >= 6


@pytest.mark.requirement("SUP-03")
def test_starting_the_trial_leads_to_sign_up(client):
    page = client.get("/").content.decode()
    assert re.search(r'<a class="button primary" href="/accounts/signup/">Start free trial</a>', page)


def test_where_sign_up_is_closed_nothing_invites_to_it(client, monkeypatch):
    with_settings(monkeypatch, sign_up_open=False)
    for address in ("/", "/faq/", "/plans/", "/guide/"):
        content = client.get(address).content.decode().split("<main")[1]
        assert "/accounts/signup/" not in content, address


@pytest.mark.requirement("PRV-01")
def test_the_policy_is_served_with_version_date_and_the_hash_of_its_bytes(client):
    page = text_of(client.get("/privacy/"))
    served = client.get("/privacy/text/").content
    assert hashlib.sha256(served).hexdigest() in page
    assert current_policy().version in page and "in force since" in page
    assert served.decode().strip()[:200] in client.get("/privacy/").content.decode()


@pytest.mark.requirement("POL-01")
def test_the_text_of_a_version_is_the_one_that_was_published():
    policy = current_policy()
    published = hashlib.sha256(TEXT.read_bytes()).hexdigest()
    assert (policy.effective_on, published) == VERSIONS[policy.version]


@pytest.mark.requirement("PRV-01")
def test_the_policy_names_whoever_runs_the_platform_and_nobody_else(client, monkeypatch):
    stranger = ("cryocloud.io", "CryoCloud B.V.", "Autoriteit Persoonsgegevens")
    for address in [*PAGES, "/privacy/", "/privacy/text/", "/accounts/password/reset/"]:
        assert not any(name in client.get(address).content.decode() for name in stranger), address
    named = {
        "controller": "Institute of <Structures>", "controller_address": "1 Ice Road, Reykjavík",
        "contact": "em@ice.example", "data_protection_contact": "dpo@ice.example",
        "authority": "Persónuvernd", "authority_url": "https://personuvernd.is",
    }  # fmt: skip
    site = configuration().model_copy(update=named)
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: site)
    text = client.get("/privacy/text/").content.decode()
    assert "Institute of &lt;Structures&gt;, 1 Ice Road, Reykjavík, is the controller" in text
    assert "dpo@ice.example" in text and "em@ice.example" in text
    assert '<a href="https://personuvernd.is" rel="noreferrer">Persónuvernd</a>' in text
    assert "mailto:em@ice.example" in client.get("/").content.decode()


@pytest.mark.requirement("PRV-01")
def test_an_operator_may_bring_a_whole_text(client, monkeypatch, tmp_path):
    own = tmp_path / "policy.html"
    own.write_text("<p>Our house, our rules.</p>", encoding="utf-8")
    site = configuration().model_copy(update={"policy": own, "policy_since": date(2026, 12, 1)})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: site)
    page = text_of(client.get("/privacy/"))
    assert "Our house, our rules." in page and "2026-12-01" in page
    assert hashlib.sha256(own.read_bytes()).hexdigest() in page


@pytest.mark.requirement("PRV-18")
def test_the_policy_names_the_nine_rights_and_both_ways_to_complain(client):
    text = text_of(client.get("/privacy/"))
    for article in ("15", "16", "17", "18", "20", "21", "7(3)", "22", "77"):
        assert f"Art. {article})" in text
    assert "Data Protection Officer at" in text and "the data protection authority of your country" in text


@pytest.mark.requirement("PRV-01")
@pytest.mark.parametrize(
    "address", [*PAGES, "/missing/", "/accounts/login/", "/accounts/signup/", "/accounts/password/reset/"]
)
def test_every_page_links_the_policy(client, address):
    assert "/privacy/" in Page(client.get(address)).links


@pytest.mark.requirement("COO-02")
def test_the_page_about_cookies_is_the_inventory(client):
    page = client.get("/cookies/").content.decode()
    rows = page.split("<tbody>")[1].count("<tr>")
    assert rows == len(inventory())
    for cookie in inventory():
        assert f">{cookie.name}<" in page and cookie.life in page
    assert "pseudonym" in page and "anonymous" not in page


@pytest.mark.requirement("COO-01")
def test_no_page_sets_a_cookie_outside_the_inventory(client, owner):
    known = {cookie.name for cookie in inventory()}
    for browser in (client, owner.client):
        for address in (*PAGES, "/accounts/login/", "/accounts/signup/", "/settings/", "/missing/"):
            browser.get(address)
        assert set(browser.cookies) <= known


def set_a_strange_cookie(request):
    response = HttpResponse("ok")
    response.set_cookie("tracker", "1")
    return response


urlpatterns = [path("strange/", set_a_strange_cookie)]


@pytest.mark.requirement("COO-05")
@override_settings(ROOT_URLCONF=__name__)
def test_a_cookie_that_is_not_listed_is_held_back(client, caplog):
    answer = client.get("/strange/")
    assert answer.content == b"ok" and not answer.cookies
    assert "held back" in caplog.text


@pytest.mark.requirement("PRV-01")
def test_the_page_of_an_error_of_ours_links_the_policy(rf):
    answer = server_error(rf.get("/"))
    assert answer.status_code == 500 and "/privacy/" in Page(answer).links


def test_public_pages_only_answer_reading(client):
    for address in PAGES:
        assert client.post(address).status_code == 405


def test_the_address_of_a_page_is_no_scheme_of_its_own(client):
    for address in PAGES:
        for link in Page(client.get(address)).links:
            assert urlsplit(link).scheme in ("", "mailto", "https"), link
