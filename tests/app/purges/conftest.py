"""The rig of the API."""

from tests.app.web.rig import api, lone

__all__ = ["api", "lone"]
