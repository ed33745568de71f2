"""An invoice for people, as PDF, built from what was stored at its issue."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cryocloud.web.billing.countries import COUNTRIES
from cryocloud.web.billing.models import Invoice
from cryocloud.web.billing.money import spoken
from cryocloud.web.billing.vat import Treatment, rate_text
from cryocloud.web.core.days import day_of

if TYPE_CHECKING:
    from fpdf import FPDF

FONTS = Path(__file__).parents[1] / "static" / "islands" / "fonts"
"""Copied there when the islands are built."""
INK, MUTED, ACCENT, LINE, SOFT = (19, 32, 42), (74, 91, 105), (11, 99, 128), (218, 225, 231), (245, 247, 249)
LEFT, RIGHT, TOP, BOTTOM, COLUMN = 20.0, 190.0, 18.0, 32.0, 108.0
QUANTITY, UNIT_PRICE = 122.0, 152.0


@dataclass(frozen=True)
class Style:
    """How a piece of text looks."""

    size_pt: float
    color: tuple[int, int, int] = INK
    is_bold: bool = False


VAT_WORDS = {
    Treatment.REVERSE_CHARGE: "VAT reverse-charged: the customer accounts for it (article 196, Directive 2006/112/EC).",
    Treatment.OUTSIDE: "Supplied outside of the territory of EU VAT (article 44 or 59, Directive 2006/112/EC).",
}


def pdf_of(invoice: Invoice) -> bytes:
    page = _page(invoice)
    _head(page, invoice)
    _parties(page, invoice)
    _facts(page, invoice)
    _lines(page, invoice)
    _totals(page, invoice)
    _closing(page, invoice)
    return bytes(page.output())


def title_of(invoice: Invoice) -> str:
    return f"{'Credit note' if invoice.is_credit_note else 'Invoice'} {invoice.number}"


def span_of(line: dict[str, Any]) -> str:
    """``1 Mar 2026 to 31 Mar 2026``, both days counted."""
    begin, end = (datetime.fromisoformat(line[name]) for name in ("from_at", "until_at"))
    first, last = day_of(begin), max(day_of(begin), day_of(end - timedelta(seconds=1)))
    return f"{first:%-d %b %Y}" if first == last else f"{first:%-d %b %Y} to {last:%-d %b %Y}"


def unit_price_of(line: dict[str, Any]) -> str:
    """Of one unit, to as many digits as it has, four after the point at most."""
    quantity = Decimal(line["quantity"])
    price = (
        abs(Decimal(line["net_cents"])) / 100 / abs(quantity)
        if quantity
        else Decimal(line["net_cents"]) / 100
    )
    text = f"{price:,.4f}"
    return text[:-2] if text.endswith("00") else text.rstrip("0")


def vat_label(share: dict[str, Any]) -> str:
    if share["treatment"] == Treatment.OUTSIDE:
        return "No EU VAT"
    if share["treatment"] == Treatment.REVERSE_CHARGE:
        return "VAT reverse-charged (0 %)"
    return f"VAT {rate_text(share['rate_bp'])} % ({COUNTRIES[share['country']]})"


def _page(invoice: Invoice) -> FPDF:
    from fpdf import FPDF

    class Page(FPDF):
        def footer(self) -> None:
            _foot(self, invoice)

    page = Page(format="A4")
    page.set_margins(LEFT, TOP, 210 - RIGHT)
    page.set_auto_page_break(True, BOTTOM)
    page.c_margin = 0
    for style, file in (("", "Inter_400Regular.ttf"), ("B", "Inter_600SemiBold.ttf")):
        page.add_font("Inter", style, FONTS / file)
    page.set_title(title_of(invoice))
    page.set_author(invoice.seller["name"])
    page.set_lang("en")
    page.set_creation_date(invoice.issued_at)
    page.add_page()
    return page


def _head(page: FPDF, invoice: Invoice) -> None:
    page.set_fill_color(*ACCENT)
    page.rect(LEFT, TOP, 11, 11, style="F", round_corners=True, corner_radius=2.4)
    page.set_draw_color(255, 255, 255)
    for radius, width in ((1.2, 0.65), (2.6, 0.5), (4.0, 0.35)):
        page.set_line_width(width)
        page.circle(LEFT + 5.5, TOP + 5.5, radius)
    page.set_xy(LEFT + 15, TOP)
    _write(page, invoice.seller["name"], Style(12, is_bold=True), height=11)
    page.set_xy(LEFT, TOP + 21)
    _write(page, "Credit note" if invoice.is_credit_note else "Invoice", Style(22, is_bold=True), height=10)
    page.set_xy(LEFT, TOP + 32)
    _write(page, invoice.number, Style(11, ACCENT), height=6)


def _parties(page: FPDF, invoice: Invoice) -> None:
    top = TOP + 46
    seller, customer = invoice.seller, invoice.customer
    below = _block(page, LEFT, top, "For", [*_address(customer), *_id_of(customer)])
    own = [*_address(seller), f"VAT id {seller['vat_id']}", f"Trade register {seller['registration_id']}"]
    page.set_y(max(below, _block(page, COLUMN, top, "From", own)) + 7)


def _address(told: dict[str, Any]) -> list[str]:
    city = f"{told['postal_code']} {told['city']}".strip()
    region = [told["region"]] if told.get("region") else []
    return [told["name"], told["street"], city, *region, COUNTRIES[told["country"]]]


def _id_of(customer: dict[str, Any]) -> list[str]:
    return [f"VAT id {customer['vat_id']}"] if customer["vat_id"] else []


def _block(page: FPDF, left: float, top: float, label: str, texts: list[str]) -> float:
    """A label and lines of text below it; where it ends."""
    page.set_xy(left, top)
    _write(page, label, Style(8.5, MUTED), height=5)
    page.set_xy(left, top + 5.5)
    for number, text in enumerate(texts):
        page.set_font("Inter", "B" if number == 0 else "", 10)
        page.set_text_color(*INK)
        page.set_x(left)
        page.multi_cell(76, 5, text, new_x="LEFT", new_y="NEXT", align="L")
    return float(page.get_y())


def _facts(page: FPDF, invoice: Invoice) -> None:
    facts = [("Date", f"{invoice.issued_on:%-d %B %Y}")]
    if invoice.corrects is not None:
        facts.append(("Corrects", f"{invoice.corrects.number} of {invoice.corrects.issued_on:%-d %B %Y}"))
    else:
        facts.append(("Due", f"{day_of(invoice.due_at):%-d %B %Y}"))
    if invoice.customer["po_number"]:
        facts.append(("Your reference", invoice.customer["po_number"]))
    top = page.get_y()
    width = (RIGHT - LEFT) / 3
    bottom = max(_fact(page, LEFT + width * at, top, width - 4, fact) for at, fact in enumerate(facts))
    page.set_y(bottom + 7)


def _fact(page: FPDF, left: float, top: float, width: float, fact: tuple[str, str]) -> float:
    page.set_xy(left, top)
    _write(page, fact[0], Style(8.5, MUTED), height=5)
    page.set_xy(left, top + 5)
    page.set_font("Inter", "B", 10)
    page.set_text_color(*INK)
    page.multi_cell(width, 5, fact[1], new_x="LEFT", new_y="NEXT", align="L")
    return float(page.get_y())


def _lines(page: FPDF, invoice: Invoice) -> None:
    _line_head(page)
    for line in invoice.lines:
        if page.get_y() > 297 - BOTTOM - 18:
            page.add_page()
            _line_head(page)
        _line(page, line)


def _line_head(page: FPDF) -> None:
    top = page.get_y()
    page.set_fill_color(*SOFT)
    page.rect(LEFT, top, RIGHT - LEFT, 8, style="F")
    _cells(page, top, ("Description", "Quantity", "Unit price", "Net"), Style(8.5, MUTED), height=8)
    page.set_y(top + 10)


def _line(page: FPDF, line: dict[str, Any]) -> None:
    top = page.get_y()
    net = spoken(line["net_cents"]).removesuffix(" EUR")
    quantity = f"{line['quantity']} {line['unit']}".strip()
    _cells(page, top, ("", quantity, unit_price_of(line), net), Style(9.5, INK), height=5)
    page.set_xy(LEFT + 2, top)
    page.set_font("Inter", "", 9.5)
    page.multi_cell(78, 5, line["text"], new_x="LEFT", new_y="NEXT", align="L")
    _write(page, span_of(line), Style(8.5, MUTED), height=5)
    page.set_y(page.get_y() + 7)
    page.set_draw_color(*LINE)
    page.set_line_width(0.2)
    page.line(LEFT, page.get_y(), RIGHT, page.get_y())
    page.set_y(page.get_y() + 2.5)


def _cells(page: FPDF, top: float, texts: tuple[str, str, str, str], style: Style, *, height: float) -> None:
    """The first begins at the left, the others end at their edges."""
    page.set_xy(LEFT + 2, top)
    _write(page, texts[0], style, height=height)
    for text, edge in zip(texts[1:], (QUANTITY, UNIT_PRICE, RIGHT - 2), strict=True):
        page.set_xy(edge - 40, top)
        _write(page, text, style, height=height, align="R", width=40)


def _totals(page: FPDF, invoice: Invoice) -> None:
    rows = [("Net", invoice.net_cents), *((vat_label(share), share["vat_cents"]) for share in invoice.vat)]
    if page.get_y() > 297 - BOTTOM - 12 - 7 * len(rows):
        page.add_page()
    page.set_y(page.get_y() + 2)
    for label, cents in rows:
        _total(page, label, cents, Style(9.5))
    page.set_draw_color(*INK)
    page.set_line_width(0.3)
    page.line(COLUMN - 14, page.get_y() + 1, RIGHT, page.get_y() + 1)
    page.set_y(page.get_y() + 3)
    _total(page, "Total", invoice.gross_cents, Style(12, is_bold=True))
    page.set_y(page.get_y() + 6)


def _total(page: FPDF, label: str, cents: int, style: Style) -> None:
    top = page.get_y()
    page.set_xy(COLUMN - 14, top)
    _write(page, label, style, height=7, width=60)
    page.set_xy(RIGHT - 52, top)
    _write(page, spoken(cents), style, height=7, align="R", width=50)
    page.set_y(top + 7)


def _closing(page: FPDF, invoice: Invoice) -> None:
    words = [VAT_WORDS[Treatment(invoice.treatment)]] if Treatment(invoice.treatment) in VAT_WORDS else []
    if invoice.reason:
        words.append(f"Reason: {invoice.reason}.")
    words.append(_payment_words(invoice))
    page.set_x(LEFT)
    for text in words:
        page.set_font("Inter", "", 9.5)
        page.set_text_color(*INK)
        page.multi_cell(RIGHT - LEFT, 5.2, text, new_x="LMARGIN", new_y="NEXT", align="L")
        page.set_y(page.get_y() + 2)


def _payment_words(invoice: Invoice) -> str:
    seller = invoice.seller
    if invoice.is_credit_note:
        return "The amount is set off against the invoice that it corrects; what was paid is paid back."
    if invoice.gross_cents < 0:
        return "The amount is in your favor: it is set off against what you owe, or paid back."
    bic = f" (BIC {seller['bic']})" if seller["bic"] else ""
    due = f"{spoken(invoice.gross_cents)} by {day_of(invoice.due_at):%-d %B %Y}"
    return (
        f"Please pay {due} to {_grouped(seller['iban'])}{bic}, "
        f"in the name of {seller['name']}, with the reference {invoice.number}. Where a card or a direct debit is set "
        "up, the amount is collected from it and nothing is to be done."
    )


def _foot(page: FPDF, invoice: Invoice) -> None:
    seller = invoice.seller
    page.set_y(-24)
    page.set_draw_color(*LINE)
    page.set_line_width(0.2)
    page.line(LEFT, page.get_y(), RIGHT, page.get_y())
    place = f"{seller['street']}, {seller['postal_code']} {seller['city']}, {COUNTRIES[seller['country']]}"
    texts = (
        f"{seller['name']} · {place}",
        f"VAT {seller['vat_id']} · Trade register {seller['registration_id']} · {seller['email']}",
    )
    for number, text in enumerate(texts):
        page.set_xy(LEFT, 297 - 21 + 4 * number)
        _write(page, text, Style(7.5, MUTED), height=4, width=150)
    page.set_xy(RIGHT - 40, 297 - 17)
    place_in_all = f"{invoice.number} · {page.page_no()} / {{nb}}"
    _write(page, place_in_all, Style(7.5, MUTED), height=4, align="R", width=40)


def _grouped(iban: str) -> str:
    return " ".join(iban[at : at + 4] for at in range(0, len(iban), 4))


def _write(
    page: FPDF, text: str, style: Style, *, height: float, align: Literal["L", "R"] = "L", width: float = 0
) -> None:
    page.set_font("Inter", "B" if style.is_bold else "", style.size_pt)
    page.set_text_color(*style.color)
    page.cell(width, height, text, align=align)
