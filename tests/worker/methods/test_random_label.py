"""Method `random_label`: which labels, how often drawn, beside what."""

from dataclasses import replace

import pytest
import torch

from app.core.params import Kind, Need
from app.methods.random_label import RandomLabelParams
from worker.methods import random_label as module
from worker.methods.random_label import random_label
from worker.numerics.descent import Plan, descend
from worker.numerics.errors import EmptyExamples, ForgetsTooMuch
from worker.numerics.examples import Batch, Examples
from worker.numerics.problem import Pattern, Problem
from worker.numerics.weights import Weights, network_with


def right(problem: Problem, weights: Weights, examples: Examples | None) -> float:
    assert examples
    (batch,) = examples.batches(1000)
    return float((network_with(problem.build, weights)(batch.inputs).argmax(1) == batch.labels).float().mean())


def taught(problem: Problem, params: RandomLabelParams, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Every (position, label) that was learned, in order."""
    seen: list[tuple[int, int]] = []

    def cross_entropy(network: torch.nn.Module, batch: Batch) -> torch.Tensor:
        seen.extend(zip(batch.positions.tolist(), batch.labels.tolist(), strict=True))
        return torch.nn.functional.cross_entropy(network(batch.inputs), batch.labels)

    monkeypatch.setattr(module, "cross_entropy", cross_entropy)
    random_label(problem, params)
    return seen


def test_every_sample_of_d_f_has_one_wrong_label_for_good_and_the_others_keep_theirs(
    problems: dict[Pattern, Problem], monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = replace(problems["A"], forgotten_class=None)
    assert problem.forget
    assert problem.retain
    seen = taught(problem, RandomLabelParams(epochs=3), monkeypatch)

    assert len(seen) == 3 * 120
    labels = dict(seen)
    assert set(seen) == set(labels.items())
    assert {labels[position] for position in problem.forget.positions.tolist()} == {1, 2}
    for position, label in zip(problem.retain.positions.tolist(), problem.retain.labels.tolist(), strict=True):
        assert labels[position] == label


def test_the_true_label_may_come_if_asked(problems: dict[Pattern, Problem], monkeypatch: pytest.MonkeyPatch) -> None:
    params = RandomLabelParams(include_true_label=True, use_retain=False)

    assert {label for _, label in taught(problems["A"], params, monkeypatch)} == {0, 1, 2}


def test_without_d_r_only_d_f_is_trained_on(problems: dict[Pattern, Problem], monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problems["A"]
    assert problem.forget
    seen = taught(problem, RandomLabelParams(use_retain=False), monkeypatch)

    assert sorted(position for position, _ in seen) == problem.forget.positions.tolist()
    assert RandomLabelParams(use_retain=False).needs(Kind.BACKDOOR) == {Need.FORGET, Need.RECIPE}


def test_another_seed_gives_other_labels(problems: dict[Pattern, Problem], monkeypatch: pytest.MonkeyPatch) -> None:
    first = taught(problems["A"], RandomLabelParams(), monkeypatch)
    second = taught(replace(problems["A"], seed=8), RandomLabelParams(), monkeypatch)

    assert dict(first) != dict(second)


def test_a_class_is_forgotten_and_the_rest_is_held(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    weights = random_label(problem, RandomLabelParams(rate_factor=1, epochs=5)).weights

    assert right(problem, weights, problem.forget) < 0.2
    assert right(problem, weights, problem.retain) > 0.8


def test_a_backdoor_is_forgotten_and_the_clean_samples_are_learned(problems: dict[Pattern, Problem]) -> None:
    problem = problems["B"]
    weights = random_label(problem, RandomLabelParams(rate_factor=1, epochs=20)).weights

    assert right(problem, weights, problem.forget) < 0.2
    assert right(problem, weights, problem.forget_clean) > 0.8


def test_more_to_forget_than_to_keep_is_refused(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    swapped = replace(problem, forget=problem.retain, retain=problem.forget)

    with pytest.raises(ForgetsTooMuch, match="retrain"):
        random_label(swapped, RandomLabelParams())
    random_label(swapped, RandomLabelParams(use_retain=False))


@pytest.mark.parametrize("use_retain", [True, False])
def test_nothing_to_forget_is_refused(
    problems: dict[Pattern, Problem],
    use_retain: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    problem = problems["A"]
    assert problem.forget
    with pytest.raises(EmptyExamples):
        random_label(
            replace(problem, forget=problem.forget.at(torch.arange(0))), RandomLabelParams(use_retain=use_retain)
        )


def test_a_leakage_is_not_served() -> None:
    assert Kind.LEAKAGE not in RandomLabelParams.serves


def test_it_is_not_rld_without_consolidation(problems: dict[Pattern, Problem]) -> None:
    """Drawn once, the labels can be learned by heart; drawn anew, they cannot."""
    problem = replace(problems["A"], forgotten_class=None)
    weights = random_label(problem, RandomLabelParams(use_retain=False, rate_factor=2, epochs=400)).weights
    assert problem.forget
    (batch,) = problem.forget.batches(1000)
    confident = network_with(problem.build, weights)(batch.inputs).softmax(1).max(1).values.mean()

    network = network_with(problem.build, problem.old)

    def drawn_anew(network: torch.nn.Module, batch: Batch) -> torch.Tensor:
        wrong = torch.randint(1, 3, batch.labels.shape)
        return torch.nn.functional.cross_entropy(network(batch.inputs), wrong)

    descend(network, problem.forget, drawn_anew, Plan(0.2, epochs=400, batch_size=16, schedule="cosine"), seed=0)

    assert confident > 0.8
    assert network(batch.inputs).softmax(1).max(1).values.mean() < 0.7
