"""A report as a PDF of A4 pages: the first one for the privacy officer, the details after it."""

import io
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from fpdf import FPDF
from fpdf.enums import XPos, YPos
from fpdf.fonts import FontFace

from app.audit_reports import plain
from app.audit_reports.files import drawings
from app.audit_reports.html import caveats

FONTS = Path(__file__).parent / "fonts"
GREY, LINE, INK = (85, 85, 92), (200, 200, 205), (29, 29, 31)

logging.getLogger("fpdf.svg").setLevel(logging.ERROR)  # it warns of every <metadata>


def render(body: Mapping[str, Any]) -> bytes:
    """The document of a completed report; the same report gives the same bytes."""
    page = _Page(body)
    _first_page(page, body)
    page.add_page()
    page.heading("Details")
    _numbers(page, body)
    images = drawings(body)
    for figure in body["figures"]:
        page.figure(figure, images[figure["name"]])
    for heading, rows in plain.technical(body):
        if rows:
            page.rows(heading, rows)
    return bytes(page.output())


def _first_page(page: "_Page", body: Mapping[str, Any]) -> None:
    page.add_page()
    page.text_line("Audit report: was it forgotten?", size=10, colour=GREY)
    page.text_line(plain.HEADLINES[body["verdict"]], size=22, bold=True)
    page.text_line(plain.MEANING[body["verdict"]], size=11)
    page.text_line(f"What to do: {plain.ADVICE[body['verdict']]}", size=10)
    page.ln(3)
    page.heading("In plain words")
    for said in plain.statements(body):
        tag = f"[{said.outcome}]  " if said.outcome else ""
        page.text_line(said.sentence, size=9, after=0.4)
        page.text_line(f"{tag}{said.certainty}", size=8, colour=GREY, after=1.2)
    page.rows(None, plain.facts(body))
    page.ln(2)
    page.heading("What this report does not prove")
    for limit in body["limits"]:
        page.text_line(f"•  {limit}", size=8.5, after=0.4)
    page.text_line(
        "The signed report is the JSON file of the same id; these pages were made from it and prove nothing by"
        " themselves. Check the file: unlearn verify report.json --key signing-keys.json",
        size=8,
        colour=GREY,
    )


def _numbers(page: "_Page", body: Mapping[str, Any]) -> None:
    page.heading("How the verdict came about", level=3)
    for sentence in body["summary"]:
        page.text_line(f"•  {sentence}", size=9, after=0.6)
    if body["rungs"]:
        page.heading("Methods that were tried", level=3)
        rows = [
            [
                r["method"]["name"],
                (r["verdict"] or "failed").replace("_", " "),
                r["left"],
                f"{r['seconds']:.1f}",
                "yes" if r["published"] else "",
            ]
            for r in body["rungs"]
        ]
        head = ["method", "verdict", "why it ended there", "seconds", "published"]
        page.grid(head, rows, widths=(20, 18, 74, 14, 16), right={3})
    page.heading("Every number", level=3)
    rows, widths = plain.findings_table(body), (32, 24, 14, 16, 20, 38, 26, 20)
    page.grid(plain.FINDINGS_HEAD, rows, widths=widths, right={2, 3, 4, 5, 6})
    page.ln(2)
    page.rows(None, plain.glossary(body))
    for metric in body["not_measured"]:
        page.text_line(f"Not measured: {metric['metric']}. {metric['reason']}", size=9)
    if warnings := caveats(body):
        page.heading("What to bear in mind", level=3)
        for warning in warnings:
            page.text_line(f"•  {warning}", size=9, after=0.6)


class _Page(FPDF):
    """Our type, margins and footer."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        super().__init__(format="A4")
        self._report = body["report"]
        self.add_font("Report", "", FONTS / "DejaVuSans.ttf")
        self.add_font("Report", "B", FONTS / "DejaVuSans-Bold.ttf")
        self.set_font("Report", size=10)
        self.set_margins(20, 16)
        self.set_auto_page_break(auto=True, margin=18)
        self.set_title(f"Audit report {self._report}")
        self.set_lang("en")
        self.set_creation_date(datetime.fromisoformat(body["made_at"]))

    def footer(self) -> None:
        """Which report, which page."""
        self.set_y(-12)
        self.set_font("Report", size=7.5)
        self.set_text_color(*GREY)
        self.cell(0, 5, f"{self._report}", align="L")
        self.set_x(self.l_margin)
        self.cell(0, 5, f"{self.page_no()} / {{nb}}", align="R")

    def text_line(
        self, text: str, *, size: float, bold: bool = False, colour: tuple[int, int, int] = INK, after: float = 1.0
    ) -> None:
        """A paragraph."""
        self.set_font("Report", "B" if bold else "", size)
        self.set_text_color(*colour)
        self.multi_cell(0, size * 0.5, text, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(after)

    def heading(self, text: str, *, level: int = 2) -> None:
        """With room for what follows on the same page."""
        if self.will_page_break(28):
            self.add_page()
        self.ln(1 if level == 2 else 3)
        self.text_line(text, size=13 if level == 2 else 10.5, bold=True)

    def rows(self, heading: str | None, rows: Sequence[tuple[str, str]]) -> None:
        """Names and values."""
        if heading is not None:
            self.heading(heading, level=3)
        self.grid(None, [list(row) for row in rows], widths=(52, 118), right=set())

    def grid(
        self, head: Sequence[str] | None, rows: Sequence[Sequence[str]], *, widths: Sequence[int], right: set[int]
    ) -> None:
        """A table with thin lines between its rows."""
        self.set_font("Report", "", 8)
        self.set_text_color(*INK)
        self.set_draw_color(*LINE)
        with self.table(
            col_widths=tuple(widths),
            text_align=tuple("RIGHT" if place in right else "LEFT" for place in range(len(widths))),
            borders_layout="HORIZONTAL_LINES" if head is None else "SINGLE_TOP_LINE",
            first_row_as_headings=head is not None,
            headings_style=FontFace(emphasis="BOLD"),
            line_height=4.4,
            padding=(0.6, 1.2),
        ) as table:
            for cells in [*([head] if head else []), *rows]:
                row = table.row()
                for cell in cells:
                    row.cell(cell)

    def figure(self, figure: Mapping[str, Any], drawing: bytes | None) -> None:
        """Title, how to read it, the drawing: on one page."""
        height = 0.0 if drawing is None else self.epw * _proportion(drawing)
        if self.will_page_break(height + 26):
            self.add_page()
        self.heading(figure["title"], level=3)
        self.text_line(figure["caption"], size=8.5, colour=GREY)
        if drawing is None:
            self.text_line("The drawing is gone, or is not the one that was signed with the report.", size=8.5)
            return
        self.image(io.BytesIO(drawing), w=self.epw, alt_text=figure["title"])
        self.ln(2)


def _proportion(drawing: bytes) -> float:
    """Height over width of one of our own drawings: `viewBox="0 0 W H"`."""
    box = drawing.partition(b'viewBox="')[2].partition(b'"')[0].split()
    return float(box[3]) / float(box[2])
