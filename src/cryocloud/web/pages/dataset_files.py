"""Files of a dataset: looking at one, taking bytes out, and bringing bytes in without script."""

from __future__ import annotations

from pathlib import Path

from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST, require_safe

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.core import places
from cryocloud.web.core.errors import NotFound, PlatformError, Refused
from cryocloud.web.core.ranged import ranged_response
from cryocloud.web.core.zip_stream import ZipMember, zip_response
from cryocloud.web.data import services
from cryocloud.web.data.inspection import PREVIEW_SIZES, preview_file
from cryocloud.web.data.models import Dataset, DatasetFile
from cryocloud.web.data.partial_file import PartialFile
from cryocloud.web.organizations.access import get
from cryocloud.web.organizations.models import Role
from cryocloud.web.organizations.watch import while_allowed
from cryocloud.web.pages.in_trash import or_in_trash
from cryocloud.web.pages.visitor import members_only

SELECTED_MAX = 1000


@require_GET
@members_only
@or_in_trash(DatasetFile)
def file(request: HttpRequest, actor: Actor, file_id: str) -> HttpResponse:
    found = get(actor, DatasetFile, file_id)
    return render(
        request, "datasets/file.html", {"section": "datasets", "file": found, "dataset": found.dataset}
    )


@require_safe
@members_only
def download(request: HttpRequest, actor: Actor, file_id: str) -> HttpResponseBase:
    found = get(actor, DatasetFile, file_id)
    blob = places.blob_file(found.stored.key)
    sent = ranged_response(request, blob, name=found.name, sha256=found.stored.sha256)
    return while_allowed(request, actor, found.organization_id, sent)


@require_safe
@members_only
def preview(request: HttpRequest, actor: Actor, file_id: str, size: str) -> HttpResponseBase:
    found = get(actor, DatasetFile, file_id)
    if size not in PREVIEW_SIZES or not found.has_preview:
        raise NotFound
    picture = preview_file(found, size)
    sent = ranged_response(request, picture, name=f"{found.name}.webp", media_type="image/webp", inline=True)
    return while_allowed(request, actor, found.organization_id, sent)


@require_http_methods(["GET", "HEAD", "POST"])
@members_only
def archive(request: HttpRequest, actor: Actor, dataset_id: str) -> HttpResponseBase:
    """All files, or by POST the selected ones; everything that was uploaded, as it was uploaded."""
    dataset = get(actor, Dataset, dataset_id)
    files = dataset.files.select_related("stored").order_by("path")
    if request.method == "POST":
        chosen = request.POST.getlist("file")
        if not 0 < len(chosen) <= SELECTED_MAX:
            raise Refused(
                f"Select between 1 and {SELECTED_MAX} files ({len(chosen)} are); for more, download all of them."
            )
        files = files.filter(pk__in=chosen)
    members = [
        ZipMember(
            f"files/{one.path}", places.blob_file(one.stored.key), one.stored.size_bytes, one.stored.sha256
        )
        for one in files
    ]
    if not members:
        raise NotFound
    sent = zip_response(request, members, name=f"{dataset.name}.zip")
    return while_allowed(request, actor, dataset.organization_id, sent)


@require_POST
@members_only
def upload(request: HttpRequest, actor: Actor, dataset_id: str) -> HttpResponse:
    """The plain form, for browsers without script: one request, nothing to resume."""
    dataset = get(actor, Dataset, dataset_id, needs=Role.EDITOR)
    sent = request.FILES.getlist("files")
    if not sent:
        messages.error(request, "No file was chosen.")
    kept = 0
    for one in sent:
        try:
            _keep(actor, dataset, one)
        except PlatformError as error:
            messages.error(request, str(error))
        else:
            kept += 1
    if kept:
        messages.success(request, f"{kept} file{'s' if kept > 1 else ''} arrived.")
    return redirect("dataset", dataset_id=dataset.pk)


def _keep(actor: Actor, dataset: Dataset, sent: UploadedFile[bytes]) -> None:
    announced = services.begin_upload(
        actor=actor, dataset=dataset, path=sent.name or "", size_bytes=sent.size or 0
    )
    partial = PartialFile(announced.pk)
    try:
        for piece in sent.chunks():
            partial.append(piece)
        partial.sync()
    finally:
        partial.close()
    services.finish_upload(announced.pk)


@require_POST
@members_only
def import_folder(request: HttpRequest, actor: Actor, dataset_id: str) -> HttpResponse:
    dataset = get(actor, Dataset, dataset_id, needs=Role.EDITOR)
    folder = request.POST.get("folder", "").strip()
    try:
        uploads = services.add_server_folder(actor=actor, dataset=dataset, folder=folder)
    except PlatformError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{len(uploads)} files of {Path(folder).name} are being copied.")
    return redirect("dataset", dataset_id=dataset.pk)
