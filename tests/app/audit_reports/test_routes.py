"""`/audit-reports` over HTTP: byte for byte what was signed, in three forms, for its own tenant only."""

import json
from typing import Any

import pytest

from app.audit_reports.certificate import KnownKey, check
from app.audit_reports.files import figures_folder
from app.core.db import transaction
from app.core.settings import get_settings
from app.core.signing import public_key_of
from app.domain.lifecycle import ReportStatus
from app.tables import AuditReport
from tests.app.audit_reports.material import signed
from tests.app.audit_reports.test_representations import with_figure
from tests.app.web.rig import Rig, problem

REPORT = "ar_" + "0" * 32


@pytest.fixture
def stored(lone: Rig) -> Rig:
    """A completed report in the database, with its figure on disk."""
    document = with_figure()
    content = json.loads(signed(get_settings().signing_key.get_secret_value(), **document))
    with transaction() as session:
        row = AuditReport(id=REPORT, tenant_id=lone.tenant_id, status=ReportStatus.COMPLETED)
        row.verdict, row.body, row.envelope = content["verdict"], content["body"], content["envelope"]
        session.add(row)
    return lone


def test_the_answer_is_the_file_that_verifies(stored: Rig) -> None:
    answer = stored.get(f"/audit-reports/{REPORT}")
    public = public_key_of(get_settings().signing_key.get_secret_value())
    assert check(answer.content, [KnownKey(public, None)]).body["report"] == REPORT
    assert answer.json() == stored.get("/audit-reports").json()["data"][0]
    assert stored.get(f"/audit-reports/{REPORT}/envelope").json() == answer.json()["envelope"]
    again = stored.get(f"/audit-reports/{REPORT}", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304


@pytest.mark.parametrize(("ending", "media_type"), [("html", "text/html"), ("pdf", "application/pdf")])
def test_people_get_a_page_or_a_pdf_by_path_or_by_accept(stored: Rig, ending: str, media_type: str) -> None:
    by_path = stored.get(f"/audit-reports/{REPORT}.{ending}")
    by_accept = stored.get(f"/audit-reports/{REPORT}", headers={"Accept": media_type})
    assert by_path.status_code == by_accept.status_code == 200
    assert by_path.headers["content-type"].partition(";")[0] == media_type
    assert by_path.content == by_accept.content
    assert by_accept.headers["Vary"] == "Accept"
    if ending == "html":
        assert "default-src 'none'" in by_path.headers["Content-Security-Policy"]


def test_figures_are_answered_with_their_numbers_as_long_as_they_are_those_that_were_signed(stored: Rig) -> None:
    assert stored.get(f"/audit-reports/{REPORT}/figures/roc.svg").headers["content-type"] == "image/svg+xml"
    assert stored.get(f"/audit-reports/{REPORT}/figures/roc.json").json() == {}
    problem(stored.get(f"/audit-reports/{REPORT}/figures/other.svg"), 404, "figure_not_found")
    (figures_folder(REPORT) / "roc.json").write_bytes(b'{"x":1}')
    problem(stored.get(f"/audit-reports/{REPORT}/figures/roc.json"), 404, "figure_not_found")


@pytest.mark.parametrize("path", ["", ".html", ".pdf", "/envelope", "/figures/roc.svg", "/figures/roc.json"])
def test_another_tenant_finds_nothing(stored: Rig, path: str) -> None:
    problem(stored.other().get(f"/audit-reports/{REPORT}{path}"), 404, "audit_report_not_found")


def test_what_is_not_made_yet_says_so(stored: Rig) -> None:
    changed: dict[str, Any] = {"status": ReportStatus.QUEUED, "body": None, "envelope": None, "verdict": None}
    with transaction() as session:
        row = session.get_one(AuditReport, REPORT)
        for name, value in changed.items():
            setattr(row, name, value)
    assert stored.get(f"/audit-reports/{REPORT}").json()["status"] == "queued"
    assert problem(stored.get(f"/audit-reports/{REPORT}.pdf"), 409, "report_not_completed")["retryable"]
