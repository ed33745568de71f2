from __future__ import annotations

from pathlib import Path

import pytest

from cryocloud.web import terms
from cryocloud.web.configuration import ConfigurationError, configuration
from web_books import EXAMPLE


def test_the_example_can_be_used(monkeypatch):
    _use(monkeypatch, EXAMPLE)
    read = terms.billing()
    assert [plan.code for plan in read.offered] == ["lab", "facility"]
    assert read.plan("lab").compute_cents_an_hour == 350


@pytest.mark.parametrize(
    ("was", "instead", "said"),
    [
        ("monthly_cents = 49000", "monthly_cents = 490.5", "plans.0.monthly_cents"),
        ("monthly_cents = 49000", "monthly_cents = -1", "plans.0.monthly_cents"),
        ('code = "facility"', 'code = "lab"', "two plans have the code 'lab'"),
        ("[seller]", "[sellers]", "seller: Field required"),
        ("[seller]", "[seller", "cannot be read"),
        ("compute_hours = 100", "compute_hour = 100", "plans.0.compute_hours"),
    ],
    ids=["part of a cent", "negative", "same code", "no seller", "no TOML", "typing error"],
)
def test_a_wrong_file_is_refused_with_the_place(monkeypatch, tmp_path, was, instead, said):
    path = tmp_path / "billing.toml"
    path.write_text(EXAMPLE.read_text().replace(was, instead, 1))
    _use(monkeypatch, path)
    with pytest.raises(ConfigurationError, match="CRYOCLOUD_BILLING") as caught:
        terms.billing()
    assert said in str(caught.value)


def test_nothing_is_sold_without_the_file():
    assert terms.billing() is None


def _use(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    given = configuration().model_copy(update={"billing": path})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: given)
