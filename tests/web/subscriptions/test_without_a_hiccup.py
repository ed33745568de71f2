"""An upgrade in the middle of a job and of an upload: both go on, with the same ids, and the limits rise at once."""

from __future__ import annotations

import hashlib
import os
from datetime import timedelta

import pytest
from django.db import connection, transaction

from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import QuotaExceeded
from cryocloud.web.core.ids import new_id
from cryocloud.web.data.models import DatasetFile, Upload
from cryocloud.web.data.services import create_dataset
from cryocloud.web.data.storage import reserve_storage
from cryocloud.web.metering import grants
from cryocloud.web.metering.grants import Claim, Shortage
from cryocloud.web.metering.services import remaining_compute_s, used_compute_s
from platform_server import serving
from web.subscriptions.conftest import EXAMPLE
from web_contracts import DAY
from web_data import Tus

TB = 10**12


@pytest.mark.requirement("TRL-09")
def test_a_job_whose_compute_has_run_out_goes_on_with_the_plan(contract):
    contract.use(20 * 3600 - 100)
    claim = Claim(organization_id=contract.organization.pk, attempt_id=new_id())
    assert grants.reserve(claim) is None
    assert grants.note_use(claim, 200.0) == Shortage.QUOTA
    contract.subscribe()
    assert grants.note_use(claim, 200.0) is None
    assert remaining_compute_s(contract.organization) > 99 * 3600
    with transaction.atomic():
        moment = grants.hold_moment(contract.organization.pk)
        grants.settle(claim, 250.0, was_stopped=False, moment=moment)
    assert remaining_compute_s(contract.organization) <= 100 * 3600


def test_a_month_that_ends_stops_no_job(contract):
    held = contract.subscribe()
    contract.pay()
    contract.clock.set(held.running_month.until_at - timedelta(seconds=2))
    claim = Claim(organization_id=contract.organization.pk, attempt_id=new_id())
    assert grants.reserve(claim) is None
    contract.use(300_000)
    contract.clock.set(held.running_month.until_at)  # the worker has not come round yet
    assert grants.note_use(claim, 3_600.0) is None
    assert used_compute_s(contract.organization) == 0


@pytest.mark.django_db(transaction=True)
def test_an_upload_that_is_open_goes_on_and_more_than_the_trial_holds_fits(contract, home):
    dataset = create_dataset(
        actor=contract.owner.actor, organization=contract.organization, name="apoferritin"
    )
    content = os.urandom(3 << 20)
    sold = {"CRYOCLOUD_BILLING": str(EXAMPLE), "CRYOCLOUD_TEST_SEAMS": "on"}
    with serving(home, str(connection.settings_dict["NAME"]), **sold) as site:
        tus = Tus(site.address, contract.owner.secret)
        url = tus.created(dataset, "movie.mrc", len(content))
        upload = Upload.unscoped.get().pk
        assert tus.patch(url, 0, content[: 1 << 20]).status_code == 204
        assert tus.create(dataset.pk, "a", TB).status_code == 201
        assert tus.create(dataset.pk, "b", TB).status_code == 413
        contract.subscribe()
        assert tus.create(dataset.pk, "b", TB).status_code == 201
        assert tus.patch(url, 1 << 20, content[1 << 20 :]).status_code == 204
    file = DatasetFile.unscoped.get()
    assert file.stored.sha256 == hashlib.sha256(content).hexdigest()
    assert upload in url


@pytest.mark.requirement("TRL-12")
def test_less_than_is_stored_stops_writes_and_deletes_nothing(contract, home):
    contract.subscribe("facility")
    contract.pay()
    dataset = create_dataset(
        actor=contract.owner.actor, organization=contract.organization, name="apoferritin"
    )
    Upload.unscoped.create(
        organization=contract.organization,
        created_by_id=contract.owner.user.pk,
        dataset=dataset,
        path="large.mrc",
        size_bytes=20 * TB,
        expires_at=now() + 90 * DAY,
    )
    contract.change("lab")
    contract.at(contract.held.period.until_at)
    contract.pay()
    assert contract.held.plan.code == "lab"
    with pytest.raises(QuotaExceeded):
        reserve_storage(contract.organization.pk, files=1, size_bytes=1)
    contract.clock.forward(days=13)
    assert contract.owner.client.get(f"/datasets/{dataset.pk}/").status_code == 200
    assert Upload.unscoped.get().size_bytes == 20 * TB
