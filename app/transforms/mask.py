"""Parameters of `mask`: part of an input covered with a fill; it takes a leaked feature away."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from app.core.params import InputKind, Params, TransformParams
from app.core.words import words_of


class Rectangle(Params):
    """Rows top..top+height, columns left..left+width, in pixels."""

    top: Annotated[int, Field(ge=0)]
    left: Annotated[int, Field(ge=0)]
    height: Annotated[int, Field(ge=1)]
    width: Annotated[int, Field(ge=1)]


class Span(Params):
    """Words start..start+length of a text, counted from 0."""

    start: Annotated[int, Field(ge=0, le=16_384)]
    length: Annotated[int, Field(ge=1, le=16_384)]


Feature = Annotated[int, Field(ge=0, lt=10_000_000)]
Phrase = Annotated[str, Field(min_length=1, max_length=1000)]


class MaskParams(TransformParams):
    """Cover part of an input: D_f,clean of a leakage request is D_f under the mask.

    Of images rectangles, of feature lists some features, of texts words by their place or wherever they stand.
    """

    paper: ClassVar[str] = "Hayase, Yasutomi & Katoh, 2020"

    name: Literal["mask"] = "mask"
    rectangles: Annotated[list[Rectangle] | None, Field(min_length=1, max_length=256)] = None
    """What is covered of an image."""
    features: Annotated[list[Feature] | None, Field(min_length=1, max_length=65_536)] = None
    """What is covered of a feature list: indices from 0."""
    spans: Annotated[list[Span] | None, Field(min_length=1, max_length=256)] = None
    """What is covered of a text, by the place of its words."""
    phrases: Annotated[list[Phrase] | None, Field(min_length=1, max_length=256)] = None
    """What is covered of a text, wherever it stands."""
    fill: Annotated[float, Field(ge=-1e9, le=1e9)] = 0
    """Of images a whole number, 0 is black, 255 white; of features the value they get."""
    fill_word: Annotated[str | None, Field(min_length=1, max_length=100)] = None
    """Of texts, one word that stands for each that is covered; by default nothing does: they are padding."""

    @property
    def takes(self) -> InputKind:
        """What is covered says of what."""
        if self.rectangles is not None:
            return InputKind.IMAGES
        return InputKind.FEATURES if self.features is not None else InputKind.TEXT

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [self.rectangles is not None, self.features is not None, (self.spans or self.phrases) is not None]
        if sum(kinds) != 1:
            raise ValueError("give rectangles (images), features (feature lists), or spans and phrases (texts)")
        if self.rectangles is not None and not (0 <= self.fill <= 255 and self.fill == int(self.fill)):
            raise ValueError("the fill of an image is a whole number from 0 to 255")
        if self.takes is InputKind.TEXT and self.fill:
            raise ValueError("words are covered with fill_word, not with fill")
        if self.takes is not InputKind.TEXT and self.fill_word is not None:
            raise ValueError("fill_word is for texts: give fill")
        if self.fill_word is not None and len(words_of(self.fill_word)) != 1:
            raise ValueError("fill_word must be one word")
        if any(not words_of(phrase) for phrase in self.phrases or []):
            raise ValueError("there is no word in a phrase")
        return self

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """An input that contains all that is covered, and of which something is left."""
        if self.takes is InputKind.IMAGES:
            return self._misfit_of_images(shape)
        if self.takes is InputKind.FEATURES:
            return self._misfit_of_features(shape)
        for number, span in enumerate(self.spans or []):
            if span.start + span.length > shape[0]:
                return f"span {number} ends at word {span.start + span.length}; the network sees {shape[0]}"
        if len({k for span in self.spans or [] for k in range(span.start, span.start + span.length)}) == shape[0]:
            return "the spans cover the whole text: under the mask nothing would be left of it"
        return None

    def _misfit_of_images(self, shape: tuple[int, ...]) -> str | None:
        if len(shape) != 3:
            return "rectangles are of images, not of feature lists"
        for number, r in enumerate(self.rectangles or []):
            if r.top + r.height > shape[1] or r.left + r.width > shape[2]:
                return (
                    f"rectangle {number} ends at row {r.top + r.height}, column {r.left + r.width};"
                    f" the image is {shape[1]}×{shape[2]}"
                )
        if self._covered() == shape[1] * shape[2]:
            return "the rectangles cover the whole image: under the mask nothing would be left of it"
        return None

    def _misfit_of_features(self, shape: tuple[int, ...]) -> str | None:
        covered = set(self.features or [])
        if len(shape) != 1:
            return "features are of feature lists, not of images"
        if max(covered) >= shape[0]:
            return f"there is no feature {max(covered)}: they are 0 … {shape[0] - 1}"
        return (
            "the features are all there are: under the mask nothing would be left" if len(covered) == shape[0] else None
        )

    def _covered(self) -> int:
        """Pixels under at least one rectangle: column by column, the union of the rows."""
        columns: dict[int, set[int]] = {}
        for r in self.rectangles or []:
            for column in range(r.left, r.left + r.width):
                columns.setdefault(column, set()).update(range(r.top, r.top + r.height))
        return sum(map(len, columns.values()))
