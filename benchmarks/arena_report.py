"""What the arena's benchmarks leave: JSON, a Markdown table and a picture, part by part."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.arena_data import GROUNDS
from benchmarks.arena_runs import Effort, Methods, Runs, run
from benchmarks.arena_tables import Rows, gathered, plot

RESULTS = Path(__file__).parent / "results"
UNITS = (
    "accuracies, MIA, gap, AUC and ToW in percent, differences in points; seconds of one thread, on a GPU of a clock"
)
Models = Mapping[str, Mapping[str, Rows]]  # ground, scenario, method


class Report(NamedTuple):
    """The files of one benchmark."""

    stem: str
    claim: str | None
    table: Callable[[Models], str]
    began_in: Mapping[str, Any]
    width: str = "std"  # what the bars of the picture show
    more: Mapping[str, Any] = {}

    def keep(self, runs: Runs) -> None:
        """Put what was measured beside the grounds that were measured before."""
        path = RESULTS / f"{self.stem}.json"
        document = json.loads(path.read_text()) if path.exists() else {}
        document |= {"claim": self.claim, "units": UNITS, **self.more}
        parts: dict[str, dict[str, Any]] = {
            "models": summary(runs),
            "setting": {ground: setting(ground) for ground in runs},
            "environment": dict.fromkeys(runs, self.began_in),
            "runs": runs,
        }
        document |= {key: {**document.get(key, {}), **part} for key, part in parts.items()}
        path.write_text(json.dumps(document, indent=1) + "\n")
        (RESULTS / f"{self.stem}.md").write_text(self.table(document["models"]) + "\n")

    def draw(self) -> None:
        """The picture of all that is stored."""
        models: Models = json.loads((RESULTS / f"{self.stem}.json").read_text())["models"]
        panels = {f"{ground}, {s}": rows for ground, found in models.items() for s, rows in found.items()}
        plot(panels, RESULTS / f"{self.stem}.png", width=self.width)


def summary(runs: Runs) -> dict[str, dict[str, dict[str, Any]]]:
    """Ground, scenario, method: every figure over the seeds."""
    return {
        ground: {s: {name: gathered(rows) for name, rows in methods.items()} for s, methods in scenarios.items()}
        for ground, scenarios in runs.items()
    }


def setting(ground: str) -> dict[str, Any]:
    """What was trained, and how."""
    found = GROUNDS[ground]
    network = found.network.model_dump(mode="json")
    return {"samples": found.samples, "network": network, "recipe": asdict(found.recipe)}


def carried_out(
    report: Report, effort: Effort, methods: Methods, *, scenarios: Sequence[str], search: bool = False
) -> None:
    """Play everything, store it as it comes (unless quick), print the table of this run."""
    seen: Runs = {}

    def keep(runs: Runs) -> None:
        seen.update(runs)
        if not effort.quick:
            report.keep(runs)

    run(effort, methods, keep, scenarios=scenarios, search=search)
    print(report.table(summary(seen)))
    if not effort.quick:
        report.draw()
