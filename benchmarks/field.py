"""The whole catalogue beside gold: every method that forgets samples or a class, with its defaults, and the no-op.

`--search` asks whether what `benchmarks.search` found to be better than the defaults is so on larger data, too: both
side by side, on networks of their own and the validation half of the test set.

`models.{ground}.{scenario}.{method}` holds mean, std, n and half the width of the 95 % interval (Student's t over
pretrained networks, each with a D_f of its own) of every figure, on the half of the test set that nothing was chosen
on. A method that gives up is a row that says why.
"""

from collections.abc import Mapping, Sequence
from functools import partial

from app.catalogue.unions import METHODS
from app.core.params import Kind, MethodParams, Need
from app.methods.bad_teacher import BadTeacherParams
from app.methods.fisher_masking import FisherMaskingParams
from app.methods.scrub import ScrubParams
from app.methods.sfr_on import SfrOnParams
from app.methods.ssd import SsdParams
from benchmarks.arena import SCENARIOS, Method, by, no_op
from benchmarks.arena_report import Models, Report, carried_out
from benchmarks.arena_runs import effort_of, options
from benchmarks.arena_tables import by_gap, markdown
from benchmarks.environment import environment
from benchmarks.search import stored

GROUNDS = ["fashion_cnn"]
KINDS = {"class": Kind.CLASS, "random": Kind.SAMPLES}
CHANGED: Mapping[str, MethodParams] = {
    "ssd_before": SsdParams(fraction=0.05, dampening=1.0),
    "ssd": SsdParams(),
    "fisher_masking_before": FisherMaskingParams(fraction=0.05, epochs=1),
    "fisher_masking_02": FisherMaskingParams(fraction=0.02),
    "fisher_masking": FisherMaskingParams(),
    "sfr_on_before": SfrOnParams(fraction=0.2, adaptivity=1.0, rounds=10),
    "sfr_on": SfrOnParams(),
    "bad_teacher_before": BadTeacherParams(epochs=1, learning_rate=1e-3, retain_fraction=0.3),
    "bad_teacher": BadTeacherParams(),
    "scrub_before": ScrubParams(forget_batch_size=32),
    "scrub": ScrubParams(),
}
"""Defaults before a search and after it, for both scenarios. Of SCRUB's no search said anything: in batches of 32 a
pass over D_f has more steps the larger D_f is, and on little data nobody sees it."""
HAD = frozenset({Need.FORGET, Need.RETAIN, Need.FISHER, Need.INITIAL_WEIGHTS, Need.RECIPE, Need.HELD_OUT})


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, store, print the tables."""
    parser = options("field", __doc__, grounds=GROUNDS)
    parser.add_argument("--search", action="store_true", help="what a search found, on networks of its own")
    given = parser.parse_args(arguments)
    effort = effort_of(given, grounds=GROUNDS)
    if given.search:
        report = Report("field_search", __doc__, partial(tables, width="std"), environment())
        carried_out(report, effort, candidates, scenarios=SCENARIOS, search=True)
    else:
        report = Report("field", __doc__, tables, environment(), width="ci95")
        carried_out(report, effort, methods, scenarios=SCENARIOS)


def methods(scenario: str) -> Mapping[str, Method]:
    """Everything in the catalogue that serves the kind and needs nothing that is not here, by its name."""
    kind = KINDS[scenario]
    params = [offered() for offered in METHODS if kind in offered.serves]
    return {"no_op": no_op} | {name_of(p): by(p) for p in params if p.needs(kind) <= HAD}


def candidates(scenario: str) -> Mapping[str, Method]:
    """What the search found to be better on all networks that it had not seen, and the defaults beside it."""
    kind = KINDS[scenario]
    better = {name: row["found"] for name, row in stored()[kind.value].items() if row.get("better")}
    found: dict[str, Method] = {"no_op": no_op}
    for offered in METHODS:
        if (name := name_of(offered())) in better:
            found |= {name: by(offered()), f"{name}_found": by(offered.model_validate(better[name]))}
    return found | {name: by(params) for name, params in CHANGED.items()}


def name_of(params: MethodParams) -> str:
    """As the catalogue calls it."""
    return str(params.model_dump()["name"])


def tables(models: Models, *, width: str = "ci95") -> str:
    """A table for each scenario, the nearest to gold first."""
    return "\n\n".join(
        f"**{ground}, {scenario}**\n\n{markdown(by_gap(rows), width=width)}"
        for ground, scenarios in models.items()
        for scenario, rows in scenarios.items()
    )


if __name__ == "__main__":
    main()
