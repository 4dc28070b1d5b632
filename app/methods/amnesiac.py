"""Parameters of `amnesiac`: take back the training steps that saw D_f."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import Deployed, Kind, MethodParams, Need


class AmnesiacParams(MethodParams):
    """Take back every training step whose batch held a sample of D_f, then train a little on what is kept.

    For few samples: a step goes with all that it had learned from the rest of its batch, and one sample is in as many
    batches as training had epochs. The deltas must have been recorded: `unlearn train --record-deltas`.
    """

    serves: ClassVar[frozenset[Kind]] = frozenset({Kind.SAMPLES, Kind.SUBJECTS, Kind.CLASS})
    paper: ClassVar[str] = "Graves, Nagisetty & Ganesh, Amnesiac Machine Learning, 2021"

    name: Literal["amnesiac"] = "amnesiac"
    repair_epochs: Annotated[int, Field(ge=0, le=1000)] = 1
    """Passes over D_r afterwards; with 0 neither D_r nor the recipe is needed, and nothing is left to chance."""
    rate_factor: Annotated[float, Field(gt=0, le=100)] = 0.5
    """The first learning rate of the repair, in peak rates of the registered recipe; it falls to 0 by a cosine."""

    def needs(self, kind: Kind) -> frozenset[Need]:  # noqa: ARG002 - the same for every kind it serves
        """D_f and the recorded deltas; D_r and the recipe for the repair."""
        repair = {Need.RETAIN, Need.RECIPE} if self.repair_epochs else set()
        return frozenset({Need.FORGET, Need.DELTAS} | repair)

    def misfit(self, deployed: Deployed) -> str | None:
        """What is recorded is the training of one network."""
        if deployed.architecture.isolated > 1:
            return "the model is in shards, whose trainings are not recorded; sisa is exact there"
        return None
