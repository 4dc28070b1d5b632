"""Words become the same numbers everywhere and for ever: registered weights depend on it."""

from hashlib import blake2b

import torch

from app.core.words import words_of
from worker.numerics.examples import Normalisation, TensorExamples
from worker.numerics.words import PADDING, bucketed, encoded, hashed


def test_words_are_letters_and_digits_in_a_row_and_single_signs() -> None:
    assert words_of("Don't pay 10,50 €\nÜBER_all!") == ["don", "'", "t", "pay", "10", ",", "50", "€", "über_all", "!"]
    assert words_of(" \t\n") == []


def test_composed_and_decomposed_letters_are_the_same_word() -> None:
    assert words_of("café") == words_of("café")


def test_a_word_has_the_number_that_the_documentation_says() -> None:
    digest = blake2b(b"good", digest_size=8).digest()
    assert hashed("good") == int.from_bytes(digest, "big") >> 1
    assert bucketed(torch.tensor([hashed("good")]), 1000).item() == 1 + hashed("good") % 999
    assert hashed("good") == 271280219974654616  # for ever


def test_what_is_longer_is_cut_and_what_is_shorter_padded() -> None:
    assert encoded(["a", "b", "c"], 2) == [hashed("a"), hashed("b")]
    assert encoded(["a"], 3) == [hashed("a"), PADDING, PADDING]


def test_padding_stays_padding_and_no_word_becomes_it() -> None:
    found = bucketed(torch.tensor([[PADDING, 1, 2**62, 7]]), 2)
    assert found.tolist() == [[0, 1, 1, 1]]


def test_words_pass_the_last_step_as_numbers_of_words() -> None:
    raw = torch.tensor([encoded(["a", "b"], 3)])
    examples = TensorExamples(raw, torch.tensor([0]), torch.tensor([0]), Normalisation(vocabulary=10))
    inputs = next(examples.batches(1)).inputs
    assert inputs.dtype == torch.int64
    assert torch.equal(inputs, bucketed(raw, 10))
    assert torch.equal(next(examples.unnormalised().batches(1)).inputs, raw)
