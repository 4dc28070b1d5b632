"""`unlearn audit-log`: does the chain of entries hold, and does it run through its signed heads?"""

import typer
from sqlalchemy import select

from app.commands.home import DEFAULT_HOME, Home, err, out, use
from app.core.db import reading
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
