"""What is done to datasets. Uploads have their own file; they are part of the same interface."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.humanize.templatetags.humanize import intcomma
from django.db import transaction
from django.db.models import Count, Q, Sum
from pydantic import ValidationError

from cryocloud.catalog.optics import OpticsParameters
from cryocloud.web.accounts.actor import Actor
from cryocloud.web.audit.services import record_event
from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import Conflict, QuotaExceeded, Refused
from cryocloud.web.core.plain_text import clean_name
from cryocloud.web.data.models import Dataset, DatasetFile, Upload
from cryocloud.web.data.server_folders import files_in, open_folder
from cryocloud.web.data.storage import reserve_storage, storage_limit, storage_used
from cryocloud.web.data.tasks import TRASH_KEPT, copy_server_file, order_purge
from cryocloud.web.data.uploads import (
    abort_upload,
    begin_copies,
    begin_upload,
    drop_upload,
    find_open_upload,
    finish_upload,
)
from cryocloud.web.data.usage import jobs_using, require_unused
from cryocloud.web.organizations.access import require_role
from cryocloud.web.organizations.models import Organization, Role

__all__ = [
    "TRASH_KEPT",
    "Contents",
    "abort_upload",
    "add_server_folder",
    "begin_upload",
    "contents_of",
    "create_dataset",
    "find_open_upload",
    "finish_upload",
    "jobs_using",
    "purge_dataset",
    "purge_due_at",
    "restore_dataset",
    "storage_limit",
    "storage_used",
    "trash_dataset",
    "update_dataset",
]

DESCRIPTION_LENGTH = 4000
DATASETS_MAX = 10_000


@dataclass(frozen=True)
class Contents:
    """How much a dataset holds."""

    files: int
    size_bytes: int
    unread: int
    damaged: int
    arriving: int
    arriving_bytes: int


def create_dataset(
    *,
    actor: Actor,
    organization: Organization,
    name: str,
    description: str = "",
    profile: dict[str, Any] | None = None,
    is_sample: bool = False,
) -> Dataset:
    """An empty dataset."""
    require_role(actor, organization.id, Role.EDITOR)
    with transaction.atomic():
        reserve_storage(organization.id, files=0, size_bytes=0)
        present = Dataset.unscoped.filter(organization=organization).count()
        if present >= DATASETS_MAX:
            raise QuotaExceeded(
                f"There are {intcomma(present)} datasets, as many as one organization may have. Delete some, or "
                "add the files to one that is there."
            )
        dataset = Dataset.unscoped.create(
            organization=organization,
            name=clean_name(name, field="name"),
            description=_checked_description(description),
            profile=checked_profile(profile or {}),
            is_sample=is_sample,
            created_by_id=actor.user.id,
        )
        _note("dataset.create", actor, dataset, name=dataset.name)
    return dataset


def update_dataset(
    *,
    actor: Actor,
    dataset: Dataset,
    name: str | None = None,
    description: str | None = None,
    profile: dict[str, Any] | None = None,
) -> Dataset:
    """Change what is said about a dataset; its files never change."""
    if name is not None:
        dataset.name = clean_name(name, field="name")
    if description is not None:
        dataset.description = _checked_description(description)
    if profile is not None:
        dataset.profile = checked_profile(profile)
    with transaction.atomic():
        dataset.save(update_fields=["name", "description", "profile"])
        _note("dataset.update", actor, dataset, name=dataset.name, profile=dataset.profile)
    return dataset


def checked_profile(given: dict[str, Any]) -> dict[str, float]:
    """The microscope's figures that were given, under the names and within the bounds of the catalog."""
    try:
        optics = OpticsParameters.model_validate(given)
    except ValidationError as error:
        fields = {str(one["loc"][0]): str(one["msg"]) for one in error.errors()}
        raise Refused("The microscope profile holds values that cannot be.", fields) from None
    profile: dict[str, float] = optics.model_dump(exclude_none=True)
    return profile


def add_server_folder(*, actor: Actor, dataset: Dataset, folder: str) -> list[Upload]:
    """Have the worker copy all files of a folder on the server; links are not followed."""
    files = files_in(open_folder(folder, dataset.organization_id))
    with transaction.atomic():
        uploads = begin_copies(actor=actor, dataset=dataset, files=files)
        for upload in uploads:
            copy_server_file.enqueue(upload.pk, organization_id=dataset.organization_id)
        _note("dataset.import", actor, dataset, folder=folder, files=len(files))
    return uploads


def contents_of(dataset: Dataset) -> Contents:
    states = DatasetFile.State
    kept = DatasetFile.unscoped.filter(dataset=dataset).aggregate(
        files=Count("pk"),
        size_bytes=Sum("stored__size_bytes", default=0),
        unread=Count("pk", filter=Q(state=states.UNREAD)),
        damaged=Count("pk", filter=Q(state=states.DAMAGED)),
    )
    coming = Upload.unscoped.filter(dataset=dataset, state=Upload.State.OPEN).aggregate(
        arriving=Count("pk"), arriving_bytes=Sum("size_bytes", default=0)
    )
    return Contents(**kept, **coming)


def trash_dataset(*, actor: Actor, dataset: Dataset) -> Dataset:
    """Put it away for 7 days; what is still arriving is given up."""
    if dataset.trashed_at is not None:
        raise Conflict(f"The dataset “{dataset.name}” is in the trash already.")
    contents = contents_of(dataset)
    with transaction.atomic():
        dataset.trashed_at = now()
        dataset.save(update_fields=["trashed_at"])
        for upload in Upload.unscoped.filter(dataset=dataset, state=Upload.State.OPEN):
            drop_upload(upload, "the dataset was moved to the trash")
        _note("dataset.trash", actor, dataset, files=contents.files, size_bytes=contents.size_bytes)
    return dataset


def restore_dataset(*, actor: Actor, dataset: Dataset) -> Dataset:
    with transaction.atomic():
        dataset = Dataset.unscoped.select_for_update(no_key=True).get(pk=dataset.pk)
        if dataset.trashed_at is None:
            raise Conflict(f"The dataset “{dataset.name}” is not in the trash.")
        if dataset.purge_ordered_at is not None:
            raise Conflict(f"The dataset “{dataset.name}” is being deleted; nothing of it can be restored.")
        dataset.trashed_at = None
        dataset.save(update_fields=["trashed_at"])
        _note("dataset.restore", actor, dataset)
    return dataset


def purge_dataset(*, actor: Actor, dataset: Dataset) -> None:
    """Delete what is in the trash now, without waiting; the worker removes the bytes."""
    if dataset.trashed_at is None:
        raise Conflict(f"The dataset “{dataset.name}” is not in the trash. Move it there first.")
    require_unused(dataset)
    contents = contents_of(dataset)
    with transaction.atomic():
        order_purge(dataset)
        _note("dataset.purge_order", actor, dataset, files=contents.files, size_bytes=contents.size_bytes)


def purge_due_at(dataset: Dataset) -> datetime | None:
    return dataset.trashed_at + TRASH_KEPT if dataset.trashed_at else None


def _checked_description(text: str) -> str:
    if len(text) > DESCRIPTION_LENGTH or "\0" in text:
        raise Refused(
            "The description cannot be kept.",
            {"description": f"Give at most {DESCRIPTION_LENGTH:,} plain characters; this has {len(text):,}."},
        )
    return text.strip()


def _note(verb: str, actor: Actor, dataset: Dataset, **detail: Any) -> None:
    record_event(
        verb,
        organization_id=dataset.organization_id,
        target=dataset,
        actor_id=actor.user.id,
        via=actor.via,
        **detail,
    )
