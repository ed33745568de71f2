"""Whoever sells has what invoices need, or hears of it at the start and not with the first invoice."""

from __future__ import annotations

import pytest

from cryocloud.web.billing import extra
from cryocloud.web.configuration import ConfigurationError, configuration


def test_a_platform_that_sells_does_not_start_without_the_extra(monkeypatch) -> None:
    extra.require_extra()
    monkeypatch.setattr(extra, "MODULES", ("fpdf", "nothing_of_that_name"))
    with pytest.raises(
        ConfigurationError, match=r"nothing_of_that_name is not installed.*cryocloud\[billing\]"
    ):
        extra.require_extra()


def test_where_nothing_is_sold_it_is_not_asked_for(monkeypatch) -> None:
    given = configuration().model_copy(update={"billing": None})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: given)
    monkeypatch.setattr(extra, "MODULES", ("nothing_of_that_name",))
    extra.require_extra()
