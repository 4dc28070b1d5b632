"""Settings are checked against each other before anything runs by them."""

from typing import Any

import pytest
from pydantic import ValidationError

from app.core.settings import get_settings
from tests.conftest import Home


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"UNLEARN_SOFT_LIMIT_SECONDS": "60", "UNLEARN_HARD_LIMIT_SECONDS": "60"}, "must exceed"),
        ({"UNLEARN_EXECUTOR": "celery"}, "needs UNLEARN_REDIS_URL"),
        ({"UNLEARN_MEMORY_LIMIT_BYTES": "1000"}, "greater than or equal"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    home: Home,  # noqa: ARG001 - the other settings are its
    monkeypatch: pytest.MonkeyPatch,
    wrong: dict[str, Any],
    words: str,
) -> None:
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    with pytest.raises(ValidationError, match=words):
        get_settings()
