"""One message on its way: only to hosts that the operator allows, and never further."""

import httpx

from app.core.errors import invalid_field
from app.core.settings import get_settings

TIMEOUT = httpx.Timeout(5.0)
NOT_ALLOWED, NO_CONNECTION, TIMED_OUT = "host_not_allowed", "no_connection", "timeout"
_PORTS = {"http": 80, "https": 443}


def check_url(url: str) -> None:
    """Raise unless messages may be sent there."""
    why = _why_not(url)
    if why is not None:
        raise invalid_field("/url", why, code="url_not_allowed")


def post(url: str, body: bytes, headers: dict[str, str]) -> str:
    """Send it once; what came of it in a word. What is answered beyond the status is not read, nor followed."""
    if _why_not(url) is not None:  # the operator may have thought better of it
        return NOT_ALLOWED
    whole = {"Content-Type": "application/json", "User-Agent": "unlearnd", **headers}
    # trust_env=False: a proxy of this machine's would be one more way to hosts that nobody allowed.
    with httpx.Client(timeout=TIMEOUT, trust_env=False, verify=httpx.create_ssl_context()) as client:
        try:
            with client.stream("POST", url, content=body, headers=whole) as answer:
                return f"http_{answer.status_code}"
        except httpx.TimeoutException:
            return TIMED_OUT
        except httpx.HTTPError:
            return NO_CONNECTION


def _why_not(url: str) -> str | None:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return "This is no URL."
    if parsed.scheme not in _PORTS or parsed.userinfo or parsed.fragment:
        return "Give an http or https URL, without a user and without a fragment."
    usual = parsed.port in {None, _PORTS[parsed.scheme]}
    place = parsed.host if usual else f"{parsed.host}:{parsed.port}"
    if place not in get_settings().webhook_hosts:
        return "The operator has not allowed this host: it must stand in UNLEARN_WEBHOOK_HOSTS, with any unusual port."
    return None
