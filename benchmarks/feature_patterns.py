"""Patterns B and C of Hayase et al. 2020: Figure 4's methods, `consistency` and retraining, from one seed."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from time import process_time
from typing import NamedTuple

from app.architectures.small_cnn import SmallCnnParams
from app.core.params import ArchitectureParams, MethodParams, TransformParams
from app.methods.consistency import ConsistencyParams
from app.methods.retrain import RetrainParams
from app.methods.rld import RldParams
from app.transforms.line import LineParams
from app.transforms.tile import TileParams
from benchmarks import fashion
from benchmarks.arena_data import CIFAR10
from benchmarks.fashion import FORGOTTEN, Data, accuracy
from benchmarks.store import Store, Training
from worker import registry
from worker.numerics.concatenation import concatenated
from worker.numerics.examples import Normalisation
from worker.numerics.outcome import Model
from worker.numerics.problem import Pattern, Problem
from worker.numerics.recipe import Recipe

TRANSFORMS: Mapping[str, TransformParams] = {"tile": TileParams(), "line": LineParams()}
TABLE_S1: Mapping[tuple[str, Pattern], tuple[float, float, float]] = {
    ("line", "B"): (9.983e-5, 4.112e4, 1.283),
    ("line", "C"): (4.377e-5, 1.058e5, 0.456),
    ("tile", "B"): (9.983e-5, 3.563e4, 1.738),
    ("tile", "C"): (5.180e-5, 2.985e5, 0.114),
}
"""Learning rate, λ_KL and λ_f of Hayase et al. 2020."""
SETS = ("D_r", "D_f", "D_f_clean", "D_r_extra")
Row = dict[str, float]


class Trial(NamedTuple):
    """One row of the table: a method for a pattern."""

    pattern: Pattern
    method: MethodParams


class Subject(NamedTuple):
    """Who must unlearn a feature: a network, how it is trained on which images, and the methods it is given to."""

    folder: str  # below the data folder
    normalisation: Normalisation
    network: ArchitectureParams
    recipe: Recipe
    transform: str
    trials: Callable[[str], Mapping[str, Trial]]


def forget(
    data: Data, seed: int, subject: Subject, store: Store, only: Collection[str] = ()
) -> dict[str, dict[str, Row]]:
    """Train with T in class 0, store the Fisher, unlearn T by every method, or by some: pattern, method, set."""
    name = subject.transform
    problem, pretrained = trained(data, seed, subject, store)
    figures: dict[str, dict[str, Row]] = {pattern: {"pretrained": pretrained} for pattern in ("B", "C")}
    if not only or "retrain" in only:
        retrained = row(problem, Trial("B", RetrainParams()), data, name)
        figures = {pattern: {**rows, "retrain": retrained} for pattern, rows in figures.items()}
    for label, trial in subject.trials(name).items():
        if only and label not in only:
            continue
        figures[trial.pattern][label.split(".")[1]] = row(problem, trial, data, name)
        print(f"seed {seed} {name}.{label} {figures[trial.pattern][label.split('.')[1]]}", flush=True)
    return figures


def of_perceptrons(transform: str) -> dict[str, Trial]:
    """The methods that are compared, as pattern.method; Figure 4's three are settings of `rld`."""
    found: dict[str, Trial] = {}
    for pattern in ("B", "C"):
        rate, hold, forget_strength = TABLE_S1[transform, pattern]
        rld = RldParams(learning_rate=rate, penalty_strength=hold, forget_strength=forget_strength)
        found[f"{pattern}.ce"] = Trial(
            pattern, rld.model_copy(update={"penalty_strength": 0.0, "forget_strength": 0.0})
        )
        found[f"{pattern}.ce_fisher"] = Trial(pattern, rld.model_copy(update={"forget_strength": 0.0}))
        found[f"{pattern}.rld"] = Trial(pattern, rld)
        found[f"{pattern}.consistency"] = Trial(pattern, ConsistencyParams())
        found[f"{pattern}.consistency_refit"] = Trial(pattern, ConsistencyParams(refit=True, label_strength=0.5))
    found["B.consistency_kept"] = Trial(
        "B", ConsistencyParams(label_strength=0.5, anchor_strength=1.0)
    )  # by the search
    found["B.consistency_both"] = Trial("B", ConsistencyParams(learn="both"))
    found["B.consistency_inferred"] = Trial("B", ConsistencyParams(trigger="inferred"))
    return found


def of_convolutions(transform: str) -> dict[str, Trial]:
    """The paper's method and ours, with the values of Table S1 and with our defaults for such networks."""
    pool = ConsistencyParams(surrogates="pool")
    both = pool.model_copy(update={"learn": "both"})
    found = {"B.consistency_both": Trial("B", both)}
    for pattern in ("B", "C"):
        rate, hold, forget_strength = TABLE_S1[transform, pattern]
        rld = RldParams(learning_rate=rate, penalty_strength=hold, forget_strength=forget_strength)
        found |= {f"{pattern}.rld": Trial(pattern, rld), f"{pattern}.consistency": Trial(pattern, pool)}
    return found


def perceptron(transform: str) -> Subject:
    """The paper's network on Fashion-MNIST."""
    return Subject("fashion-mnist", fashion.NORMALISATION, fashion.NETWORK, fashion.RECIPE, transform, of_perceptrons)


def small_cnn(transform: str) -> Subject:
    """Two convolutions and two linear layers on Fashion-MNIST."""
    network = SmallCnnParams(input_shape=(1, 28, 28), classes=10, width=16)
    recipe = Recipe(learning_rate=0.05, epochs=6, batch_size=128)
    return Subject("fashion-mnist", fashion.NORMALISATION, network, recipe, transform, of_convolutions)


SUBJECTS: Mapping[str, Subject] = {
    "tile": perceptron("tile"),
    "line": perceptron("line"),
    "cnn": small_cnn("tile"),
    "cnn_line": small_cnn("line"),
    "cifar10_cnn": Subject(
        "cifar10",
        CIFAR10,
        SmallCnnParams(input_shape=(3, 32, 32), classes=10, width=32),
        Recipe(learning_rate=0.05, epochs=8, batch_size=128),
        "tile",
        of_convolutions,
    ),
}
"""By the name of the part of the benchmark."""


def row(problem: Problem, trial: Trial, data: Data, name: str) -> Row:
    """What the method leaves, on the four sets, and how long it took."""
    started = process_time()
    outcome = registry.unlearn(replace(problem, pattern=trial.pattern), trial.method)
    seconds = process_time() - started
    return {**accuracies(Model(problem.build, outcome.weights), data, name), "seconds": seconds}


def trained(data: Data, seed: int, subject: Subject, store: Store) -> tuple[Problem, Row]:
    """A network that saw class 0 only with T, its stored Fisher, and how good it is."""
    add = registry.transform(TRANSFORMS[subject.transform])
    asked = data.train.labels == FORGOTTEN
    clean, retain = data.train.where(asked), data.train.where(~asked)
    seen = concatenated(retain, clean.through(add))
    inputs = (subject.folder, subject.normalisation, FORGOTTEN, TRANSFORMS[subject.transform])
    training = Training(subject.network, subject.recipe, seen, inputs, seed)
    build, old = registry.builder(subject.network), store.trained(training)
    problem = Problem(
        build=build,
        old=old,
        classes=10,
        pattern="B",
        seed=seed,
        forget=clean.through(add),
        forget_clean=clean,
        retain=retain,
        transform=add,
        fisher=store.fisher(training, old),
        recipe=subject.recipe,
    )
    return problem, accuracies(Model(build, old), data, subject.transform)


def accuracies(model: Model, data: Data, name: str) -> Row:
    """Test accuracy on the four sets of patterns B and C."""
    add = registry.transform(TRANSFORMS[name])
    sets = (data.test_retain, data.test_forget.through(add), data.test_forget, data.test_retain.through(add))
    return {part: accuracy(model, examples) for part, examples in zip(SETS, sets, strict=True)}
