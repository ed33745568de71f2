"""What is kept: its limit to the byte, its samples by the hour, and the nightly look into the store."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import QuotaExceeded
from cryocloud.web.core.places import blob_file, result_folder
from cryocloud.web.data.models import StoredObject
from cryocloud.web.data.services import reserve_storage, storage_limit
from cryocloud.web.data.tasks import sample_storage
from cryocloud.web.metering.models import Reconciliation, StorageHour
from cryocloud.web.metering.storage_hours import note_hour
from cryocloud.web.operations.reconciliation import reconcile
from cryocloud.web.organizations.models import Organization
from cryocloud.web.results.models import Artifact
from platform_orders import finished_job, make_dataset, make_project
from web.metering.test_grants import plan

LIMIT_BYTES = 2 * 10**12


@pytest.fixture
def lab(owner):
    return owner.organization


def keep(owner, size_bytes, *, trashed=False):
    """A result that counts, perhaps in the trash."""
    project = make_project(owner)
    job = finished_job(owner, project, "ctf", ())
    return Artifact.with_trash.create(
        organization=owner.organization, job=job, attempt=job.attempts.get(), path="big.mrc",
        size_bytes=size_bytes, sha256="", deletion_id="gone" if trashed else "",
    )  # fmt: skip


@pytest.mark.requirement("TRL-05")
@pytest.mark.parametrize("left_bytes", [0, 1, 700])
def test_the_last_byte_of_the_trial_fits_and_the_next_is_refused_before_it_is_sent(owner, lab, left_bytes):
    keep(owner, 10**12)
    keep(owner, 10**12 - left_bytes, trashed=True)
    dataset = make_dataset(owner, {})
    uploads = f"/datasets/{dataset.pk}/uploads"
    refused = owner.api("POST", uploads, {"path": "a.mrc", "size_bytes": left_bytes + 1})
    assert refused.status_code == 413 and f"{left_bytes} of the plan's" in refused.json()["error"]
    if left_bytes:
        assert owner.api("POST", uploads, {"path": "a.mrc", "size_bytes": left_bytes}).status_code == 201
    assert StoredObject.unscoped.count() == 0


@pytest.mark.parametrize("left_bytes", [0, 1, 700])
def test_storage_is_reserved_to_the_byte(owner, lab, left_bytes):
    keep(owner, LIMIT_BYTES - left_bytes, trashed=True)
    reserve_storage(lab.pk, files=0, size_bytes=left_bytes)
    with pytest.raises(QuotaExceeded, match="do not fit"):
        reserve_storage(lab.pk, files=0, size_bytes=left_bytes + 1)


def test_a_plan_with_a_price_for_storage_goes_up_to_twice_what_it_includes(lab):
    plan(lab, storage_bytes=100, files=7)
    assert (storage_limit(lab).size_bytes, storage_limit(lab).files) == (100, 7)
    plan(lab, storage_bytes=100, storage_cents_a_terabyte_month=500, from_at=now())
    assert storage_limit(lab).size_bytes == 200
    Organization.objects.filter(pk=lab.pk).update(state="past_due")
    lab.refresh_from_db()
    assert storage_limit(lab).size_bytes == 100


def test_nothing_new_is_ordered_where_the_storage_is_full_and_nothing_is_deleted(owner, lab):
    kept = keep(owner, LIMIT_BYTES)
    plan(lab, storage_bytes=10**12)
    order = {"job_type": "simulate_map", "parameters": {}, "inputs": {}}
    answer = owner.api("POST", f"/projects/{kept.job.project_id}/jobs", order)
    assert answer.status_code == 413 and "Delete what you no longer need" in answer.json()["error"]
    assert Artifact.unscoped.filter(pk=kept.pk).exists()
    assert owner.client.get(f"/jobs/{kept.job_id}/").status_code == 200


def test_an_hour_is_sampled_once_and_missed_ones_get_the_smaller_neighbor(lab):
    begin = now().replace(minute=0, second=0, microsecond=0)
    assert note_hour(lab.pk, begin + timedelta(minutes=3), 100) == 1
    assert note_hour(lab.pk, begin + timedelta(minutes=50), 999) == 0
    assert note_hour(lab.pk, begin + timedelta(hours=4, minutes=1), 40) == 4
    assert note_hour(lab.pk, begin + timedelta(hours=6), 60) == 2
    samples = StorageHour.unscoped.filter(organization=lab).order_by("hour")
    assert list(samples.values_list("size_bytes", flat=True)) == [100, 40, 40, 40, 40, 40, 60]
    assert [row.hour for row in samples] == [begin + timedelta(hours=number) for number in range(7)]
    assert note_hour(lab.pk, begin + timedelta(hours=2), 5) == 0, "the past is not sampled again"


def test_the_clock_samples_uploads_results_and_trash(owner, lab, stranger):
    make_dataset(owner, {"a.mrc": b"12345"})
    keep(owner, 1000)
    keep(owner, 500, trashed=True)
    for _ in range(2):
        sample_storage()
    assert StorageHour.unscoped.get(organization=lab).size_bytes == 1505
    assert StorageHour.unscoped.get(organization=stranger.organization).size_bytes == 0


def test_a_night_finds_what_is_missing_or_of_another_size(owner, lab):
    good, short, missing = (keep(owner, 5), keep(owner, 9), keep(owner, 7))
    for artifact in (good, short):
        place = result_folder(artifact.job_id, artifact.attempt_id) / artifact.path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"12345")
    stored = StoredObject.unscoped.create(organization=lab, key="blob", size_bytes=3, sha256="")
    blob_file("blob").parent.mkdir(parents=True, exist_ok=True)
    blob_file("blob").write_bytes(b"123")
    found = reconcile()
    assert (found.files, found.counted_bytes, found.found_bytes, found.differing) == (4, 24, 13, 2)
    told = {one["row_id"]: one["found_bytes"] for one in found.differences}
    assert told == {short.pk: 5, missing.pk: None} and stored.pk not in told
    owner.user.is_operator = True
    owner.user.save()
    page = owner.client.get("/operator/").content.decode()
    assert "2 of 4 files differ" in page and missing.pk in page
    Artifact.with_trash.filter(pk__in=[short.pk, missing.pk]).delete()
    assert reconcile().differing == 0
    assert "all 2 files lay in the store" in owner.client.get("/operator/").content.decode()
    assert Reconciliation.objects.count() == 2
