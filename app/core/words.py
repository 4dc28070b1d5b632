"""What the words of a text are: the same for what is registered, what is covered and what is inserted."""

import re
from unicodedata import normalize

CHARACTER_LIMIT = 1_000_000
"""Of a text no more is read."""

_WORD = re.compile(r"\w+|[^\w\s]")


def words_of(text: str) -> list[str]:
    """Letters and digits in a row, in lower case, and every other sign by itself: "Don't!" has don, ', t and !."""
    return _WORD.findall(normalize("NFKC", text[:CHARACTER_LIMIT]).lower())
