"""`unlearn audit-log`: does the chain hold, through its signed heads; whom does it mean, until keys are shredded?"""

from typing import Annotated

import typer
from sqlalchemy import select

from app.audit_log import references
from app.commands.home import DEFAULT_HOME, Home, err, out, use
from app.core.db import reading, transaction
from app.core.errors import Problem
from app.signing_keys import heads
from app.tables import Tenant

app = typer.Typer(no_args_is_help=True, help="The audit log.")


@app.callback()
def group() -> None:
    """The audit log."""


@app.command()
def verify(home: Home = DEFAULT_HOME) -> None:
    """Check every tenant's chain against its entries and its signed heads; exits with 1 if one does not hold."""
    use(home)
    broken = False
    with reading() as session:
        for tenant in session.scalars(select(Tenant).order_by(Tenant.id)):
            number = heads.verify(session, tenant.id)
            if number is None:
                out.print(f"{tenant.id}: all {tenant.audit_log_length} entries hold.", highlight=False, soft_wrap=True)
            else:
                broken = True
                err.print(f"{tenant.id}: BROKEN from entry {number} on.", highlight=False, soft_wrap=True)
    if broken:
        raise typer.Exit(1)


@app.command()
def find(
    subject_file: Annotated[
        typer.FileText, typer.Option(help="Ids of subjects, one a line; - reads the standard input.")
    ],
    home: Home = DEFAULT_HOME,
) -> None:
    """Show the entries of all requests that name one of these subjects, as far as their keys exist."""
    use(home)
    subject_ids = {line.strip() for line in subject_file if line.strip()}
    with reading() as session:
        entries = references.find(session, subject_ids)
    for entry in entries:
        line = f"{entry.tenant_id} {entry.number}  {entry.at:%Y-%m-%d %H:%M:%S}  {entry.resource}  {entry.action}"
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    if not entries:
        err.print("No request names them, or the keys are shredded.")
        raise typer.Exit(1)


@app.command()
def shred(
    request: Annotated[str, typer.Option(help="The forget request, fr_…; of one for every model also its children.")],
    home: Home = DEFAULT_HOME,
) -> None:
    """Destroy the key of a request's references to subjects, for ever: nobody can say any more whom they mean."""
    use(home)
    try:
        with transaction() as session:
            count = references.shred(session, request, actor="cli")
    except Problem as problem:
        err.print(problem.detail)
        raise typer.Exit(1) from problem
    out.print(f"{count} destroyed.", highlight=False, soft_wrap=True)
