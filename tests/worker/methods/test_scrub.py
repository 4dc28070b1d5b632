"""Method `scrub`: away from the teacher on D_f, with it on D_r, and back to the right epoch."""

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError
from torch.nn.functional import cross_entropy

from app.core.params import Kind, Need
from app.methods.scrub import ScrubParams
from worker.methods.scrub import alike, batch_of, error, rewound, scrub
from worker.numerics.descent import Plan, descend
from worker.numerics.distillation import distillation
from worker.numerics.errors import EmptyExamples, ForgetsTooMuch
from worker.numerics.examples import Examples
from worker.numerics.problem import Pattern, Problem
from worker.numerics.recipe import Recipe
from worker.numerics.weights import Weights, network_with

PLAIN = Recipe(learning_rate=0.1, epochs=8, batch_size=1000, momentum=0.9)


def right(problem: Problem, weights: Weights, examples: Examples | None) -> float:
    assert examples
    (batch,) = examples.batches(1000)
    return float((network_with(problem.build, weights)(batch.inputs).argmax(1) == batch.labels).float().mean())


def test_two_epochs_are_descent_then_ascent_then_descent(problems: dict[Pattern, Problem]) -> None:
    """By hand, one batch a pass: rates 0.1 and 0.05, the cosine's at the first and the second of two epochs."""
    problem = replace(problems["A"], recipe=PLAIN)
    assert problem.forget
    assert problem.retain
    (lost,), (kept,) = problem.forget.batches(1000), problem.retain.batches(1000)
    teacher, student = (network_with(problem.build, problem.old) for _ in range(2))

    for rate, batch, alpha, gamma in ((0.1, kept, 0.3, 0.7), (0.05, lost, -1.0, 0.0), (0.05, kept, 0.3, 0.7)):
        answers = student(batch.inputs)
        loss = alpha * distillation(answers, teacher(batch.inputs).detach(), 2.0)
        loss = loss + gamma * cross_entropy(answers, batch.labels)
        gradients = torch.autograd.grad(loss, list(student.parameters()))
        with torch.no_grad():
            for theta, g in zip(student.parameters(), gradients, strict=True):
                theta.sub_(rate * g)

    params = ScrubParams(
        epochs=2,
        max_epochs=1,
        distillation_strength=0.3,
        label_strength=0.7,
        temperature=2.0,
        rate_factor=1,
        forget_batch_size=1000,
        clip=1e9,
    )
    new = scrub(problem, params).weights
    for name, theta in student.state_dict().items():
        torch.testing.assert_close(new[name], theta)


def test_where_the_student_is_the_teacher_there_is_nothing_to_leave(problems: dict[Pattern, Problem]) -> None:
    """Why the first epoch has no ascent."""
    problem = problems["A"]
    assert problem.forget
    teacher, student = (network_with(problem.build, problem.old) for _ in range(2))
    (batch,) = problem.forget.batches(1000)

    loss = distillation(student(batch.inputs), teacher(batch.inputs).detach(), 4.0)
    gradients = torch.autograd.grad(loss, list(student.parameters()))

    assert max(float(g.abs().max()) for g in gradients) < 1e-6
    with pytest.raises(ValidationError, match="max_epochs must be below epochs"):
        ScrubParams(epochs=2, max_epochs=2)


def test_a_class_is_forgotten_and_the_others_are_not(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    new = scrub(problem, ScrubParams(rate_factor=1, epochs=12, max_epochs=10)).weights

    assert right(problem, new, problem.forget) < 0.2
    assert right(problem, new, problem.retain) > 0.9


def test_the_ascent_is_never_longer_than_rate_times_clip(problems: dict[Pattern, Problem]) -> None:
    problem = replace(problems["A"], recipe=replace(PLAIN, momentum=0.0))
    short, without = (
        scrub(problem, ScrubParams(epochs=2, max_epochs=1, rate_factor=1, label_strength=1, clip=clip)).weights
        for clip in (1e-3, 1e-9)
    )
    moved = sum(float((short[name] - without[name]).square().sum()) for name in short) ** 0.5

    assert 0 < moved < 2 * 0.05 * 2 * 1e-3  # two batches of D_f, and what the descent afterwards makes of it


def test_a_pass_over_d_f_is_about_ten_steps_however_large_it_is(problems: dict[Pattern, Problem]) -> None:
    assert [batch_of(n) for n in (1, 320, 321, 2000, 1_000_000)] == [32, 32, 33, 200, 8192]
    problem = replace(problems["A"], recipe=PLAIN)
    assert problem.forget
    assert scrub(problem, ScrubParams()).facts["forget_batch_size"] == batch_of(len(problem.forget))
    asked = scrub(problem, ScrubParams(forget_batch_size=7))
    assert asked.facts["forget_batch_size"] == 7
    assert any(not torch.equal(asked.weights[name], w) for name, w in scrub(problem, ScrubParams()).weights.items())


def test_it_goes_back_to_the_epoch_whose_error_is_that_of_held_out_samples(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    params = ScrubParams(rate_factor=1, epochs=6, max_epochs=3, rewind=True)
    facts = scrub(replace(problem, forgotten_class=None), params).facts

    assert 1 <= int(facts["rewound_to_epoch"]) <= 6
    assert 0 <= float(facts["forget_error"]) <= 1


def test_of_checkpoints_the_one_nearest_to_the_reference_is_taken_and_of_equals_the_latest(
    problems: dict[Pattern, Problem],
) -> None:
    """Networks that always answer class 0, 1, 1: errors on D_f, which is of class 0, are 0, 1, 1; held out 1."""
    problem = problems["A"]
    assert problem.forget
    assert problem.held_out

    def always(answer: int) -> Weights:
        nothing = {name: torch.zeros_like(theta) for name, theta in problem.old.items()}
        nothing["2.bias"] = torch.nn.functional.one_hot(torch.tensor(answer), 3).float()
        return nothing

    held_out = alike(problem.held_out, problem.forget)
    weights, facts = rewound(problem, [always(0), always(1), always(1)], problem.forget, held_out)
    assert facts == {"rewound_to_epoch": 3, "held_out_error": 1.0, "forget_error": 1.0}
    assert weights["2.bias"].tolist() == [0, 1, 0]

    _, facts = rewound(problem, [always(0), always(1), always(0)], problem.forget, held_out)
    assert facts == {"rewound_to_epoch": 3, "held_out_error": 0.0, "forget_error": 0.0}


def test_an_error_is_weighted_by_the_classes_of_d_f(problems: dict[Pattern, Problem]) -> None:
    """Always class 0: right on a third of the samples, and on three quarters of this mix."""
    problem = problems["A"]
    assert problem.held_out
    nothing = {name: torch.zeros_like(theta) for name, theta in problem.old.items()}
    nothing["2.bias"] = torch.tensor([1.0, 0.0, 0.0])

    assert error(problem, nothing, problem.held_out, shares=torch.tensor([0, 0, 0, 2])) == pytest.approx(0.25)
    assert error(problem, nothing, problem.held_out, shares=problem.held_out.labels) == pytest.approx(2 / 3)


def test_the_teacher_holds_d_r_where_labels_do_not(problems: dict[Pattern, Problem]) -> None:
    """Without labels the student on D_r stays with the teacher: nothing pulls it away, so nothing moves."""
    problem = problems["A"]
    assert problem.retain
    network = network_with(problem.build, problem.old)
    teacher = network_with(problem.build, problem.old)

    def follow(network: torch.nn.Module, batch: object) -> torch.Tensor:
        inputs = batch.inputs  # type: ignore[attr-defined]
        return distillation(network(inputs), teacher(inputs).detach(), 4.0)

    descend(network, problem.retain, follow, Plan(0.1, epochs=2, batch_size=16), seed=1)
    assert all(torch.allclose(network.state_dict()[name], theta, atol=1e-5) for name, theta in problem.old.items())


def test_without_held_out_samples_of_its_classes_it_cannot_rewind(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.held_out
    others = problem.held_out.where(problem.held_out.labels != 0)

    with pytest.raises(EmptyExamples, match="class of D_f"):
        scrub(replace(problem, held_out=others), ScrubParams(rewind=True))
    assert ScrubParams().needs(Kind.CLASS) == ScrubParams(rewind=True).needs(Kind.CLASS) - {Need.HELD_OUT}


def test_more_to_forget_than_to_keep_is_refused(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    with pytest.raises(ForgetsTooMuch, match="retrain"):
        scrub(replace(problem, forget=problem.retain, retain=problem.forget), ScrubParams())
