"""The mean of word vectors: padding counts for nothing; the Fisher diagonal is that of single texts' gradients."""

import torch
from torch.nn.functional import cross_entropy

from app.architectures.text_bag import TextBagParams
from worker.architectures import text_bag
from worker.numerics.examples import TensorExamples
from worker.numerics.fisher import fisher_diagonal

PARAMS = TextBagParams(input_shape=(5,), classes=3, vocabulary=11, width=4, hidden=6)
TEXTS = torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 0, 0], [5, 0, 0, 0, 0], [0, 0, 0, 0, 0]])


def test_texts_become_one_finite_logit_for_each_class_even_without_a_word() -> None:
    logits = text_bag.build(PARAMS, 0)(TEXTS)
    assert logits.shape == (4, 3)
    assert logits.isfinite().all()


def test_a_seed_gives_the_same_weights_and_leaves_the_global_generator_where_it_was() -> None:
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    first, again, other = (text_bag.build(PARAMS, seed).state_dict() for seed in (5, 5, 6))
    assert torch.equal(torch.rand(2), expected)
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    assert not torch.equal(first["bag.vectors.weight"], other["bag.vectors.weight"])


def test_padding_counts_for_nothing_and_words_by_how_often_they_stand() -> None:
    bag = text_bag.build(PARAMS, 0).get_submodule("bag")
    vectors = bag.get_parameter("vectors.weight")
    found = bag(torch.tensor([[3, 0, 0, 0, 0], [0, 3, 0, 3, 7]]))
    torch.testing.assert_close(found, torch.stack([vectors[3], (2 * vectors[3] + vectors[7]) / 3]))


def test_its_fisher_diagonal_is_the_sum_of_squared_gradients_of_single_texts() -> None:
    network, labels = text_bag.build(PARAMS, 1).eval(), torch.tensor([0, 1, 2, 0])
    fisher = fisher_diagonal(network, TensorExamples(TEXTS, labels, torch.arange(4)))
    for name, parameter in network.named_parameters():
        expected = torch.zeros(parameter.shape, dtype=torch.float64)
        for text, label in zip(TEXTS, labels, strict=True):
            loss = cross_entropy(network(text[None]), label[None])
            expected += torch.autograd.grad(loss, parameter)[0].double() ** 2
        torch.testing.assert_close(fisher.sums[name], expected, rtol=1e-5, atol=1e-10)
    assert fisher.count == 4
    assert fisher.sums["bag.vectors.weight"][0].eq(0).all()
    assert fisher.sums["bag.vectors.weight"][3].gt(0).any()
