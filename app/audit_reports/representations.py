"""Which form of a report a caller wants: JSON, HTML or PDF, by the Accept header."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from app.audit_reports import html, pdf
from app.audit_reports.certificate import file_of

Row = Mapping[str, Any]

PAGE_HEADERS = {
    "Content-Security-Policy": f"{html.policy()}; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Form(NamedTuple):
    """One representation of a completed report."""

    media_type: str
    make: Callable[[Row, Row], bytes]
    """From the body and the envelope."""
    headers: Mapping[str, str]


JSON = Form("application/json", lambda body, envelope: file_of(dict(body), dict(envelope)), {})
HTML = Form("text/html", lambda body, _: html.render(body), PAGE_HEADERS)
PDF = Form("application/pdf", lambda body, _: pdf.render(body), {"X-Content-Type-Options": "nosniff"})
FORMS = (JSON, HTML, PDF)


def wanted(accept: str | None) -> Form:
    """The form that an Accept header prefers (RFC 9110, §12.5.1); JSON where it names none of them."""
    weights: dict[str, float] = {}
    for part in (accept or "*/*").split(","):
        media_type, *parameters = (piece.strip() for piece in part.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        weights[media_type.lower()] = _number(quality)

    def weight(form: Form) -> float:
        kind = form.media_type.split("/")[0]
        return next((weights[key] for key in (form.media_type, f"{kind}/*", "*/*") if key in weights), 0.0)

    return max(FORMS, key=weight)  # the first of equals


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
