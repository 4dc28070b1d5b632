"""Where the figures of a report lie, and that they are still those that were signed."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.core.errors import NotFound
from app.core.settings import get_settings


def figures_folder(report_id: str) -> Path:
    """`<name>.svg` and `<name>.json` for each figure."""
    return get_settings().storage / "audit-reports" / report_id / "figures"


def figures_of(body: Mapping[str, Any]) -> str:
    """The report beside which the figures of a signed body are kept: those of a batch are drawn once for all."""
    batch = body.get("batch")
    return str(batch["figures_of"] if batch else body["report"])


def read_figure(report_id: str, figure: dict[str, Any], kind: str) -> bytes:
    """The drawing (`svg`) or the numbers behind it (`json`).

    Args:
        report_id: of the report beside which it is kept.
        figure: its entry in the signed body.
        kind: which of the two.

    Raises:
        NotFound: the file is gone, or is not the one that was signed.
    """
    path = figures_folder(report_id) / f"{figure['name']}.{kind}"
    content = path.read_bytes() if path.is_file() else None
    signed = figure["svg_sha256" if kind == "svg" else "data_sha256"]
    if content is None or hashlib.sha256(content).hexdigest() != signed:
        raise NotFound(
            "This figure is gone, or is not the one that was signed with the report.", code="figure_not_found"
        )
    return content


def drawings(body: Mapping[str, Any]) -> dict[str, bytes | None]:
    """The drawing of every figure of a signed body; None for one that is gone or not the one that was signed."""
    found: dict[str, bytes | None] = {}
    for figure in body["figures"]:
        try:
            found[figure["name"]] = read_figure(figures_of(body), figure, "svg")
        except NotFound:
            found[figure["name"]] = None
    return found
