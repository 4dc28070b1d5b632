"""Parameters of `text_bag`: the mean of a text's word vectors, and two linear layers."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import ArchitectureParams


class TextBagParams(ArchitectureParams):
    """A vector for every word, their mean, a hidden layer with ReLU: texts are known by the words they have."""

    paper: ClassVar[str] = "Iyyer et al., Deep Unordered Composition Rivals Syntactic Methods, 2015"

    name: Literal["text_bag"] = "text_bag"
    input_shape: tuple[Annotated[int, Field(ge=1, le=16_384)]]
    """(L,): the words that are seen of a text, `preprocessing.words.length`."""
    classes: Annotated[int, Field(ge=2, le=100_000)]
    vocabulary: Annotated[int, Field(ge=2, le=2_000_000)]
    """Different words, `preprocessing.words.vocabulary`."""
    width: Annotated[int, Field(ge=1, le=8192)] = 32
    """Numbers that describe a word."""
    hidden: Annotated[int, Field(ge=1, le=65_536)] = 32
    """Width of the hidden layer."""

    @property
    def known_words(self) -> int | None:
        """It reads text."""
        return self.vocabulary

    @property
    def weight_count(self) -> int:
        """The vectors, two linear layers."""
        return self.vocabulary * self.width + (self.width + 1) * self.hidden + (self.hidden + 1) * self.classes
