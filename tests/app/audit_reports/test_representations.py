"""A report for people: the same facts as the signed file, safe to open, readable without anything else."""

import base64
import hashlib
import re
from typing import Any

import pytest

from app.audit_reports import html, pdf, plain
from app.audit_reports.files import figures_folder
from app.audit_reports.representations import HTML, JSON, PDF, Form, wanted
from app.domain.report import Figure, NotMeasured, Rung
from tests.app.audit_reports.material import body, finding
from tests.conftest import Home

SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="504pt" height="100pt" viewBox="0 0 504 100">'
    b'<path d="M 0 0 L 504 100" style="stroke: #000000"/></svg>'
)
RUNGS = [
    Rung(
        method={"name": "deepclean"}, verdict=None, left="non_finite: NaN", seconds=1, audit_seconds=0, published=False
    ),
    Rung(method={"name": "retrain"}, verdict="pass", left="every claim", seconds=9, audit_seconds=1, published=True),
]


def with_figure(report: str = "ar_" + "0" * 32) -> dict[str, Any]:
    folder = figures_folder(report)
    folder.mkdir(parents=True)
    (folder / "roc.svg").write_bytes(SVG)
    (folder / "roc.json").write_bytes(b"{}")
    svg, data = (hashlib.sha256(content).hexdigest() for content in (SVG, b"{}"))
    figure = Figure(name="roc", title="Attack", caption="How to read it.", svg_sha256=svg, data_sha256=data)
    return body(figures=[figure], rungs=RUNGS, not_measured=[NotMeasured(metric="mia", reason="no held-out data")])


@pytest.mark.parametrize(
    ("after", "before", "gold", "sentence"),
    [
        (0.87, 0.99, 0.86, "Of 100 forgotten pictures the model recognises 87 (before: 99;"),
        (0.999, 1.0, 0.001, "recognises more than 99 (before: 100; retrained without the data: fewer"),
    ],
)
def test_a_finding_is_said_in_words_that_need_no_statistics(
    after: float, before: float, gold: float, sentence: str
) -> None:
    told = finding(after=after, before=before, gold={"mean": gold, "std": 0, "models": 1})
    assert sentence in plain.statements(body(findings=[told]))[0].sentence


def test_all_that_the_privacy_officer_needs_stands_on_the_first_page_of_the_pdf() -> None:
    """Of a class request, which has the most to say."""
    sets = ("forget", "retain", "test", "test_forget")
    told = [finding("accuracy", on) for on in sets]
    told += [finding(m, "forget") for m in ("attack_auc", "reference_auc", "relearn_share")]
    document = body(findings=[*told, finding("probe_accuracy", "test_forget")])
    document["asked"]["kind"] = "class"
    page = pdf._Page(document)
    pdf._first_page(page, document)
    assert len(plain.statements(document)) == 8
    assert page.page_no() == 1
    page.output()  # lets go of the fonts


def test_every_measure_and_set_of_the_table_is_explained() -> None:
    explained = dict(plain.glossary(body()))
    assert explained.keys() == {"accuracy", "attack auc", "forget", "retain"}


def by_attacks(*attacks: str) -> dict[str, Any]:
    """A report with the pair of findings of each attack, each with shares of its own."""
    return body(
        findings=[
            finding(
                measure, attack_feature=attack, after=share if measure == "efficacy" else 1 - share, caveats=("few",)
            )
            for share, attack in zip((0.1, 0.2, 0.3, 0.4), attacks, strict=False)
            for measure in ("predicted_member", "efficacy")
        ]
    )


def test_findings_by_several_attacks_name_theirs_wherever_they_stand(home: Home) -> None:  # noqa: ARG001
    document = by_attacks("confidence", "correctness", "entropy", "modified_entropy")
    names = ["confidence", "correctness", "entropy", "modified entropy"]
    rows = [f"{measure} ({name})" for name in names for measure in ("predicted member", "efficacy")]
    assert [row[0] for row in plain.findings_table(document)] == rows
    assert html.caveats(document) == [f"{', '.join(rows)}: few"]
    assert plain.glossary(document)[2:6] == [
        (name, plain.ATTACKS[attack]) for name, attack in zip(names, plain.ATTACKS, strict=True)
    ]
    page = html.render(document).decode()
    for row in rows:
        assert f"<td>{row}</td>" in page
    assert pdf.render(document).startswith(b"%PDF-")


def test_an_attack_other_than_by_confidence_is_named_though_it_is_the_only_one() -> None:
    assert plain.names(by_attacks("entropy")) == ["predicted member (entropy)", "efficacy (entropy)"]


def test_by_confidence_alone_a_report_reads_as_before() -> None:
    document = by_attacks("confidence")
    assert plain.names(document) == ["predicted member", "efficacy"]
    assert html.caveats(document) == ["predicted member, efficacy: few"]
    assert [name for name, _ in plain.glossary(document)] == ["predicted member", "efficacy", "forget"]


def test_in_plain_words_only_the_attack_by_confidence_is_told() -> None:
    for attacks in (("confidence", "entropy"), ("entropy", "confidence")):
        document = by_attacks(*attacks)
        (share,) = (
            f["after"]
            for f in document["findings"]
            if (f["measure"], f["attack_feature"]) == ("predicted_member", "confidence")
        )
        (told,) = plain.statements(document)
        assert told.sentence.startswith(f"An attacker takes {plain.of_100(share)} of 100 forgotten pictures")
    assert plain.statements(by_attacks("entropy", "correctness")) == []


def test_every_finding_of_the_signed_body_stands_in_the_page(home: Home) -> None:  # noqa: ARG001
    page = html.render(with_figure()).decode()
    for f in body()["findings"]:
        assert f"{f['after']:.3f} [{f['interval'][0]:.3f}, {f['interval'][1]:.3f}]" in page
    for text in ("deepclean", "non_finite: NaN", "no held-out data", "a" * 64, "b" * 64, "not a proof of erasure"):
        assert text in page


def test_what_a_caller_wrote_is_text_and_never_markup(home: Home) -> None:  # noqa: ARG001
    page = html.render(with_figure()).decode()
    assert "DSAR-2026-118 &lt;b&gt;é&lt;/b&gt; 忘" in page
    assert "<b>" not in page


def test_a_page_fetches_nothing_runs_nothing_and_its_policy_allows_its_own_style(home: Home) -> None:  # noqa: ARG001
    page = html.render(with_figure()).decode()
    assert not re.findall(r"<(script|link|iframe|object|form|base)\b|\son\w+=|\sstyle=", page)
    assert re.findall(r'(?:src|href)="([^"]{0,26})', page) == ["data:image/svg+xml;base64,"]
    style = page.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src &#39;sha256-{digest}&#39;" in page.replace("&#x27;", "&#39;").replace("&#43;", "+")
    assert f"'sha256-{digest}'" in html.policy()


def test_a_drawing_that_was_changed_is_not_shown(home: Home) -> None:  # noqa: ARG001
    document = with_figure()
    (figures_folder(document["report"]) / "roc.svg").write_bytes(SVG + b" ")
    page = html.render(document).decode()
    assert "data:image" not in page
    assert "is not the one that was signed" in page
    assert pdf.render(document).startswith(b"%PDF-")


def test_a_pdf_has_a_first_page_for_the_summary_and_is_the_same_every_time(home: Home) -> None:  # noqa: ARG001
    document = with_figure()
    made = pdf.render(document)
    assert made.startswith(b"%PDF-")
    assert made == pdf.render(document)
    assert b"FontFile2" in made  # the type is in the file


@pytest.mark.parametrize("verdict", ["pass", "trace_found", "inconclusive", "mitigation_only"])
@pytest.mark.parametrize("kind", ["samples", "subjects", "class", "backdoor", "leakage"])
def test_every_verdict_of_every_kind_can_be_written(home: Home, verdict: str, kind: str) -> None:  # noqa: ARG001
    document = body(verdict=verdict)
    document["asked"]["kind"] = kind
    page = html.render(document).decode()
    assert plain.HEADLINES[verdict] in page
    assert len(plain.ADVICE[verdict]) > 20


def test_a_report_of_a_stand_alone_audit_can_be_written(home: Home) -> None:  # noqa: ARG001
    document = body()
    document["asked"] |= {"forget_request": None, "method": None, "due_at": None, "external_id": None}
    document["cost"]["unlearning_seconds"] = None
    assert "stand-alone audit" in html.render(document).decode()
    assert pdf.render(document)


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, JSON),
        ("*/*", JSON),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", HTML),
        ("application/pdf", PDF),
        ("application/json;q=0.5, text/html;q=0.9", HTML),
        ("text/*", HTML),
        ("image/png", JSON),
        ("text/html;q=oops", JSON),
    ],
)
def test_the_accept_header_chooses_the_form(accept: str | None, form: Form) -> None:
    assert wanted(accept) is form
