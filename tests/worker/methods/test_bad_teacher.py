"""Method `bad_teacher`: who teaches whom, by hand."""

from dataclasses import replace

import pytest
import torch

from app.methods.bad_teacher import BadTeacherParams
from worker.methods import bad_teacher as module
from worker.methods.bad_teacher import bad_teacher, drawn
from worker.numerics.concatenation import concatenated
from worker.numerics.distillation import distillation
from worker.numerics.errors import EmptyExamples, ForgetsTooMuch
from worker.numerics.examples import Examples
from worker.numerics.problem import Pattern, Problem
from worker.numerics.randomness import derived
from worker.numerics.weights import Weights, network_with


def right(problem: Problem, params: BadTeacherParams, examples: Examples | None) -> float:
    assert examples
    (batch,) = examples.batches(1000)
    network = network_with(problem.build, bad_teacher(problem, params).weights)
    return float((network(batch.inputs).argmax(1) == batch.labels).float().mean())


def test_a_step_goes_down_both_divergences(problems: dict[Pattern, Problem]) -> None:
    """Adam's first step is the rate times the sign of the gradient."""
    problem = problems["A"]
    assert problem.forget
    assert problem.retain
    (lost,), (kept,) = problem.forget.batches(1000), problem.retain.batches(1000)
    teachers = problem.build(derived(problem.seed, "bad_teacher")), network_with(problem.build, problem.old)
    student = network_with(problem.build, problem.old)
    wanted = torch.cat([teachers[0](lost.inputs), teachers[1](kept.inputs)]).detach()
    loss = distillation(student(torch.cat([lost.inputs, kept.inputs])), wanted, 2.0)
    gradients = torch.autograd.grad(loss, list(student.parameters()))

    params = BadTeacherParams(retain_fraction=1, temperature=2.0, learning_rate=0.01, epochs=1, batch_size=1000)
    new = bad_teacher(problem, params).weights

    for (name, theta), g in zip(student.named_parameters(), gradients, strict=True):
        clear = g.abs() > 1e-5
        assert clear.any()
        torch.testing.assert_close(new[name][clear], (theta - 0.01 * g.sign())[clear], rtol=0, atol=2e-5)


def test_labels_do_not_matter(problems: dict[Pattern, Problem], monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in a batch as its label is who teaches; no true label reaches the objective."""
    seen: set[int] = set()

    def watched(*parts: Examples) -> Examples:
        seen.update(*(part.labels.tolist() for part in parts))
        return concatenated(*parts)

    monkeypatch.setattr(module, "concatenated", watched)
    bad_teacher(problems["A"], BadTeacherParams())

    assert seen == {0, 1}


def test_a_share_is_drawn_without_repetition(problems: dict[Pattern, Problem]) -> None:
    retain = problems["A"].retain
    assert retain
    share = drawn(retain, 0.3, seed=1)

    assert len(set(share.positions.tolist())) == len(share) == 24
    assert share.positions.tolist() != drawn(retain, 0.3, seed=2).positions.tolist()
    assert len(drawn(retain, 1e-9, seed=1)) == 1


def test_a_class_is_forgotten_and_the_others_are_not(problems: dict[Pattern, Problem]) -> None:
    params = BadTeacherParams(learning_rate=0.02, epochs=20, retain_fraction=1, batch_size=16)

    assert right(problems["A"], params, problems["A"].forget) < 0.5
    assert right(problems["A"], params, problems["A"].retain) > 0.9


def test_a_network_that_knows_nothing_is_unsure_of_d_f(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.forget
    (batch,) = problem.forget.batches(1000)
    params = BadTeacherParams(learning_rate=0.02, epochs=20, retain_fraction=1, batch_size=16)

    def confident(weights: Weights) -> float:
        answers = network_with(problem.build, weights)(batch.inputs).detach()
        return float(answers.softmax(1).max(1).values.mean())

    assert confident(bad_teacher(problem, params).weights) < confident(problem.old) - 0.2


def test_more_to_forget_than_to_keep_is_refused(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    with pytest.raises(ForgetsTooMuch, match="retrain"):
        bad_teacher(replace(problem, forget=problem.retain, retain=problem.forget), BadTeacherParams())


def test_nothing_to_forget_is_refused(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.forget
    with pytest.raises(EmptyExamples, match="D_f"):
        bad_teacher(replace(problem, forget=problem.forget.at(torch.arange(0))), BadTeacherParams())
