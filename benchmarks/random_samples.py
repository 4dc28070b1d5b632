"""The open problem: a tenth of the training images, drawn at random, forgotten as if retrained, five times as fast.

`--search` plays many ways of starting again and going on, on networks of their own, and measures on the validation half
of the test set. Without it, those that were chosen there are played on other networks and measured on the other half.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from app.methods.deepclean import DeepCleanParams
from app.methods.finetune import FinetuneParams
from app.methods.neggrad_plus import NeggradPlusParams
from app.methods.random_label import RandomLabelParams
from app.methods.salun import SalunParams
from app.methods.sparse import SparseParams
from benchmarks.arena import Method, by, no_op
from benchmarks.arena_data import GROUNDS
from benchmarks.arena_report import Models, Report, carried_out
from benchmarks.arena_runs import effort_of, options
from benchmarks.arena_tables import by_gap, markdown
from benchmarks.environment import environment
from worker.numerics.descent import descend
from worker.numerics.errors import Misfit
from worker.numerics.examples import Examples, TensorExamples
from worker.numerics.finetuning import fine_tuning, kept
from worker.numerics.guards import changed
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.training import cross_entropy
from worker.numerics.weights import Weights, network_with, weights_of


class Again(NamedTuple):
    """From where to go on, and how."""

    epochs: int
    rate: float = 1.0  # first learning rate, in peak rates of the recipe; by a cosine to 0
    last: int = 0  # layers, from the answer backwards, that are set to what they were before training
    alone: bool = False  # whether only those learn
    shrink: float = 1.0  # share of the old weights in θ ← shrink·θ_old + (1 − shrink)·θ_init


class Head(NamedTuple):
    """The last layers trained again from their initial weights, on features that are computed once."""

    last: int
    epochs: int
    rate: float = 1.0


SEARCH: Mapping[str, Method | Again | Head] = {
    "no_op": no_op,
    "finetune_1": by(FinetuneParams(rate_factor=1.0)),
    "finetune": by(FinetuneParams()),
    "finetune_2.5": by(FinetuneParams(rate_factor=2.5)),
    "finetune_2.5_4": by(FinetuneParams(rate_factor=2.5, epochs=4)),
    "sparse": by(SparseParams()),
    "deepclean": by(DeepCleanParams()),
    "neggrad_plus": by(NeggradPlusParams()),
    "neggrad_plus_2": by(NeggradPlusParams(epochs=2)),
    "neggrad_plus_.9_2": by(NeggradPlusParams(retain_strength=0.9, epochs=2)),
    "neggrad_plus_.7": by(NeggradPlusParams(retain_strength=0.7)),
    "random_label": by(RandomLabelParams()),
    "salun": by(SalunParams()),
    "retrain_4": Again(epochs=4, shrink=0.0),
    "retrain_4_half": Again(epochs=4, shrink=0.0, rate=0.5),
    "last_1": Again(epochs=3, last=1),
    "last_2": Again(epochs=3, last=2),
    "last_2_4": Again(epochs=4, last=2),
    "last_2_4_half": Again(epochs=4, last=2, rate=0.5),
    "last_3_4": Again(epochs=4, last=3),
    "last_2_alone_4": Again(epochs=4, last=2, alone=True),
    "last_2_alone_8": Again(epochs=8, last=2, alone=True),
    "last_2_alone_8_half": Again(epochs=8, last=2, alone=True, rate=0.5),
    "head_2_10": Head(last=2, epochs=10),
    "head_2_20": Head(last=2, epochs=20),
    "head_2_20_half": Head(last=2, epochs=20, rate=0.5),
    "head_3_4": Head(last=3, epochs=4),
    "shrink_.6_4": Again(epochs=4, shrink=0.6),
    "shrink_.4_4": Again(epochs=4, shrink=0.4),
    "shrink_.2_4": Again(epochs=4, shrink=0.2),
}
CHOSEN = (
    "no_op",
    "finetune_1",
    "finetune",
    "retrain_4",
    "neggrad_plus",
    "neggrad_plus_2",
    "last_2_4_half",
    "head_2_20",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Search, or report."""
    parser = options("random_samples", __doc__, grounds=list(GROUNDS))
    parser.add_argument("--search", action="store_true", help="choose, on other networks and the validation half")
    given = parser.parse_args(arguments)
    stem, names = ("random_samples_search", tuple(SEARCH)) if given.search else ("random_samples", CHOSEN)
    played = {name: method_of(SEARCH[name]) for name in names}
    report = Report(stem, __doc__, tables, environment())
    effort = effort_of(given, grounds=list(GROUNDS))
    carried_out(report, effort, lambda _: played, scenarios=("random",), search=given.search)


def method_of(way: Method | Again | Head) -> Method:
    """A way of starting again as a method."""
    if isinstance(way, Again):
        return lambda problem: again(problem, way)
    return (lambda problem: head(problem, way)) if isinstance(way, Head) else way


def again(problem: Problem, way: Again) -> Outcome:
    """Go back by a part of the way, or of the layers, and learn D_r from there.

        θ ← shrink·θ_old + (1 − shrink)·θ_init,   the last layers: θ_init
        θ ← descend CE(D_r)

    Source: of resetting the last layers and training them alone: Goel et al., Towards Adversarial Evaluations for
    Inexact Machine Unlearning, 2022 (EU-k); of shrinking towards fresh weights: Ash & Adams, On Warm-Starting Neural
    Network Training, 2020.
    """
    recipe, initial = required(problem.recipe, "the recipe"), required(problem.initial, "the initial weights")
    network = network_with(problem.build, problem.old)
    chosen = names_of_last(network, way.last)
    network.load_state_dict(
        {
            name: initial[name] if name in chosen else way.shrink * old + (1 - way.shrink) * initial[name]
            for name, old in problem.old.items()
        }
    )
    descend(
        network,
        kept(problem),
        cross_entropy,
        fine_tuning(recipe, rate_factor=way.rate, epochs=way.epochs),
        seed=problem.seed,
        only=masks(problem.old, chosen) if way.alone else None,
        train_mode=True,
    )
    return Outcome(changed(problem.old, weights_of(network)))


def head(problem: Problem, way: Head) -> Outcome:
    """The last layers learn D_r from the start, on what the layers below make of it; those stay as they are.

        h = trunk_θ_old(x), once for every x of D_r;   θ_head ← descend CE(head_θ(h), y) from θ_init

    The layers below have seen D_f, so this is no exact unlearning, whatever the distance to gold.

    Raises:
        Misfit: the network is not a sequence of layers.

    Source: EU-k of Goel et al. 2022; that nothing below has to be computed again in every epoch is ours.
    """
    recipe, initial = required(problem.recipe, "the recipe"), required(problem.initial, "the initial weights")
    network = network_with(problem.build, problem.old)
    if not isinstance(network, nn.Sequential):
        raise Misfit("the network is not a sequence of layers: there is no saying what comes before the last ones")
    chosen = names_of_last(network, way.last)
    network.load_state_dict({n: initial[n] if n in chosen else old for n, old in problem.old.items()})
    first = min(i for i, (name, _) in enumerate(network.named_children()) if f"{name}.weight" in chosen)
    trunk, last_layers = network[:first], network[first:]
    plan = fine_tuning(recipe, rate_factor=way.rate, epochs=way.epochs)
    descend(last_layers, seen_through(trunk, kept(problem)), cross_entropy, plan, seed=problem.seed, train_mode=True)
    return Outcome(changed(problem.old, weights_of(network)))


def seen_through(trunk: nn.Module, examples: Examples) -> TensorExamples:
    """The examples with what the trunk makes of their inputs as inputs, in memory."""
    with torch.no_grad():
        features = torch.cat([trunk(batch.inputs) for batch in examples.batches(512)])
    return TensorExamples(features, examples.labels, examples.positions)


def names_of_last(network: nn.Module, count: int) -> set[str]:
    """Parameters of the last `count` modules that have any of their own."""
    owners = [name for name, module in network.named_modules() if list(module.parameters(recurse=False))]
    chosen = owners[len(owners) - count :]
    return {f"{owner}.{name}" for owner in chosen for name, _ in network.get_submodule(owner).named_parameters()}


def masks(weights: Weights, names: set[str]) -> dict[str, Tensor]:
    """All of these tensors, none of the others."""
    return {name: torch.ones_like(weights[name], dtype=torch.bool) for name in names}


def tables(models: Models) -> str:
    """A table for each ground, the nearest to gold first."""
    return "\n\n".join(f"**{ground}**\n\n{markdown(by_gap(found['random']))}" for ground, found in models.items())


if __name__ == "__main__":
    main()
