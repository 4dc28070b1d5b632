"""The bell after a commit: what the outbox holds is sent at once, and by the reaper later if that fails."""

from app.outbox import service


def ring() -> None:
    """Send what waits; a broker that is away costs the request nothing."""
    service.relay()
