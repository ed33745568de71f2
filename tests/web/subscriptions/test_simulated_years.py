"""Random years of an organization, told by the platform and by an oracle that shares no code with it: 0 cents, 0 s off."""

from __future__ import annotations

import time

import pytest
from django.db import transaction

from cryocloud.web.configuration import configuration
from oracles.billing_histories import PLANS, random_history
from oracles.billing_oracle import Oracle
from web.subscriptions.simulated_years import Played, StandingClock, told_document, told_totals

TOML = """
[seller]
name = "Example Services B.V."
street = "Voorbeeldstraat 1"
postal_code = "3511 AA"
city = "Utrecht"
country = "NL"
vat_id = "NL123456782B12"
registration_id = "12345678"
iban = "NL91ABNA0417164300"
email = "billing@example.org"
series = "SIM"
"""
QUICK_S = 40.0


@pytest.fixture
def platform(home, monkeypatch, make_member, operator):
    """Sells the plans of the histories, takes cards, and has a clock that stands."""
    lines = [TOML]
    for plan in PLANS.values():
        given = {
            "code": f'"{plan.code}"', "name": f'"{plan.code.title()}"', "monthly_cents": plan.monthly,
            "yearly_cents": plan.yearly, "compute_hours": plan.compute_s // 3600, "storage_bytes": plan.storage_bytes,
            "compute_cents_an_hour": plan.compute_rate, "storage_cents_a_terabyte_month": plan.storage_rate,
        }  # fmt: skip
        lines += ["[[plans]]", *(f"{name} = {value}" for name, value in given.items() if value is not None)]
    (home / "billing.toml").write_text("\n".join(lines))
    site = configuration().model_copy(
        update={"billing": home / "billing.toml", "stripe_key": "sk_test_1", "test_seams": True, "home": home}
    )
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: site)
    clock, owner = StandingClock(), make_member()
    monkeypatch.setattr("cryocloud.web.seams.test_clock.present", clock.present)
    return lambda start, vat: Played(owner, operator, clock, start, vat)


def differences(platform, seed: int, **how) -> list[str]:
    """What the platform tells otherwise than the oracle, in the order in which it came about."""
    vat, start, history = random_history(seed, **how)
    oracle = Oracle(PLANS, vat, start)
    with transaction.atomic():
        played = platform(start, vat)
        for step, (moment, *event) in enumerate(history):
            oracle.play(moment, *event)
            played.play(moment, *event)
            found = _compared(played, oracle)
            if found:
                transaction.set_rollback(True)
                return [f"seed {seed}, VAT {vat} %, sign-up {start}", *map(str, history[: step + 1]), *found]
        transaction.set_rollback(True)
    return []


def _compared(played: Played, oracle: Oracle) -> list[str]:
    told = oracle.told
    pairs = {
        "answer": (played.answers[-1], told.answers[-1]),
        "included": (_span(played.included[-1]), _span(told.included[-1])),
        "states": (played.states(), told.states),
        "documents": (played.documents(), [told_document(one) for one in told.documents]),
        "totals": (played.totals(), told_totals(oracle)),
    }
    return [
        f"{name}: platform {ours}, oracle {theirs}"
        for name, (ours, theirs) in pairs.items()
        if ours != theirs
    ]


def _span(given: tuple[int, int, int]) -> tuple[int, int, int]:
    """Where nothing is included it does not matter for how long."""
    return given if given[2] else (0, 0, 0)


def test_random_histories_come_to_the_same_cent_and_second(platform, request):
    began_s, seed = time.monotonic(), 0
    while time.monotonic() - began_s < QUICK_S:
        assert not (found := differences(platform, seed)), "\n".join(found)
        seed += 1
    print(f"{seed} histories")
