"""The whole catalogue beside gold: every method that forgets samples or a class, with its defaults, and the no-op.

`models.{ground}.{scenario}.{method}` holds mean, std, n and half the width of the 95 % interval (Student's t over
pretrained networks, each with a D_f of its own) of every figure, on the half of the test set that nothing was chosen
on. A method that gives up is a row that says why.
"""

from collections.abc import Mapping, Sequence

from app.catalogue.unions import METHODS
from app.core.params import Kind, MethodParams, Need
from benchmarks.arena import SCENARIOS, Method, by, no_op
from benchmarks.arena_report import Models, Report, carried_out
from benchmarks.arena_runs import effort_of, options
from benchmarks.arena_tables import by_gap, markdown
from benchmarks.environment import environment

GROUNDS = ["fashion_cnn"]
KINDS = {"class": Kind.CLASS, "random": Kind.SAMPLES}
HAD = frozenset({Need.FORGET, Need.RETAIN, Need.FISHER, Need.INITIAL_WEIGHTS, Need.RECIPE, Need.HELD_OUT})


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, store, print the tables."""
    given = options("field", __doc__, grounds=GROUNDS).parse_args(arguments)
    report = Report("field", __doc__, tables, environment(), width="ci95")
    carried_out(report, effort_of(given, grounds=GROUNDS), methods, scenarios=SCENARIOS)


def methods(scenario: str) -> Mapping[str, Method]:
    """Everything in the catalogue that serves the kind and needs nothing that is not here, by its name."""
    kind = KINDS[scenario]
    params = [offered() for offered in METHODS if kind in offered.serves]
    return {"no_op": no_op} | {name_of(p): by(p) for p in params if p.needs(kind) <= HAD}


def name_of(params: MethodParams) -> str:
    """As the catalogue calls it."""
    return str(params.model_dump()["name"])


def tables(models: Models) -> str:
    """A table for each scenario, the nearest to gold first."""
    return "\n\n".join(
        f"**{ground}, {scenario}**\n\n{markdown(by_gap(rows), width='ci95')}"
        for ground, scenarios in models.items()
        for scenario, rows in scenarios.items()
    )


if __name__ == "__main__":
    main()
