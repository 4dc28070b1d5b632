"""Parameters of `amun`: learn the labels of the closest adversarial examples of D_f."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import Deployed, Kind, MethodParams, Need
from app.core.spaces import FloatRange, IntRange, Space


class AmunParams(MethodParams):
    """Move the boundary towards each sample of D_f: go on training on D_r and on where the network is first fooled.

    Every sample of D_f is replaced by its closest adversarial example, with the label that the network gives that one.
    """

    serves: ClassVar[frozenset[Kind]] = frozenset({Kind.SAMPLES, Kind.SUBJECTS, Kind.CLASS})
    paper: ClassVar[str] = (
        "Ebrahimpour-Boroojeny, Sundaram & Chandrasekaran, AMUN: Adversarial Machine UNlearning, 2025"
    )
    space: ClassVar[Space] = {
        "rate_factor": FloatRange(low=0.03, high=3.0, log=True),
        "epochs": IntRange(low=1, high=10),
    }

    name: Literal["amun"] = "amun"
    use_retain: bool = True
    """Train on D_r beside the adversarial examples. Without it D_f and the recipe are enough, and nothing holds the
    rest but the examples themselves."""
    radius: Annotated[float, Field(title="ε", gt=0)] = 0.1
    """The first distance within which to look (L2, over raw inputs: images in [0, 1]); it doubles until it fits."""
    doublings: Annotated[int, Field(ge=0, le=60)] = 12
    """How often; a sample that is not mistaken even then is left out."""
    attack_steps: Annotated[int, Field(ge=1, le=1000)] = 50
    """Steps of projected gradient ascent within each distance."""
    rate_factor: Annotated[float, Field(gt=0, le=100)] = 1.0
    """The first learning rate, in peak rates of the registered recipe; it falls to 0 by a cosine."""
    epochs: Annotated[int, Field(ge=1, le=1000)] = 3
    """Passes over all that is trained on."""

    def misfit(self, deployed: Deployed) -> str | None:
        """Between two words there is nothing to move along."""
        return "its examples lie between inputs, and the model reads text" if deployed.reads_text else None

    def needs(self, kind: Kind) -> frozenset[Need]:  # noqa: ARG002 - the same for every kind it serves
        """D_f and the recipe; with `use_retain` D_r."""
        retain = {Need.RETAIN} if self.use_retain else set()
        return frozenset({Need.FORGET, Need.RECIPE} | retain)
