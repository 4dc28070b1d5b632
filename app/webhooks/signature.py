"""The signature of a message, so that its receiver knows who sent it, when, and that nobody changed it.

    v1,base64(HMAC-SHA256(secret, id ‖ "." ‖ timestamp ‖ "." ‖ body))

Source: Standard Webhooks, https://www.standardwebhooks.com.
"""

import hashlib
import hmac
from base64 import b64decode, b64encode

from app.core.settings import get_settings

PREFIX = "whsec_"


def secret_of(webhook_id: str) -> str:
    """The secret that the caller is told once. It is derived, so that no database holds it."""
    key = get_settings().secret_key.get_secret_value().encode()
    return PREFIX + b64encode(hmac.digest(key, f"webhook:{webhook_id}".encode(), hashlib.sha256)).decode()


def headers(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """What a message carries."""
    content = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.digest(b64decode(secret.removeprefix(PREFIX)), content, hashlib.sha256)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{b64encode(digest).decode()}",
    }
