"""One of everything that an organization can have, for tests that walk over all addresses."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryocloud.web.accounts.models import ApiToken, User
from cryocloud.web.billing.models import Customer, Invoice, InvoiceSeries
from cryocloud.web.core.clock import now
from cryocloud.web.core.ids import new_id
from cryocloud.web.core.places import (
    attempt_folder,
    blob_file,
    dataset_folder,
    partial_file,
    preview_folder,
    result_folder,
)
from cryocloud.web.core.sealed import seal
from cryocloud.web.core.secret_words import hash_of, new_secret
from cryocloud.web.data.models import Dataset, DatasetFile, StoredObject, Upload
from cryocloud.web.notices.calls import SEALED_FOR
from cryocloud.web.notices.models import Call, Notice, Occasion, Webhook
from cryocloud.web.organizations.models import Invitation, Membership, Role
from cryocloud.web.payments.models import MethodChange, Payment
from cryocloud.web.payments.references import new_reference
from cryocloud.web.projects.models import Project
from cryocloud.web.results.files import preview_folder_of
from cryocloud.web.results.models import Artifact
from cryocloud.web.runs.models import Attempt, Job, Run
from cryocloud.web.subscriptions.models import Quote
from cryocloud.web.terms import Plan
from cryocloud.web.trash.models import Deletion
from cryocloud.web.trash.services import move_to_trash

CONTENT = b"bytes of a file"


@dataclass(frozen=True)
class World:
    """``ids`` by the name that addresses use: ``project_id`` and so on."""

    ids: dict[str, str]


def make_world(member: Any) -> World:
    """Rows with the files that belong to them."""
    own = {"organization": member.organization}
    made = {"created_by_id": member.user.pk}
    dataset = Dataset.unscoped.create(**own, **made, name="Grid 7", profile={"voltage_kv": 300})
    file = _file(own, dataset)
    upload = Upload.unscoped.create(
        **own, **made, dataset=dataset, path="coming.mrc", size_bytes=10, expires_at=now() + timedelta(days=1)
    )
    _write(partial_file(upload.pk), b"12345")
    project = Project.unscoped.create(**own, **made, name="Apoferritin", description="A test")
    run = Run.unscoped.create(
        **own, **made, project=project, number=1, workflow="spa", parameters={}, inputs={}, state="failed"
    )
    job = _job(own, made, project, run)
    attempt = Attempt.unscoped.create(**own, job=job, number=1, fence=1, state=Attempt.State.SUCCEEDED)
    artifact = _results(own, job, attempt)
    invitation = Invitation.unscoped.create(
        **own,
        email="new@lab.example",
        role=Role.VIEWER,
        secret_hash=hash_of(new_secret()),
        invited_by_id=member.user.pk,
        expires_at=now() + timedelta(days=1),
    )
    token = ApiToken.objects.create(
        user=member.user,
        organization_id=member.organization.pk,
        name="other",
        secret_hash=hash_of(new_secret()),
        scope="read",
        expires_at=now() + timedelta(days=1),
    )
    invoice = _invoice(own)
    rows = {
        "organization_id": member.organization,
        "membership_id": _another_member(own),
        "invitation_id": invitation,
        "token_id": token,
        "dataset_id": dataset,
        "file_id": file,
        "upload_id": upload,
        "project_id": project,
        "run_id": run,
        "job_id": job,
        "artifact_id": artifact,
        "deletion_id": _deletion(member),
        "notice_id": _notice(own, member, project, run),
        "invoice_id": invoice,
        "payment_id": Payment.unscoped.create(
            **own,
            invoice=invoice,
            provider="manual",
            amount_cents=invoice.gross_cents,
            reference=new_reference(),
            state=Payment.State.PENDING,
        ),
        "method_change_id": _method_change(own, member),
        "quote_id": _quote(own, member),
    }
    return World({name: row.pk for name, row in rows.items()})


def _method_change(own: dict[str, Any], member: Any) -> MethodChange:
    return MethodChange.unscoped.create(
        **own, provider="stripe", address="https://stripe.example/x", begun_by_id=member.user.pk
    )


def _quote(own: dict[str, Any], member: Any) -> Quote:
    plan = Plan(
        code="institute", name="Institute", monthly_cents=1, yearly_cents=None, compute_hours=1, storage_bytes=1,
        files=None, slots=None, compute_cents_an_hour=None, storage_cents_a_terabyte_month=None, is_offered=False,
    )  # fmt: skip
    return Quote.unscoped.create(
        **own,
        sequence=Quote.unscoped.count() + 1,
        terms=plan.model_dump(),
        interval="monthly",
        due_days=30,
        valid_until=now() + timedelta(days=1),
        content_sha256="0" * 64,
        written_by_id=member.user.pk,
    )


def _deletion(member: Any) -> Deletion:
    project = Project.unscoped.create(
        organization=member.organization, created_by_id=member.user.pk, name="A failure"
    )
    return move_to_trash(actor=member.actor, target=project)


def _invoice(own: dict[str, Any]) -> Invoice:
    """As if something had been sold once: nothing need be for sale now."""
    Customer.unscoped.create(
        **own,
        kind="business",
        name="Lab",
        street="Street 1",
        city="Utrecht",
        country="NL",
        email="pay@lab.example",
    )
    seller = {"name": "Seller", "street": "Street 2", "postal_code": "1", "city": "Delft", "country": "NL"}
    series, _ = InvoiceSeries.objects.get_or_create(code="EX", year=2026, defaults={"last": 1})
    count = Invoice.unscoped.count() + 1
    return Invoice.unscoped.create(
        **own,
        key=new_id(),
        series=series,
        sequence=count,
        number=f"EX-2026-{count:06d}",
        kind=Invoice.Kind.INVOICE,
        issued_at=now(),
        issued_on=now().date(),
        due_at=now(),
        seller=seller | {"iban": "NL91ABNA0417164300"},
        customer=seller | {"vat_id": "", "po_number": ""},
        lines=[],
        currency="EUR",
        treatment="domestic",
        vat=[{"country": "NL", "treatment": "domestic", "rate_bp": 2100, "net_cents": 100, "vat_cents": 21}],
        net_cents=100,
        vat_cents=21,
        gross_cents=121,
        keep_until=now().date(),
        pdf=CONTENT,
        ubl=CONTENT,
        documents_at=now(),
    )


def _file(own: dict[str, Any], dataset: Dataset) -> DatasetFile:
    key = new_id()
    stored = StoredObject.unscoped.create(
        **own, key=key, size_bytes=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest()
    )
    _write(blob_file(key), CONTENT)
    _write(dataset_folder(dataset.pk) / "a.mrc", CONTENT)
    file = DatasetFile.unscoped.create(
        **own, dataset=dataset, path="a.mrc", stored=stored, state=DatasetFile.State.READ, has_preview=True
    )
    for size in ("thumb", "view"):
        for ending in ("webp", "png"):
            _write(preview_folder(dataset.pk) / f"{file.pk}-{size}.{ending}", b"picture")
    return file


def _job(own: dict[str, Any], made: dict[str, Any], project: Project, run: Run) -> Job:
    return Job.unscoped.create(
        **own,
        **made,
        project=project,
        run=run,
        number=1,
        job_type="pick",
        version=1,
        parameters={"particle_diameter_angstrom": 125.0},
        inputs={},
        state=Job.State.DONE,
        metrics={"particles": 7},
    )


def _results(own: dict[str, Any], job: Job, attempt: Attempt) -> Artifact:
    folder = result_folder(job.pk, attempt.pk)
    _write(folder / "picks.star", CONTENT)
    _write(folder / "plots" / "fsc.png", b"picture")
    _write(attempt_folder(attempt.pk) / "log.txt", b"one line\n")
    index = {"viewers": ["micrographs", "curves"], "charts": []}
    _write(preview_folder_of(job) / "index.json", json.dumps(index).encode())
    return Artifact.unscoped.create(
        **own,
        job=job,
        attempt=attempt,
        path="picks.star",
        size_bytes=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
    )


def _notice(own: dict[str, Any], member: Any, project: Project, run: Run) -> Notice:
    """Of the failed run, which the organization's webhook was called for."""
    webhook = Webhook.unscoped.create(
        **own, url="https://hook.example/", sealed_secret=seal(SEALED_FOR, "whsec_c2VjcmV0")
    )
    occasion = Occasion.unscoped.create(
        **own,
        project=project,
        kind=Occasion.Kind.FAILED,
        subject=Occasion.Subject.RUN,
        subject_id=run.pk,
        title="Run 1",
        standing="failed",
    )
    Call.unscoped.create(**own, webhook=webhook, occasion=occasion, body="{}")
    return Notice.unscoped.create(**own, occasion=occasion, user=member.user)


def _another_member(own: dict[str, Any]) -> Membership:
    user = User.objects.create_user(f"{new_id()}@lab.example", None, name="another")
    return Membership.unscoped.create(**own, user=user, role=Role.EDITOR)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
