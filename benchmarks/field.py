"""The whole catalogue beside gold: every method that forgets samples or a class, with its defaults, and the no-op.

`{scenario}.{method}` holds mean, std, n and half the width of the 95 % interval (Student's t over pretrained networks,
each with a D_f of its own) of every figure, on the half of the test set that nothing was chosen on. A method that gives
up is a row that says why.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from app.catalogue.unions import METHODS
from app.core.params import Kind, MethodParams, Need
from benchmarks.arena import Method, by, no_op
from benchmarks.arena_runs import UNITS, Runs, effort_of, options, run, setting, summary, write
from benchmarks.arena_tables import Rows, by_gap, markdown, plot
from benchmarks.environment import environment

RESULTS = Path(__file__).parent / "results"
GROUND = "fashion_cnn"
KINDS = {"class": Kind.CLASS, "random": Kind.SAMPLES}
HAD = frozenset({Need.FORGET, Need.RETAIN, Need.FISHER, Need.INITIAL_WEIGHTS, Need.RECIPE})


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, store, print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.field", description=__doc__)
    given, began_in = options(parser, grounds=[GROUND]).parse_args(arguments), environment()
    effort = effort_of(given, grounds=[GROUND])

    def keep(runs: Runs) -> None:
        if not effort.quick:
            document = {"claim": __doc__, "units": UNITS, "setting": setting([GROUND]), **summary(runs)[GROUND]}
            write(RESULTS / "field.json", document | {"runs": runs[GROUND], "environment": began_in})

    found = summary(run(effort, lambda _, scenario: methods(KINDS[scenario]), keep))[GROUND]
    table = tables(found)
    print(table)
    if not effort.quick:
        (RESULTS / "field.md").write_text(table + "\n")
        plot(found, RESULTS / "field.png", width="ci95")


def methods(kind: Kind) -> Mapping[str, Method]:
    """Everything in the catalogue that serves the kind and needs nothing that is not here, by its name."""
    params = [offered() for offered in METHODS if kind in offered.serves]
    return {"no_op": no_op} | {name_of(p): by(p) for p in params if p.needs(kind) <= HAD}


def name_of(params: MethodParams) -> str:
    """As the catalogue calls it."""
    return str(params.model_dump()["name"])


def tables(found: Mapping[str, Rows]) -> str:
    """A table for each scenario, the nearest to gold first."""
    return "\n\n".join(f"**{scenario}**\n\n{markdown(by_gap(rows), width='ci95')}" for scenario, rows in found.items())


if __name__ == "__main__":
    main()
