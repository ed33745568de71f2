"""Datasets: list, upload, files, previews, downloads, trash."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Q, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.views.decorators.http import require_GET, require_http_methods

from cryocloud.catalog.optics import OpticsParameters
from cryocloud.web.accounts.actor import Actor
from cryocloud.web.core.errors import Refused
from cryocloud.web.core.events import latest_event_id
from cryocloud.web.data import services
from cryocloud.web.data.models import Dataset, DatasetFile, Upload
from cryocloud.web.data.server_folders import granted_folders
from cryocloud.web.organizations.access import get, may_add, require_role, role_in, within
from cryocloud.web.organizations.models import Role
from cryocloud.web.pages import dataset_files, dataset_trash
from cryocloud.web.pages.gauges import storage_gauges
from cryocloud.web.pages.visitor import current_organization, members_only

DATASETS_PER_PAGE = 30
FILES_PER_PAGE = 50
UNFINISHED_SHOWN = 20
_WORDS = {
    "pixel_size_angstrom": "Pixel size",
    "voltage_kv": "Acceleration voltage",
    "spherical_aberration_mm": "Spherical aberration",
    "amplitude_contrast": "Amplitude contrast",
}


@require_GET
@members_only
def datasets(request: HttpRequest, actor: Actor) -> HttpResponse:
    organization = current_organization(request, actor)
    text = request.GET.get("q", "").strip()[:100]
    rows = within(actor, Dataset, organization).filter(trashed_at=None, name__icontains=text)
    kept = Q(files__deletion_id="")
    damaged = Count("files", filter=kept & Q(files__state=DatasetFile.State.DAMAGED))
    listed = rows.annotate(
        file_count=Count("files", filter=kept),
        size_bytes=Sum("files__stored__size_bytes", filter=kept),
        damaged=damaged,
    ).order_by("-created_at", "-pk")
    storage, files = storage_gauges(organization)
    context = {
        "section": "datasets",
        "page": Paginator(listed, DATASETS_PER_PAGE).get_page(request.GET.get("page")),
        "text": text,
        "storage": storage,
        "files": files,
        "trashed": within(actor, Dataset, organization).exclude(trashed_at=None).count(),
        "may_edit": may_add(actor, organization.id),
    }
    return render(request, "datasets/list.html", context)


@require_http_methods(["GET", "POST"])
@members_only
def new_dataset(request: HttpRequest, actor: Actor) -> HttpResponse:
    organization = current_organization(request, actor)
    require_role(actor, organization.id, Role.EDITOR)
    if request.method == "POST":
        try:
            made = services.create_dataset(
                actor=actor,
                organization=organization,
                name=request.POST.get("name", ""),
                description=request.POST.get("description", ""),
                profile=_given_profile(request),
            )
        except Refused as refusal:
            return _dataset_form(request, errors=refusal.fields)
        return redirect("dataset", dataset_id=made.pk)
    return _dataset_form(request)


@require_http_methods(["GET", "POST"])
@members_only
def edit_dataset(request: HttpRequest, actor: Actor, dataset_id: str) -> HttpResponse:
    dataset = get(actor, Dataset, dataset_id, needs=Role.EDITOR)
    if request.method == "POST":
        try:
            services.update_dataset(
                actor=actor,
                dataset=dataset,
                name=request.POST.get("name", ""),
                description=request.POST.get("description", ""),
                profile=_given_profile(request),
            )
        except Refused as refusal:
            dataset.refresh_from_db()
            return _dataset_form(request, errors=refusal.fields, dataset=dataset)
        messages.success(request, "The dataset has been changed.")
        return redirect("dataset", dataset_id=dataset.pk)
    return _dataset_form(request, dataset=dataset)


@require_GET
@members_only
def dataset(request: HttpRequest, actor: Actor, dataset_id: str) -> HttpResponse:
    found = get(actor, Dataset, dataset_id)
    text, state = request.GET.get("q", "").strip()[:100], request.GET.get("state", "")
    files = found.files.select_related("stored").filter(path__icontains=text).order_by("path")
    if state in DatasetFile.State.values:
        files = files.filter(state=state)
    uploads = found.uploads.all()
    context = {
        "section": "datasets",
        "dataset": found,
        "contents": services.contents_of(found),
        "page": Paginator(files, FILES_PER_PAGE).get_page(request.GET.get("page")),
        "text": text,
        "state": state,
        "states": DatasetFile.State.choices,
        "profile": [
            (row["label"], f"{row['value']:g}", row["unit"])
            for row in _profile_rows(found.profile)
            if row["name"] in found.profile
        ],
        "unfinished": uploads.filter(state=Upload.State.OPEN).order_by("path")[:UNFINISHED_SHOWN],
        "refused": uploads.filter(state=Upload.State.ABORTED, problem__contains="SHA-256").order_by(
            "-created_at"
        )[:UNFINISHED_SHOWN],
        "may_edit": found.trashed_at is None and may_add(actor, found.organization_id),
        "may_delete": found.trashed_at is None
        and (role_in(actor, found.organization_id) or 0) >= Role.EDITOR,
        "purge_due_at": services.purge_due_at(found),
        "last_event_id": latest_event_id(),
        "server_folders": granted_folders(found.organization_id),
    }
    return render(request, "datasets/dataset.html", context)


def _given_profile(request: HttpRequest) -> dict[str, Any]:
    given = {name: request.POST.get(name, "").strip().replace(",", ".") for name in _WORDS}
    return {name: text for name, text in given.items() if text}


def _profile_rows(values: dict[str, Any]) -> list[dict[str, Any]]:
    """The fields of the microscope profile, with units and bounds from the catalog."""
    properties = OpticsParameters.model_json_schema()["properties"]
    rows = []
    for name, label in _WORDS.items():
        number = next(one for one in properties[name]["anyOf"] if one["type"] == "number")
        rows.append(
            {
                "name": name,
                "label": label,
                "unit": properties[name].get("unit", ""),
                "help": f"Between {number['minimum']:g} and {number['maximum']:g}; empty: as the files say.",
                "value": values.get(name, ""),
            }
        )
    return rows


def _dataset_form(
    request: HttpRequest, *, errors: dict[str, str] | None = None, dataset: Dataset | None = None
) -> HttpResponse:
    given = request.POST if request.method == "POST" else None
    profile = {name: given.get(name, "") for name in _WORDS} if given else dataset.profile if dataset else {}
    rows = _profile_rows(profile)
    for row in rows:
        row["error"] = (errors or {}).get(row["name"], "")
    context = {
        "section": "datasets",
        "dataset": dataset,
        "errors": errors or {},
        "name": given.get("name", "") if given else dataset.name if dataset else "",
        "description": given.get("description", "") if given else dataset.description if dataset else "",
        "profile": rows,
    }
    return render(request, "datasets/form.html", context, status=422 if errors else 200)


urlpatterns: list[URLPattern] = [
    path("datasets/", datasets, name="datasets"),
    path("datasets/new/", new_dataset, name="new_dataset"),
    path("datasets/<str:dataset_id>/", dataset, name="dataset"),
    path("datasets/<str:dataset_id>/edit/", edit_dataset, name="edit_dataset"),
    path("datasets/<str:dataset_id>/upload/", dataset_files.upload, name="upload_files"),
    path("datasets/<str:dataset_id>/import/", dataset_files.import_folder, name="import_folder"),
    path("datasets/<str:dataset_id>/archive/", dataset_files.archive, name="dataset_archive"),
    path("datasets/<str:dataset_id>/files/delete/", dataset_trash.delete_files, name="delete_files"),
    path("datasets/<str:dataset_id>/delete/", dataset_trash.delete, name="delete_dataset"),
    path("datasets/<str:dataset_id>/restore/", dataset_trash.restore, name="restore_dataset"),
    path("datasets/<str:dataset_id>/purge/", dataset_trash.purge, name="purge_dataset"),
    path("files/<str:file_id>/", dataset_files.file, name="file"),
    path("files/<str:file_id>/download/", dataset_files.download, name="download_file"),
    path("files/<str:file_id>/preview/<str:size>/", dataset_files.preview, name="file_preview"),
]
