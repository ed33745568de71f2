"""The sample data: made once, offered to every organization, never on its account."""

from __future__ import annotations

import os

import pytest

from cryocloud.web.core.errors import Conflict, Forbidden, NotFound
from cryocloud.web.core.models import BackgroundTask
from cryocloud.web.core.places import blob_file
from cryocloud.web.data import sample
from cryocloud.web.data.models import Dataset, DatasetFile
from cryocloud.web.data.services import storage_used
from cryocloud.web.organizations.models import Role

pytestmark = pytest.mark.django_db


@pytest.fixture
def made(home):
    """Two files where the sample lies."""
    (home / "sample").mkdir()
    for number in (1, 2):
        (home / f"sample/mic_{number:04d}.mrc").write_bytes(os.urandom(5000))
    return home / "sample"


def test_an_organization_gets_the_sample_with_its_optics(owner, made):
    answer = owner.client.post("/sample-data/")
    dataset = Dataset.unscoped.get()
    assert (answer.status_code, answer["Location"]) == (302, f"/datasets/{dataset.pk}/")
    assert dataset.is_sample
    assert dataset.profile["pixel_size_angstrom"] == 2.5
    files = list(DatasetFile.unscoped.filter(dataset=dataset).order_by("path"))
    assert [file.path for file in files] == ["mic_0001.mrc", "mic_0002.mrc"]
    assert blob_file(files[0].stored.key).read_bytes() == (made / "mic_0001.mrc").read_bytes()


@pytest.mark.parametrize("page", ["/dashboard/", "/datasets/"])
def test_it_is_offered_where_there_is_nothing_yet(owner, made, page):
    assert 'action="/sample-data/"' in owner.client.get(page).content.decode()


def test_it_does_not_count_as_storage(owner, made):
    sample.use_sample_data(actor=owner.actor, organization=owner.organization)
    assert storage_used(owner.organization).size_bytes == 0


def test_a_second_wish_gives_the_same_dataset(owner, made):
    first = sample.use_sample_data(actor=owner.actor, organization=owner.organization)
    assert sample.use_sample_data(actor=owner.actor, organization=owner.organization) == first
    assert Dataset.unscoped.count() == 1


def test_organizations_have_datasets_of_their_own(owner, stranger, made):
    mine = sample.use_sample_data(actor=owner.actor, organization=owner.organization)
    theirs = sample.use_sample_data(actor=stranger.actor, organization=stranger.organization)
    keys = {file.stored.key for file in DatasetFile.unscoped.all()}
    assert mine != theirs
    assert len(keys) == 4
    with pytest.raises(NotFound):
        sample.use_sample_data(actor=stranger.actor, organization=owner.organization)


def test_a_viewer_may_not_add_it(owner, make_member, made):
    viewer = make_member(owner.organization, Role.VIEWER, name="vic")
    with pytest.raises(Forbidden):
        sample.use_sample_data(actor=viewer.actor, organization=owner.organization)


def test_before_it_is_made_one_is_told_to_wait(owner):
    with pytest.raises(Conflict, match="not made yet"):
        sample.use_sample_data(actor=owner.actor, organization=owner.organization)


def test_it_is_ordered_once():
    sample.order_sample()
    sample.order_sample()
    assert BackgroundTask.objects.count() == 1


@pytest.mark.slow
def test_the_worker_simulates_it(home):
    sample.make_sample.func()
    files = sample.sample_files()
    assert len(files) == 6
    assert all(file.stat().st_size > 960 * 960 * 4 for file in files)
    assert not (home / "sample.making").exists()
    before = [file.stat().st_mtime_ns for file in files]
    sample.make_sample.func()
    assert [file.stat().st_mtime_ns for file in sample.sample_files()] == before
