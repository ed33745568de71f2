"""The bank account: statements that come in, lines to match, and files with refunds that go out."""

from __future__ import annotations

from allauth.account.internal.flows.reauthentication import raise_if_reauthentication_required
from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.utils.http import content_disposition_header
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.core.errors import Conflict, Refused
from cryocloud.web.core.plain_text import REASON_LENGTH
from cryocloud.web.pages.operator.door import operators_only
from cryocloud.web.pages.refusals import show_refusal
from cryocloud.web.payments.models import StatementLine
from cryocloud.web.payments.registers import (
    get_line,
    get_transfer_file,
    lines_waiting,
    name_of,
    refunds_of,
    refunds_waiting,
    statements_taken,
    transfer_files,
)
from cryocloud.web.payments.statements import match_line, send_back_line, set_aside_line, take_statement
from cryocloud.web.payments.transfers import (
    approve_transfer_file,
    content_of,
    make_transfer_file,
    needs_reason,
    withdraw_transfer_file,
)


class StatementForm(forms.Form):
    file = forms.FileField(
        label="File",
        help_text="CAMT.053 as XML, at most 2.5 MB; what was uploaded before is passed over.",
    )


class LineForm(forms.Form):
    """One form for the three things that may be done with a line."""

    named = forms.CharField(
        label="Reference or invoice",
        max_length=60,
        required=False,
        help_text="RF12 3456 … or EX-2026-000001.",
    )
    payout_of = forms.ChoiceField(
        label="Of whom",
        required=False,
        choices=[("", "somebody else"), ("stripe", "payout of Stripe"), ("mollie", "payout of Mollie")],
    )
    reason = forms.CharField(label="Reason", max_length=REASON_LENGTH, required=False)


@require_http_methods(["GET", "HEAD", "POST"])
@operators_only
def bank(request: HttpRequest, actor: Actor) -> HttpResponse:
    form = StatementForm(request.POST or None, request.FILES or None)
    if form.is_valid():
        given = form.cleaned_data["file"]
        try:
            taken = take_statement(actor=actor, name=given.name, content=given.read())
        except Refused as refused:
            show_refusal(form, refused)
        else:
            messages.success(
                request,
                f"{taken.new} new entries, {taken.known} known before: {taken.matched} matched, "
                f"{taken.waiting} for you to match.",
            )
            return redirect("operator_bank")
    shown = {
        "section": "operator",
        "form": form,
        "lines": lines_waiting(actor),
        "waiting": refunds_waiting(actor),
        "files": [(one, name_of(one.made_by_id)) for one in transfer_files(actor)],
        "statements": statements_taken(actor),
    }
    return render(request, "operations/bank.html", shown, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@operators_only
def line(request: HttpRequest, actor: Actor, line: str) -> HttpResponse:
    found = get_line(actor, line)
    form = LineForm(request.POST or None)
    if form.is_valid():
        try:
            said = _deal_with(actor, found, request.POST.get("do", ""), form.cleaned_data)
        except Refused as refused:
            show_refusal(form, refused)
        else:
            messages.success(request, said)
            return redirect("operator_bank")
    shown = {"section": "operator", "line": found, "form": form}
    return render(request, "operations/line.html", shown, status=422 if form.errors else 200)


def _deal_with(actor: Actor, found: StatementLine, wish: str, given: dict[str, str]) -> str:
    match wish:
        case "match":
            paid = match_line(actor=actor, line=found, named=given["named"])
            return f"Matched with invoice {paid.invoice.number}, which is {paid.get_state_display().lower()} now."
        case "send_back":
            send_back_line(actor=actor, line=found, reason=given["reason"])
            return "What was left of it waits for the next file to the bank."
        case "set_aside":
            set_aside_line(actor=actor, line=found, payout_of=given["payout_of"], reason=given["reason"])
            return "The line is set aside."
    raise Refused("Choose what is to be done with the line.")


@operators_only
@require_POST
def make(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    try:
        file = make_transfer_file(actor=actor)
    except Conflict as conflict:
        messages.warning(request, str(conflict))
        return redirect("operator_bank")
    return redirect("operator_transfer", transfer=file.pk)


@require_http_methods(["GET", "HEAD", "POST"])
@operators_only
def transfer(request: HttpRequest, actor: Actor, transfer: str) -> HttpResponse:
    """What a file holds; a second person approves it here, having proven again who they are."""
    file = get_transfer_file(actor, transfer)
    errors: dict[str, str] = {}
    reason = request.POST.get("reason", "")
    if request.method == "POST":
        raise_if_reauthentication_required(request, app="cryocloud")
        try:
            said = _decide(request, actor, transfer, reason)
        except Refused as refused:
            errors = refused.fields
        else:
            messages.success(request, said)
            return redirect("operator_transfer", transfer=file.pk)
    shown = {
        "section": "operator",
        "file": file,
        "refunds": refunds_of(file),
        "made_by": name_of(file.made_by_id),
        "approved_by": name_of(file.approved_by_id),
        "is_own": file.made_by_id == actor.user.pk,
        "needs_reason": needs_reason(actor, file),
        "reason": reason,
        "errors": errors,
    }
    return render(request, "operations/transfer.html", shown, status=422 if errors else 200)


def _decide(request: HttpRequest, actor: Actor, transfer: str, reason: str) -> str:
    file = get_transfer_file(actor, transfer)
    match request.POST.get("do", ""):
        case "approve":
            approve_transfer_file(actor=actor, file=file, reason=reason)
            return "Approved. Download the file and give it to the bank; the next statements tell what was carried out."
        case "withdraw":
            withdraw_transfer_file(actor=actor, file=file)
            return "Withdrawn; its refunds wait for another file."
    raise Refused("Choose whether the file is approved or withdrawn.")


@never_cache
@require_safe
@operators_only
def download(request: HttpRequest, actor: Actor, transfer: str) -> HttpResponse:
    file = get_transfer_file(actor, transfer)
    answer = HttpResponse(content_of(actor=actor, file=file), content_type="application/xml")
    disposition = content_disposition_header(True, f"refunds-{file.made_at:%Y-%m-%d}-{file.pk[:6]}.xml")
    answer["Content-Disposition"] = disposition
    return answer


urlpatterns: list[URLPattern] = [
    path("operator/bank/", bank, name="operator_bank"),
    path("operator/bank/lines/<str:line>/", line, name="operator_line"),
    path("operator/bank/transfers/", make, name="operator_make_transfer"),
    path("operator/bank/transfers/<str:transfer>/", transfer, name="operator_transfer"),
    path("operator/bank/transfers/<str:transfer>/file/", download, name="operator_transfer_file"),
]
