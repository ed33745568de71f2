from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from ninja import Field, Query, Router, Schema, Status
from pydantic import BaseModel

from cryocloud.web.api.answers import ERRORS, Page, PageQuery, one_page
from cryocloud.web.api.credentials import actor
from cryocloud.web.api.trash import DeletedOut
from cryocloud.web.core import places
from cryocloud.web.core.ranged import ranged_response
from cryocloud.web.data import services
from cryocloud.web.data.models import PATH_LENGTH, Dataset, DatasetFile, Upload
from cryocloud.web.data.partial_file import received_bytes
from cryocloud.web.data.sample import use_sample_data
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Role
from cryocloud.web.organizations.watch import while_allowed
from cryocloud.web.trash.files import FILES_MAX, move_files_to_trash
from cryocloud.web.trash.models import Deletion

router = Router(tags=["datasets"])

BYTES_MAX = 2**63 - 1


class Profile(BaseModel):
    """The microscope; what is left out is taken from the files.

    No ``Schema`` of ninja: that reads attributes, so a list would pass for a profile without any values.
    """

    pixel_size_angstrom: float | None = Field(None, description="Å")
    voltage_kv: float | None = Field(None, description="kV")
    spherical_aberration_mm: float | None = Field(None, description="mm")
    amplitude_contrast: float | None = Field(None, description="fraction, 0 to 1")


class DatasetOut(Schema):
    id: str
    organization_id: str
    name: str
    description: str
    profile: Profile
    is_sample: bool
    created_at: datetime
    trashed_at: datetime | None


class DatasetIn(Schema):
    organization_id: str = Field(max_length=64)
    name: str = Field(max_length=120)
    description: str = Field("", max_length=services.DESCRIPTION_LENGTH)
    profile: Profile | None = None


class DatasetChange(Schema):
    """What is left out stays as it is; a profile replaces the former one."""

    name: str | None = Field(None, max_length=120)
    description: str | None = Field(None, max_length=services.DESCRIPTION_LENGTH)
    profile: Profile | None = None


class DatasetQuery(PageQuery):
    organization_id: str = Field("", max_length=64, description="Only those of this organization")
    trashed: bool = Field(False, description="Those in the trash instead")


class ContentsOut(Schema):
    files: int
    size_bytes: int
    unread: int = Field(description="Files that have not been read yet")
    damaged: int
    arriving: int = Field(description="Uploads and imports that are not complete")
    arriving_bytes: int


class JobUseOut(Schema):
    job_id: str
    label: str
    is_active: bool


class DeletionOut(Schema):
    """What deletion would take along."""

    contents: ContentsOut
    jobs: list[JobUseOut]


class FileOut(Schema):
    id: str
    dataset_id: str
    path: str
    size_bytes: int
    sha256: str
    state: str = Field(description="unread, read, damaged or other")
    header: dict[str, Any]
    problem: str
    has_preview: bool
    created_at: datetime

    @staticmethod
    def resolve_size_bytes(file: DatasetFile) -> int:
        return file.stored.size_bytes

    @staticmethod
    def resolve_sha256(file: DatasetFile) -> str:
        return file.stored.sha256


class FileQuery(PageQuery):
    path: str = Field("", max_length=PATH_LENGTH, description="Only paths that contain this")
    state: str = Field("", pattern="^(|unread|read|damaged|other)$", description="Only files in this state")


class FilesIn(Schema):
    files: list[str] = Field(description="Ids of files of the dataset", min_length=1, max_length=FILES_MAX)


class UploadIn(Schema):
    path: str = Field(max_length=4 * PATH_LENGTH, description="Relative path in the dataset")
    size_bytes: int = Field(ge=0, le=BYTES_MAX)
    sha256: str = Field("", max_length=64, description="Checked on arrival; also lets an upload be resumed")


class UploadOut(Schema):
    """Send the bytes with tus 1.0 to ``url``, beginning at ``offset``."""

    id: str
    dataset_id: str
    path: str
    size_bytes: int
    state: str = Field(description="open, done or aborted")
    problem: str
    expires_at: datetime
    url: str
    offset: int

    @staticmethod
    def resolve_url(upload: Upload) -> str:
        return f"/uploads/{upload.pk}"

    @staticmethod
    def resolve_offset(upload: Upload) -> int:
        if upload.state == Upload.State.DONE:
            return upload.size_bytes
        return received_bytes(upload.pk, upload.size_bytes)


class ServerFolderIn(Schema):
    folder: str = Field(max_length=4096, description="Absolute path below a folder that is open for import")


class ImportOut(Schema):
    files: int
    size_bytes: int


@router.get("/datasets", response={200: Page[DatasetOut], **ERRORS}, operation_id="list_datasets")
def list_datasets(request: HttpRequest, query: Query[DatasetQuery]) -> dict[str, Any]:
    """Datasets of your organizations, newest first."""
    rows = access.visible(actor(request), Dataset).filter(trashed_at__isnull=not query.trashed)
    if query.organization_id:
        rows = rows.filter(organization_id=query.organization_id)
    return one_page(rows, query)


@router.post("/datasets", response={201: DatasetOut, **ERRORS}, operation_id="create_dataset")
def create_dataset(request: HttpRequest, body: DatasetIn) -> Status[Dataset]:
    caller = actor(request)
    organization = access.get_organization(caller, body.organization_id, needs=Role.EDITOR)
    dataset = services.create_dataset(
        actor=caller,
        organization=organization,
        name=body.name,
        description=body.description,
        profile=body.profile.model_dump(exclude_none=True) if body.profile else {},
    )
    return Status(201, dataset)


@router.post(
    "/organizations/{organization_id}/sample-data",
    response={200: DatasetOut, **ERRORS},
    operation_id="use_sample_data",
)
def use_sample(request: HttpRequest, organization_id: str) -> Dataset:
    """The organization's sample dataset, added if there is none; it does not count as storage."""
    caller = actor(request)
    organization = access.get_organization(caller, organization_id, needs=Role.EDITOR)
    return use_sample_data(actor=caller, organization=organization)


@router.get("/datasets/{dataset_id}", response={200: DatasetOut, **ERRORS}, operation_id="get_dataset")
def get_dataset(request: HttpRequest, dataset_id: str) -> Dataset:
    return access.get(actor(request), Dataset, dataset_id)


@router.patch("/datasets/{dataset_id}", response={200: DatasetOut, **ERRORS}, operation_id="update_dataset")
def update_dataset(request: HttpRequest, dataset_id: str, body: DatasetChange) -> Dataset:
    caller = actor(request)
    return services.update_dataset(
        actor=caller,
        dataset=access.get(caller, Dataset, dataset_id, needs=Role.EDITOR),
        name=body.name,
        description=body.description,
        profile=None if body.profile is None else body.profile.model_dump(exclude_none=True),
    )


@router.get(
    "/datasets/{dataset_id}/contents",
    response={200: ContentsOut, **ERRORS},
    operation_id="get_dataset_contents",
)
def get_dataset_contents(request: HttpRequest, dataset_id: str) -> services.Contents:
    """Numbers and bytes of files, read, damaged and arriving."""
    return services.contents_of(access.get(actor(request), Dataset, dataset_id))


@router.get(
    "/datasets/{dataset_id}/deletion",
    response={200: DeletionOut, **ERRORS},
    operation_id="preview_dataset_deletion",
)
def preview_dataset_deletion(request: HttpRequest, dataset_id: str) -> dict[str, Any]:
    """What deletion would take along, and the jobs that used it; changes nothing."""
    dataset = access.get(actor(request), Dataset, dataset_id)
    return {"contents": services.contents_of(dataset), "jobs": services.jobs_using(dataset)}


@router.post(
    "/datasets/{dataset_id}/trash", response={200: DatasetOut, **ERRORS}, operation_id="trash_dataset"
)
def trash_dataset(request: HttpRequest, dataset_id: str) -> Dataset:
    """Move it to the trash, from where it is deleted after 7 days."""
    caller = actor(request)
    dataset = access.get(caller, Dataset, dataset_id, needs=Role.EDITOR, purpose=access.Purpose.READ)
    return services.trash_dataset(actor=caller, dataset=dataset)


@router.post(
    "/datasets/{dataset_id}/restore", response={200: DatasetOut, **ERRORS}, operation_id="restore_dataset"
)
def restore_dataset(request: HttpRequest, dataset_id: str) -> Dataset:
    """Take it out of the trash."""
    caller = actor(request)
    dataset = access.get(caller, Dataset, dataset_id, needs=Role.EDITOR, purpose=access.Purpose.READ)
    return services.restore_dataset(actor=caller, dataset=dataset)


@router.delete("/datasets/{dataset_id}", response={202: None, **ERRORS}, operation_id="purge_dataset")
def purge_dataset(request: HttpRequest, dataset_id: str) -> Status[None]:
    """Delete a dataset that is in the trash now; its bytes are gone within minutes and cannot be restored."""
    caller = actor(request)
    dataset = access.get(caller, Dataset, dataset_id, needs=Role.ADMIN, purpose=access.Purpose.READ)
    services.purge_dataset(actor=caller, dataset=dataset)
    return Status(202, None)


@router.get(
    "/datasets/{dataset_id}/files", response={200: Page[FileOut], **ERRORS}, operation_id="list_dataset_files"
)
def list_dataset_files(request: HttpRequest, dataset_id: str, query: Query[FileQuery]) -> dict[str, Any]:
    """Files of a dataset, newest first."""
    dataset = access.get(actor(request), Dataset, dataset_id)
    rows: QuerySet[DatasetFile] = dataset.files.select_related("stored")
    if query.path:
        rows = rows.filter(path__icontains=query.path)
    if query.state:
        rows = rows.filter(state=query.state)
    return one_page(rows, query)


@router.post(
    "/datasets/{dataset_id}/files/trash", response={200: DeletedOut, **ERRORS}, operation_id="trash_files"
)
def trash_files(request: HttpRequest, dataset_id: str, body: FilesIn) -> Deletion:
    """Move files to the trash, from where they are deleted after 7 days; not while a job reads them."""
    caller = actor(request)
    dataset = access.get(caller, Dataset, dataset_id, needs=Role.EDITOR, purpose=access.Purpose.READ)
    return move_files_to_trash(actor=caller, dataset=dataset, file_ids=body.files)


@router.get("/files/{file_id}", response={200: FileOut, **ERRORS}, operation_id="get_file")
def get_file(request: HttpRequest, file_id: str) -> DatasetFile:
    """What is known of a file."""
    return access.get(actor(request), DatasetFile, file_id)


@router.get("/files/{file_id}/content", response={200: None, **ERRORS}, operation_id="download_file")
def download_file(request: HttpRequest, file_id: str) -> HttpResponseBase:
    """The bytes as they were uploaded; ``Range`` is understood, the ETag is the SHA-256."""
    caller = actor(request)
    file = access.get(caller, DatasetFile, file_id)
    blob = places.blob_file(file.stored.key)
    sent = ranged_response(request, blob, name=file.name, sha256=file.stored.sha256)
    return while_allowed(request, caller, file.organization_id, sent)


@router.post(
    "/datasets/{dataset_id}/uploads", response={201: UploadOut, **ERRORS}, operation_id="begin_upload"
)
def begin_upload(request: HttpRequest, dataset_id: str, body: UploadIn) -> Status[Upload]:
    """Announce a file, or find the open upload of the same path, size and SHA-256 to go on with."""
    caller = actor(request)
    dataset = access.get(caller, Dataset, dataset_id, needs=Role.EDITOR)
    known = services.find_open_upload(dataset, path=body.path, size_bytes=body.size_bytes, sha256=body.sha256)
    upload = known or services.begin_upload(
        actor=caller, dataset=dataset, path=body.path, size_bytes=body.size_bytes, sha256=body.sha256
    )
    return Status(201, upload)


@router.get("/uploads/{upload_id}", response={200: UploadOut, **ERRORS}, operation_id="get_upload")
def get_upload(request: HttpRequest, upload_id: str) -> Upload:
    """How far an upload is."""
    return access.get(actor(request), Upload, upload_id)


@router.post(
    "/datasets/{dataset_id}/server-folders",
    response={202: ImportOut, **ERRORS},
    operation_id="add_server_folder",
)
def add_server_folder(request: HttpRequest, dataset_id: str, body: ServerFolderIn) -> Status[dict[str, int]]:
    """Copy all files of a folder on the server; they arrive one after the other."""
    caller = actor(request)
    dataset = access.get(caller, Dataset, dataset_id, needs=Role.EDITOR)
    uploads = services.add_server_folder(actor=caller, dataset=dataset, folder=body.folder)
    total = {"files": len(uploads), "size_bytes": sum(upload.size_bytes for upload in uploads)}
    return Status(202, total)
