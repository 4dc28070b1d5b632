"""A problem: everything an unlearning method is given."""

from dataclasses import dataclass, field
from typing import Literal, TypeVar

from worker.numerics.deltas import Deltas
from worker.numerics.errors import EmptyExamples
from worker.numerics.examples import Change, Examples
from worker.numerics.fisher import Fisher
from worker.numerics.recipe import Recipe
from worker.numerics.run import Quiet, Run
from worker.numerics.weights import Build, Weights

Pattern = Literal["A", "B", "C"]
"""A: samples or a class; B: a backdoor; C: a leaked feature (Hayase et al. 2020)."""


@dataclass(frozen=True)
class Problem:
    """The deployed model, the data by its part in the request, and what was stored at registration."""

    build: Build
    old: Weights  # θ_old; never written to
    classes: int  # C
    pattern: Pattern
    seed: int
    forget: Examples | None = None  # D_f
    forget_clean: Examples | None = None  # D_f,clean
    retain: Examples | None = None  # D_r
    held_out: Examples | None = None  # data like D that was neither trained on nor is what the audit measures on
    transform: Change | None = None  # T, which adds the information to raw inputs (patterns B and C)
    fisher: Fisher | None = None  # S_D and N at θ_old, over all the data the stored diagonal was computed on
    initial: Weights | None = None  # weights before training
    deltas: Deltas | None = None  # what each step of the training did
    recipe: Recipe | None = None
    forgotten_class: int | None = None  # class requests only; never inferred from D_f
    run: Run = field(default_factory=Quiet)

    @property
    def scattered(self) -> bool:
        """Whether D_f are samples that need not have anything in common: no class, and no feature of theirs."""
        return self.pattern == "A" and self.forgotten_class is None


T = TypeVar("T")


def required(part: T | None, name: str) -> T:
    """The part, or a typed error that names it; the API has checked the method's needs before."""
    if part is None:
        raise EmptyExamples(f"the method needs {name}, and the request does not have it")
    return part
