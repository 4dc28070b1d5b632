"""DeepClean beside gold: how near the Fisher ratio's choice of weights comes to retraining, and how fast.

`models.{ground}.{scenario}.{method}` holds mean, std and n over pretrained networks, each with a D_f of its own, of the
figures on the half of the test set that nothing was chosen on. Controls: nothing done; fine-tuning of all weights for
as long; a random choice of as many weights, reset and fine-tuned like DeepClean's. For a class they are played for one
epoch, as DeepClean by default, and for three.

`--search` plays one epoch for a class with many shares and rates, on networks of its own and the validation half.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import torch

from app.methods.deepclean import DeepCleanParams
from app.methods.finetune import FinetuneParams
from app.methods.fisher_forgetting import FisherForgettingParams
from app.methods.fisher_masking import FisherMaskingParams
from app.methods.gradient_ascent import GradientAscentParams
from app.methods.lcodec import LcodecParams
from app.methods.sparse import SparseParams
from benchmarks.arena import SCENARIOS, Method, by, no_op
from benchmarks.arena_data import GROUNDS, suited
from benchmarks.arena_report import Models, Report, carried_out
from benchmarks.arena_runs import effort_of, options
from benchmarks.arena_tables import COLUMNS, by_gap, markdown
from benchmarks.environment import environment
from worker import registry
from worker.methods.deepclean import EPOCHS_CLASS, EPOCHS_SAMPLES, FRACTION, reset
from worker.numerics.descent import descend
from worker.numerics.finetuning import fine_tuning, kept
from worker.numerics.guards import changed
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.randomness import drawn_from
from worker.numerics.selection import select, threshold
from worker.numerics.training import cross_entropy
from worker.numerics.weights import network_with, weights_of

SLIDES = {
    "VGG-16": {
        "random": {
            "gold": (92.79, 92.60, 73.32, 201),
            "deepclean": (95.62, -3.88, -2.84, 60),
            "sparse": (88.81, -10.54, -9.88, 133),
            "lcodec": (99.85, 7.3, 17.54, 245),
        },
        "class": {
            "gold": (91.78, 0, 24.68, 228),
            "deepclean": (90.92, 0, 3.64, 60),
            "sparse": (89.87, 0, 1.84, 133),
            "lcodec": (99.85, 99.96, 67.96, 276),
        },
    },
    "ResNet-18": {
        "random": {
            "gold": (94.50, 94.60, 74.71, 284),
            "deepclean": (98.74, -3.68, -5.33, 71),
            "sparse": (91.89, -8.32, -12.82, 153),
            "lcodec": (39.47, -56.20, 9.15, 366),
        },
        "class": {
            "gold": (95.95, 0, 22.84, 305),
            "deepclean": (98.27, 0, -8.04, 70),
            "sparse": (92.57, 0, -10.16, 153),
            "lcodec": (57.04, 16.48, -11.36, 479),
        },
    },
    "ViT": {
        "random": {
            "gold": (91.61, 92.46, 70.91, 7848),
            "deepclean": (99.79, -2.20, 0.79, 127),
            "sparse": (74.04, -22.38, -20.83, 220),
            "lcodec": (19.55, -73.26, 0.41, 238),
        },
        "class": {
            "gold": (92.1, 0, 32.7, 8408),
            "deepclean": (96.0, 0, -6.40, 126),
            "sparse": (75.7, 0, -2.5, 220),
            "lcodec": (11.7, 32.6, 67.2, 245),
        },
    },
}
"""On CIFAR-10, as Shi et al. show them: Acc D_r, ΔAcc D_f, ΔMIA and seconds; of gold Acc D_f and MIA themselves."""
LCODEC = LcodecParams(largest_network=10**8, largest_hessian=10**9)
"""As by default, but for the limits by which a service refuses networks of the slides' size."""
SHOWN = ("delta_acc_df", "delta_mia", *COLUMNS, "selected_fraction", "gamma")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, store, print the tables."""
    parser = options("deepclean", __doc__, grounds=list(GROUNDS))
    parser.add_argument("--search", action="store_true", help="choose, on other networks and the validation half")
    given = parser.parse_args(arguments)
    effort = effort_of(given, grounds=suited())
    if given.search:
        report = Report("deepclean_search", __doc__, searched, environment())
        carried_out(report, effort, lambda _: SEARCH, scenarios=("class",), search=True)
    else:
        report = Report("deepclean", __doc__, tables, environment(), more={"slides": SLIDES})
        carried_out(report, effort, methods, scenarios=SCENARIOS)


def methods(scenario: str) -> Mapping[str, Method]:
    """DeepClean as it is by default and as it could be, its controls, and what the slides compare it with."""
    epochs = EPOCHS_CLASS if scenario == "class" else EPOCHS_SAMPLES
    wider = {"fraction": 0.3, "epochs": 2 if scenario == "class" else 3}
    return {
        "no_op": no_op,
        "finetune": by(FinetuneParams(rate_factor=1.0, epochs=epochs)),
        "random_mask": lambda problem: random_mask(problem, fraction=FRACTION, epochs=epochs),
        "deepclean": by(DeepCleanParams()),
        **(FOR_A_CLASS if scenario == "class" else {}),
        "deepclean_3_half": deepclean_slower,
        "deepclean_30": by(DeepCleanParams.model_validate(wider)),
        "deepclean_not_reset": by(DeepCleanParams(reset="none")),
        "sparse": by(SparseParams()),
        "lcodec": by(LCODEC),
        "fisher_masking": by(FisherMaskingParams()),
        "fisher_forgetting": by(FisherForgettingParams()),
        "gradient_ascent": by(GradientAscentParams()),
    }


def deepclean_slower(problem: Problem) -> Outcome:
    """DeepClean for three epochs from half the recipe's peak rate: large steps on few weights cost accuracy on D_r."""
    peak = required(problem.recipe, "the recipe").learning_rate
    return registry.unlearn(problem, DeepCleanParams(epochs=3, learning_rate=peak / 2))


def one_epoch(problem: Problem, fraction: float, rate_factor: float) -> Outcome:
    """DeepClean with a share of the weights, and a rate in peak rates of the recipe, for an epoch."""
    rate = rate_factor * required(problem.recipe, "the recipe").learning_rate
    return registry.unlearn(problem, DeepCleanParams(fraction=fraction, epochs=1, learning_rate=rate))


FOR_A_CLASS: Mapping[str, Method] = {
    "deepclean_15": by(DeepCleanParams(fraction=0.15)),
    "random_mask_15": lambda problem: random_mask(problem, fraction=0.15, epochs=EPOCHS_CLASS),
    "deepclean_10": by(DeepCleanParams(fraction=0.1)),
    "random_mask_10": lambda problem: random_mask(problem, fraction=0.1, epochs=EPOCHS_CLASS),
    "deepclean_3": by(DeepCleanParams(epochs=3)),
    "random_mask_3": lambda problem: random_mask(problem, fraction=FRACTION, epochs=3),
    "finetune_3": by(FinetuneParams(rate_factor=1.0, epochs=3)),
}
SEARCH: Mapping[str, Method] = {
    f"{fraction:.0%} at {rate_factor:g}": partial(one_epoch, fraction=fraction, rate_factor=rate_factor)
    for fraction in (0.05, 0.1, 0.15, 0.2, 0.4)
    for rate_factor in (0.1, 0.25, 0.5, 1.0, 2.0)
}


def random_mask(problem: Problem, *, fraction: float, epochs: int) -> Outcome:
    """DeepClean with the ratio replaced by chance: what choosing by the ratio adds to resetting and fine-tuning."""
    network, recipe = network_with(problem.build, problem.old), required(problem.recipe, "the recipe")
    with drawn_from(problem.seed):
        scores = {name: torch.rand_like(theta) for name, theta in network.named_parameters()}
    selection = select(scores, threshold(scores, fraction))
    network.load_state_dict(reset(problem, selection.masks, "initial"))
    plan = fine_tuning(recipe, rate_factor=1.0, epochs=epochs)
    descend(network, kept(problem), cross_entropy, plan, seed=problem.seed, only=selection.masks, train_mode=True)
    return Outcome(changed(problem.old, weights_of(network)), {"selected_fraction": selection.fraction})


def searched(models: Models) -> str:
    """A table for each ground, the nearest to gold first."""
    return "\n\n".join(f"**{ground}**\n\n{markdown(by_gap(found['class']), SHOWN)}" for ground, found in models.items())


def tables(models: Models) -> str:
    """A table for each ground and scenario, and the slides' figures."""
    ours = [
        f"**{ground}, {scenario}**\n\n{markdown(rows, SHOWN)}"
        for ground, scenarios in models.items()
        for scenario, rows in scenarios.items()
    ]
    slides = ["| on the slides | Acc D_r | ΔAcc D_f | ΔMIA | × gold |", "| --- | --- | --- | --- | --- |"]
    for network, found in SLIDES.items():
        for scenario, rows in found.items():
            gold = rows["gold"][-1]
            for name, (retain, forget, mia, seconds) in list(rows.items())[1:]:
                cells = f"{retain:.2f} | {forget:+.2f} | {mia:+.2f} | {gold / seconds:.1f}"
                slides.append(f"| {network}, {scenario}: {name} | {cells} |")
    return "\n\n".join([*ours, "\n".join(slides)])


if __name__ == "__main__":
    main()
