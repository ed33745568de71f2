"""A plan that is given back while a job runs: the job stops at a checkpoint, the money goes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cryocloud.web.configuration import configuration
from cryocloud.web.payments.models import Refund
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Attempt
from cryocloud.web.runs.services import create_job
from cryocloud.web.subscriptions import services
from web_books import EXAMPLE, make_customer
from web_contracts import Contract

pytestmark = pytest.mark.usefixtures("counting")


@pytest.fixture
def contract(home: Any, clock: Any, owner: Any, monkeypatch: pytest.MonkeyPatch) -> Contract:
    """It runs and is paid; its clock goes on ticking."""
    sold = configuration().model_copy(update={"billing": EXAMPLE, "stripe_key": "sk_test_1"})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: sold)
    monkeypatch.setattr("cryocloud.web.scheduling.scheduler.BUDGET_EVERY_S", 0.0)
    monkeypatch.setattr("cryocloud.web.scheduling.scheduler.FOLLOW_EVERY_S", 0.2)
    make_customer(owner.organization)
    made = Contract(owner, clock)
    made.subscribe(provider="stripe")
    made.first_by_card()
    return made


@pytest.mark.requirement("SUB-05")
def test_a_refund_stops_what_runs_at_a_checkpoint_and_coming_back_goes_on_from_there(
    contract: Contract, owner: Any, project: Project, turn_until: Callable[..., None]
) -> None:
    given = {"steps": 30, "step_s": 0.2}
    job = create_job(actor=owner.actor, project=project, job_type="counting", parameters=given, inputs={})
    turn_until(lambda: Attempt.unscoped.filter(state="running", wall_s__gt=0.5).exists())
    services.deactivate(**contract.by)
    assert contract.state == "retrieval"
    assert Refund.objects.get().amount_cents == contract.invoices()[0].gross_cents

    def stands(state: str) -> bool:
        job.refresh_from_db()
        return job.state == state

    turn_until(lambda: stands("paused"))
    assert owner.client.get(f"/jobs/{job.pk}/").status_code == 200
    contract.subscribe()
    turn_until(lambda: stands("done"))
    assert job.metrics["sum"] == 30
    assert job.attempts.count() == 2
