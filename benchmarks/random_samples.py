"""The open problem: a tenth of the training images, drawn at random, forgotten as if retrained, five times as fast.

`--search` plays many ways of starting again and going on, on networks of their own, and measures on the validation half
of the test set. Without it, those that were chosen there are played on other networks and measured on the other half.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from app.methods.deepclean import DeepCleanParams
from app.methods.eu_k import EuKParams
from app.methods.finetune import FinetuneParams
from app.methods.neggrad_plus import NeggradPlusParams
from app.methods.random_label import RandomLabelParams
from app.methods.salun import SalunParams
from app.methods.sparse import SparseParams
from benchmarks.arena import Method, by, no_op
from benchmarks.arena_data import GROUNDS, suited
from benchmarks.arena_report import Models, Report, carried_out
from benchmarks.arena_runs import effort_of, options
from benchmarks.arena_tables import by_gap, markdown
from benchmarks.environment import environment
from worker.numerics.descent import descend
from worker.numerics.finetuning import fine_tuning, kept
from worker.numerics.guards import changed
from worker.numerics.layers import last_layers
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.training import cross_entropy
from worker.numerics.weights import network_with, weights_of


class Again(NamedTuple):
    """From where to go on, and how."""

    epochs: int
    rate: float = 1.0  # first learning rate, in peak rates of the recipe; by a cosine to 0
    last: int = 0  # layers, from the answer backwards, that are set to what they were before training
    shrink: float = 1.0  # share of the old weights in θ ← shrink·θ_old + (1 − shrink)·θ_init


SEARCH: Mapping[str, Method | Again] = {
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
    "eu_1": by(EuKParams(layers=1)),
    "eu_2": by(EuKParams()),
    "eu_2_10": by(EuKParams(epochs=10)),
    "eu_2_half": by(EuKParams(rate_factor=0.5)),
    "eu_3_4": by(EuKParams(layers=3, epochs=4)),
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
    "neggrad_plus_.9_2",
    "shrink_.4_4",
    "last_2_4_half",
    "eu_2",
    "eu_2_10",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Search, or report."""
    parser = options("random_samples", __doc__, grounds=list(GROUNDS))
    parser.add_argument("--search", action="store_true", help="choose, on other networks and the validation half")
    given = parser.parse_args(arguments)
    stem, names = ("random_samples_search", tuple(SEARCH)) if given.search else ("random_samples", CHOSEN)
    played = {name: method_of(SEARCH[name]) for name in names}
    report = Report(stem, __doc__, tables, environment())
    effort = effort_of(given, grounds=suited())
    carried_out(report, effort, lambda _: played, scenarios=("random",), search=given.search)


def method_of(way: Method | Again) -> Method:
    """A way of starting again as a method."""
    return (lambda problem: again(problem, way)) if isinstance(way, Again) else way


def again(problem: Problem, way: Again) -> Outcome:
    """Go back by a part of the way, or of the layers, and learn D_r from there.

        θ ← shrink·θ_old + (1 − shrink)·θ_init,   the last layers: θ_init
        θ ← descend CE(D_r)

    Source: of shrinking towards fresh weights: Ash & Adams, On Warm-Starting Neural Network Training, 2020.
    """
    recipe, initial = required(problem.recipe, "the recipe"), required(problem.initial, "the initial weights")
    network = network_with(problem.build, problem.old)
    chosen = last_layers(network, way.last)
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
        train_mode=True,
    )
    return Outcome(changed(problem.old, weights_of(network)))


def tables(models: Models) -> str:
    """A table for each ground, the nearest to gold first."""
    return "\n\n".join(f"**{ground}**\n\n{markdown(by_gap(found['random']))}" for ground, found in models.items())


if __name__ == "__main__":
    main()
