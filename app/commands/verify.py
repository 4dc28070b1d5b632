"""`unlearn verify`: is this report as it was signed? Works offline; says what is proven and what is not."""

from pathlib import Path
from typing import Annotated

import typer

from app.audit_reports.certificate import KnownKey, NotBelieved, Proof, check, keys_from
from app.commands.home import DEFAULT_HOME, KEYS_FILE, Home, err, out


def verify(
    report: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="What GET /audit-reports/… answered.")],
    key: Annotated[
        list[str] | None,
        typer.Option(help="What GET /signing-keys answered, a PEM file, or a public key in base64; repeatable."),
    ] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Check a report offline; exits with 1 unless every byte is as it was signed, by a key that may be believed."""
    try:
        proof = check(report.read_bytes(), _keys(key, home))
    except NotBelieved as problem:
        err.print(f"NOT VALID ({problem.code}): {problem}", markup=False, soft_wrap=True)
        raise typer.Exit(1) from problem
    _tell(proof)


def _keys(named: list[str] | None, home: Path) -> list[KnownKey]:
    found: list[KnownKey] = []
    for text in named or [str(home / KEYS_FILE)]:
        file = Path(text)
        try:
            found += keys_from(file.read_text() if file.is_file() else text)
        except ValueError as problem:
            err.print(f"{text} is no public key and no file of them: give --key.", markup=False, soft_wrap=True)
            raise typer.Exit(2) from problem
    return found


def _tell(proof: Proof) -> None:
    body, record = proof.body, proof.key.record
    subject = body["subject"]
    state = f"{record.state}, in force from {record.not_before:%Y-%m-%d}" if record else "nothing known of its validity"
    lines = [
        f"VALID: report {body['report']}, made at {body['made_at']}, verdict: {body['verdict']}",
        "",
        "What is proven:",
        f"- every byte of the file is as the holder of key {proof.key.id[:16]}… ({state}) signed it",
        f"- it speaks of the weights with SHA-256 {subject['new_weights_sha256']}; compare with `sha256sum` of yours",
        "",
        "What is not proven by the signature: that the measurements were made well, or that the data is erased.",
        "What the report says of itself:",
        *(f"- {sentence}" for sentence in [*body["summary"], *body["limits"]]),
    ]
    for line in lines:
        out.print(line, markup=False, highlight=False, soft_wrap=True)
