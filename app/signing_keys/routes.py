"""`/signing-keys`: public keys are public; whoever is shown a report can check it without an account."""

from fastapi import APIRouter

from app.signing_keys import service
from app.signing_keys.schemas import SigningKeysOut
from app.web.dependencies import Reading

router = APIRouter(prefix="/signing-keys", tags=["Signing keys"])


@router.get("")
def listing(session: Reading) -> SigningKeysOut:
    """Every key that ever signed a report, with its state. Save it beside a report to verify that offline."""
    return service.listing(session)
