"""What it is worth that the Fisher is additive: F_Dr by subtraction, against F_Dr computed anew and against F_D."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from time import perf_counter
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from app.methods.rld import RldParams
from app.transforms.line import LineParams
from app.transforms.tile import TileParams
from benchmarks.environment import environment
from benchmarks.fashion import BUILD, FORGOTTEN, RECIPE, Data, accuracies, accuracy, add_data_option, read
from worker import registry
from worker.numerics.concatenation import concatenated
from worker.numerics.evaluation import logits, per_sample_loss
from worker.numerics.examples import Examples
from worker.numerics.fisher import Accumulator, Fisher, fisher_diagonal, ratio
from worker.numerics.outcome import Model
from worker.numerics.problem import Pattern, Problem
from worker.numerics.training import train
from worker.numerics.weights import Weights, network_with

RESULT = Path(__file__).parent / "results" / "additivity.json"
EVERY = 10  # of 60,000 training images
REQUEST = 10  # samples
REMOVED = {"0.1 %": 0.001, "1 %": 0.01, "10 %": 0.1, "50 %": 0.5}
TRAINING = replace(RECIPE, batch_size=128)
METHOD = RldParams(learning_rate=1e-4)
"""The paper's, with a learning rate for a tenth of its steps."""
FEATURES: dict[Pattern, tuple[LineParams | TileParams, RldParams]] = {
    "B": (LineParams(), RldParams(learning_rate=1e-3, forget_strength=1.283)),
    "C": (TileParams(), RldParams(learning_rate=5e-4, forget_strength=0.114)),
}
"""Trigger and method. Learning rates (for a tenth of the steps) and λ_f are the paper's; λ_KL is that of pattern A."""

Figures = dict[str, float]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, store, print: one line for each figure."""
    options, began_in, started = _options(arguments), environment(), perf_counter()
    data = read(options.data / "fashion-mnist", every=60 if options.quick else EVERY)
    runs = [measured(data, seed) for seed in range(1 if options.quick else 3)]
    figures = {name: summary([run[name] for run in runs]) for name in runs[0]}
    for name, row in figures.items():
        print(name)
        for key, (middle, spread) in row.items():
            print(f"  {key:40} {middle:10.4g} ± {spread:.2g}")
    result = {
        "claim": "S_D − S_f is S_Dr: to which digit, and what it changes",
        "quick": options.quick,
        "seeds": len(runs),
        "samples": len(data.train),
        "training": f"{TRAINING.epochs} epochs of every {EVERY}th training image",
        "figures": figures,
        "runs": runs,
        "seconds": round(perf_counter() - started),
        "environment": began_in,
    }
    if not options.quick:
        RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({"figures": figures, "seeds": len(runs), "quick": options.quick}))


def measured(data: Data, seed: int) -> dict[str, Figures]:
    """Everything, from one seed."""
    old = train(BUILD, TRAINING, data.train, seed=seed)
    whole = fisher_diagonal(network_with(BUILD, old), data.train)
    found = {f"{name} removed": downdated(old, data.train, whole, share, seed) for name, share in REMOVED.items()}
    found |= residuals(old, data.train, whole, seed)
    found["pattern A"] = class_forgotten(data, old, whole, seed)
    for pattern, (trigger, method) in FEATURES.items():
        found |= feature_forgotten(data, pattern, trigger, method, seed)
    return {name: {key: float(f"{value:.6g}") for key, value in row.items()} for name, row in found.items()}


def downdated(old: Weights, examples: Examples, whole: Fisher, share: float, seed: int) -> Figures:
    """F_Dr by subtraction against F_Dr computed from D_r, after some random samples are removed."""
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(seed))
    removed = round(share * len(examples))
    gone, kept = (
        fisher_diagonal(network_with(BUILD, old), examples.at(part))
        for part in order.split_with_sizes([removed, len(examples) - removed])
    )
    left = whole.minus(gone)
    ours, theirs = flat(left.diagonal()), flat(kept.diagonal())
    return {
        "normwise relative difference": float((ours - theirs).norm() / theirs.norm()),
        "largest relative difference": largest((ours - theirs).abs() / theirs),
        "negative before clamping": float((flat(whole.sums) < flat(gone.sums)).sum()),
        "below the noise floor": left.below_noise_floor,
        "dead weights": float((theirs == 0).sum()),
    }


def class_forgotten(data: Data, old: Weights, whole: Fisher, seed: int) -> Figures:
    """Pattern A with both anchors: test accuracy on the class and on the others."""
    forget = data.train.where(data.train.labels == FORGOTTEN)
    gone = fisher_diagonal(network_with(BUILD, old), forget)
    problem = Problem(BUILD, old, 10, "A", seed, forget=forget, forgotten_class=FORGOTTEN)
    # What the method subtracts is added before, where it is to hold with F_D.
    anchors = {"before": None, "F_D": whole.plus(gone), "F_Dr": whole}
    found = {"share of D_f in the trace": trace(gone) / trace(whole)}
    for name, fisher in anchors.items():
        for part, value in accuracies(forgotten(replace(problem, fisher=fisher), METHOD), data).items():
            found[f"{name}: {part}"] = value
    return found


def feature_forgotten(
    data: Data, pattern: Pattern, trigger: LineParams | TileParams, method: RldParams, seed: int
) -> dict[str, Figures]:
    """Pattern B or C with both anchors, where every training image of a class carries a trigger."""
    mark = registry.transform(trigger)
    clean, retain = (data.train.where((data.train.labels == FORGOTTEN) == is_it) for is_it in (True, False))
    forget = clean.through(mark)
    old = train(BUILD, TRAINING, concatenated(forget, retain), seed=seed)
    gone, kept = (fisher_diagonal(network_with(BUILD, old), part) for part in (forget, retain))
    whole = gone.plus(kept)
    problem = Problem(BUILD, old, 10, pattern, seed, forget=forget, forget_clean=clean)
    tests = {
        "D_r": data.test_retain,
        "D_f": data.test_forget.through(mark),
        "D_f,clean": data.test_forget,
        "D_r,extra": data.test_retain.through(mark),
    }
    name = f"pattern {pattern}, {trigger.name}"
    found = {"share of D_f in the trace": trace(gone) / trace(whole)}
    for anchor, fisher in {"before": None, "F_D": whole, "F_Dr": kept}.items():
        model = forgotten(replace(problem, fisher=fisher), method)
        found |= {f"{anchor}: {part}": accuracy(model, examples) for part, examples in tests.items()}
    return {name: found}


def forgotten(problem: Problem, method: RldParams) -> Model:
    """What RLD+EWC makes of a problem; without a Fisher, the old model."""
    weights = registry.unlearn(problem, method).weights if problem.fisher else problem.old
    return Model(BUILD, weights)


def residuals(old: Weights, examples: Examples, whole: Fisher, seed: int) -> dict[str, Figures]:
    """Relative error of r = F_Df / F_Dr, by the stable residual and by p − onehot(y) in the logits' precision.

    For a request of a few samples drawn at random, and of those few that the network fits best.
    """
    drawn = torch.randperm(len(examples), generator=torch.Generator().manual_seed(seed))[:REQUEST]
    losses = per_sample_loss(logits(Model(BUILD, old), examples), examples.labels)
    network = network_with(BUILD, old)
    exact_whole = in_float64(old, examples)
    with patch("worker.numerics.fisher.batch.residual", cancelling):
        cancelling_whole = fisher_diagonal(network, examples)
    found = {}
    for name, rows in (("random", drawn), ("best fitted", losses.argsort()[:REQUEST])):
        forget = examples.at(rows)
        exact = flat(ratio(gone := in_float64(old, forget), exact_whole.minus(gone)))
        ours = flat(ratio(gone := fisher_diagonal(network, forget), whole.minus(gone)))
        with patch("worker.numerics.fisher.batch.residual", cancelling):
            theirs = flat(ratio(gone := fisher_diagonal(network, forget), cancelling_whole.minus(gone)))
        row = {"mean loss": float(losses[rows].mean())}
        for method, r in (("ours", ours), ("p_y − 1 in float32", theirs)):
            errors = ((r - exact).abs() / exact)[exact > 0]
            row |= {f"{method}: largest error": largest(errors), f"{method}: median error": float(errors.median())}
        found[f"residual, {REQUEST} samples, {name}"] = row
    return found


def cancelling(answers: Tensor, labels: Tensor) -> Tensor:
    """The gradient of cross entropy at the logits as it is usually computed: p_y − 1 loses its digits where p_y ≈ 1."""
    return answers.softmax(-1) - one_hot(labels, answers.shape[-1])


def in_float64(old: Weights, examples: Examples) -> Fisher:
    """The sums with everything in float64."""
    network = network_with(BUILD, old).double()
    accumulator = None
    for batch in examples.batches(256):
        inputs = batch.inputs.double()
        accumulator = accumulator or Accumulator(network, inputs, batch.labels)
        accumulator.add(inputs, batch.labels)
    return Fisher(accumulator.sums() if accumulator else {}, len(examples))


def flat(tensors: Weights) -> Tensor:
    """All entries in a row."""
    return torch.cat([tensor.flatten() for tensor in tensors.values()])


def trace(fisher: Fisher) -> float:
    """The sum of all entries of S."""
    return float(sum(total.sum() for total in fisher.sums.values()))


def largest(values: Tensor) -> float:
    """The largest that is a number: 0/0 is none."""
    return float(values.nan_to_num(nan=0.0).max())


def summary(rows: Sequence[Figures]) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation over the seeds."""
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    return {key: (mean(values), stdev(values) if len(values) > 1 else 0.0) for key, values in columns.items()}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.additivity", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed on 1,000 images; nothing is stored")
    add_data_option(parser)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
