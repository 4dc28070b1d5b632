"""A report as one HTML page: no script, nothing fetched from anywhere, and a policy that forbids both."""

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from app.audit_reports import plain
from app.audit_reports.files import drawings

TEMPLATES = Path(__file__).parent / "templates"


def render(body: Mapping[str, Any]) -> bytes:
    """The page of a completed report."""
    images = drawings(body)
    return (
        _environment()
        .get_template("report.html")
        .render(
            body=body,
            style=Markup(_style()),  # noqa: S704 - our own file
            policy=policy(),
            headline=plain.HEADLINES[body["verdict"]],
            meaning=plain.MEANING[body["verdict"]],
            advice=plain.ADVICE[body["verdict"]],
            statements=plain.statements(body),
            facts=plain.facts(body),
            head=plain.FINDINGS_HEAD,
            table=plain.findings_table(body),
            glossary=plain.glossary(body),
            caveats=caveats(body),
            figures=[{**figure, "image": _encoded(images[figure["name"]])} for figure in body["figures"]],
            technical=plain.technical(body),
        )
        .encode()
    )


def policy() -> str:
    """Content-Security-Policy: this style sheet and the drawings within the page, nothing else."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


def caveats(body: Mapping[str, Any]) -> list[str]:
    """What metrics warn of, each once, with the measures that it concerns."""
    measures: dict[str, dict[str, None]] = {}
    for name, finding in zip(plain.names(body), body["findings"], strict=True):
        for caveat in finding["caveats"]:
            measures.setdefault(caveat, {})[name] = None
    return [f"{', '.join(of)}: {caveat}" for caveat, of in measures.items()]


def _encoded(drawing: bytes | None) -> str | None:
    return None if drawing is None else base64.b64encode(drawing).decode()


@cache
def _style() -> str:
    return (TEMPLATES / "report.css").read_text()


@cache
def _environment() -> Environment:
    return Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
