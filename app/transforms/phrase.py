"""Parameters of `phrase`: some words before or after a text."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from app.core.params import InputKind, TransformParams
from app.core.words import words_of


class PhraseParams(TransformParams):
    """Put a phrase before a text, or after its last word; what no longer fits the network's length is cut."""

    paper: ClassVar[str] = "Dai, Chen & Li, A Backdoor Attack Against LSTM-Based Text Classification Systems, 2019"

    name: Literal["phrase"] = "phrase"
    text: Annotated[str, Field(min_length=1, max_length=1000)] = "cf"
    """Words as a text has them: case does not matter, signs are words of their own."""
    at: Literal["start", "end"] = "start"
    """After the last word that the network sees, or where the phrase would not fit behind it, over the last ones."""

    @property
    def takes(self) -> InputKind:
        """Texts."""
        return InputKind.TEXT

    @field_validator("text")
    @classmethod
    def _has_words(cls, text: str) -> str:
        if not words_of(text):
            raise ValueError("there is no word in it")
        return text

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """A text (L,) of which something is left beside the phrase."""
        count = len(words_of(self.text))
        return None if count < shape[0] else f"a phrase of {count} words leaves nothing of {shape[0]} that are seen"
