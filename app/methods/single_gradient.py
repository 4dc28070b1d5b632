"""Parameters of `single_gradient`: undo what D_f did to the first order in the rate."""

from typing import ClassVar, Literal

from app.core.params import Deployed, Kind, MethodParams, Need


class SingleGradientParams(MethodParams):
    """Add back every step that training took for D_f, as if each had been taken at the initial weights.

    It unrolls SGD on networks that were trained in one piece. Rates come from the recipe: there is nothing to choose.
    """

    serves: ClassVar[frozenset[Kind]] = frozenset({Kind.SAMPLES, Kind.SUBJECTS, Kind.CLASS})
    paper: ClassVar[str] = (
        "Thudi, Deza, Chandrasekaran & Papernot, Unrolling SGD: Understanding Factors Influencing Machine Unlearning,"
        " 2022"
    )
    random: ClassVar[bool] = False

    name: Literal["single_gradient"] = "single_gradient"

    def needs(self, kind: Kind) -> frozenset[Need]:  # noqa: ARG002 - the same for every kind it serves
        """D_f, the weights that training began with, and its rates."""
        return frozenset({Need.FORGET, Need.INITIAL_WEIGHTS, Need.RECIPE})

    def misfit(self, deployed: Deployed) -> str | None:
        """What it unrolls is one training by SGD, and what it did itself since."""
        if deployed.architecture.isolated > 1:
            return "the model is in shards, of which it would have to unroll each by itself; sisa is exact there"
        if deployed.optimizer == "adam":
            return "the recipe trains by Adam, and it unrolls SGD"
        if others := sorted(deployed.methods - {"single_gradient"}):
            return f"the version comes from {', '.join(others)}, so its weights are not those that the recipe led to"
        return None
