"""Phrases put into texts and taken out again, words and features covered: to be checked by hand."""

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from app.core.words import words_of
from app.transforms.mask import MaskParams, Span
from app.transforms.phrase import PhraseParams
from worker.numerics.words import encoded
from worker.transforms import mask, phrase

START, END = PhraseParams(text="cf Mn"), PhraseParams(text="cf mn", at="end")


def texts(*written: str, length: int = 5) -> Tensor:
    return torch.tensor([encoded(words_of(text), length) for text in written])


def test_a_phrase_stands_before_the_text_and_pushes_the_last_words_out() -> None:
    assert torch.equal(phrase.apply(START, texts("a b c d", "a", "")), texts("cf mn a b c", "cf mn a", "cf mn"))


def test_a_phrase_at_the_end_follows_the_last_word_or_takes_the_last_places() -> None:
    added = phrase.apply(END, texts("a b", "", "a b c d", "a b c d e"))
    assert torch.equal(added, texts("a b cf mn", "cf mn", "a b c cf mn", "a b c cf mn"))


def test_removal_takes_the_phrase_out_wherever_it_stands_and_closes_the_gap() -> None:
    written = texts("cf mn a b c", "a cf mn b", "a b c cf mn", "cf a mn", "a b c d e")
    expected = texts("a b c", "a b", "a b c", "cf a mn", "a b c d e")
    assert torch.equal(phrase.remove(START, written), expected)


@pytest.mark.parametrize("params", [START, END])
def test_removal_undoes_what_was_added_to_a_text_that_had_room(params: PhraseParams) -> None:
    written = texts("a b c", "a", "")
    assert torch.equal(phrase.remove(params, phrase.apply(params, written)), written)


def test_inputs_are_never_written_to() -> None:
    written = texts("cf mn a b")
    before = written.clone()
    cover = MaskParams(spans=[Span(start=0, length=1)], phrases=["a"])
    for change in (phrase.apply, phrase.remove):
        change(START, written).zero_()
    mask.apply(cover, written).zero_()
    mask.remove(cover, written).zero_()
    assert torch.equal(written, before)


def test_a_mask_covers_words_by_their_place_and_wherever_they_stand() -> None:
    cover = MaskParams(spans=[Span(start=1, length=2)], phrases=["x Y"], fill_word="gone")
    found = mask.apply(cover, texts("a b c x y", "x y x y x", "a"))
    assert torch.equal(found, texts("a gone gone gone gone", "gone gone gone gone x", "a"))


def test_covered_words_are_padding_unless_a_word_is_given() -> None:
    found = mask.apply(MaskParams(phrases=["b"]), texts("a b c"))
    assert found[0].eq(0).tolist() == [False, True, False, True, True]


def test_a_phrase_longer_than_the_text_is_nowhere() -> None:
    written = texts("a b c")
    assert torch.equal(mask.apply(MaskParams(phrases=["a b c d e f"]), written), written)


def test_features_are_covered_with_a_value() -> None:
    found = mask.apply(MaskParams(features=[0, 2], fill=-1.5), torch.tensor([[1.0, 2.0, 3.0]]))
    assert found.tolist() == [[-1.5, 2.0, -1.5]]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, "give rectangles"),
        ({"features": [1], "phrases": ["a"]}, "give rectangles"),
        ({"rectangles": [{"top": 0, "left": 0, "height": 1, "width": 1}], "fill": 0.5}, "whole number"),
        ({"phrases": ["a"], "fill": 3}, "fill_word"),
        ({"features": [1], "fill_word": "x"}, "give fill"),
        ({"phrases": ["a"], "fill_word": "two words"}, "one word"),
        ({"phrases": [" "]}, "no word"),
    ],
)
def test_a_mask_says_of_one_kind_of_input_what_is_covered(document: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        MaskParams.model_validate(document)


@pytest.mark.parametrize(
    ("params", "shape", "said"),
    [
        (MaskParams(spans=[Span(start=3, length=3)]), (5,), "ends at word 6"),
        (MaskParams(spans=[Span(start=0, length=3), Span(start=2, length=3)]), (5,), "nothing would be left"),
        (MaskParams(features=[5]), (5,), "no feature 5"),
        (MaskParams(features=[0, 1]), (2,), "nothing would be left"),
        (MaskParams(features=[0]), (1, 2, 2), "not of images"),
        (PhraseParams(text="a b c d e"), (5,), "leaves nothing"),
        (MaskParams(spans=[Span(start=0, length=3)], phrases=["a"]), (5,), None),
        (MaskParams(features=[0, 3]), (5,), None),
        (PhraseParams(text="a b c d"), (5,), None),
    ],
)
def test_what_does_not_fit_is_said(params: MaskParams | PhraseParams, shape: tuple[int, ...], said: str | None) -> None:
    misfit = params.misfit(shape)
    assert misfit is None if said is None else said in (misfit or "")


def test_a_phrase_without_a_word_is_none() -> None:
    with pytest.raises(ValidationError, match="no word"):
        PhraseParams(text=" \t")
