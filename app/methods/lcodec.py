"""Parameters of `lcodec`: a Newton step of the units that the loss on D_f depends on."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import Deployed, Kind, MethodParams, Need
from app.core.spaces import FloatRange, IntRange, Space


class LcodecParams(MethodParams):
    """Find the units whose activations the loss on D_f depends on, and take D_f out of each by a Newton step.

    For small networks: it holds the Hessian of every chosen unit's incoming weights.
    """

    serves: ClassVar[frozenset[Kind]] = frozenset({Kind.SAMPLES, Kind.SUBJECTS, Kind.CLASS})
    paper: ClassVar[str] = (
        "Mehta, Pal, Singh & Ravi, Deep Unlearning via Randomized Conditionally Independent Hessians, 2022 (L-CODEC)"
    )
    space: ClassVar[Space] = {
        "blocks": IntRange(low=4, high=256, log=True),
        "damping": FloatRange(low=0.03, high=30.0, log=True),
    }

    name: Literal["lcodec"] = "lcodec"
    blocks: Annotated[int, Field(ge=1, le=1024)] = 64
    """At most so many units are changed; fewer, where the others say nothing more about the loss."""
    damping: Annotated[float, Field(title="λ", gt=0, le=1e6)] = 1.0
    """Added to the diagonal of each Hessian, in units of its mean entry: the larger, the shorter the step."""
    probes: Annotated[int, Field(ge=8, le=2048)] = 256
    """Perturbed samples of D_f on which units and loss are compared."""
    noise: Annotated[float, Field(title="σ", gt=0, le=100)] = 0.1
    """By how much they are perturbed, in units of the normalised inputs."""
    hessian_samples: Annotated[int, Field(ge=1, le=100_000)] = 512
    """Samples of D_r that the Hessians are taken over, drawn once."""
    largest_network: Annotated[int, Field(ge=1, le=1_000_000_000)] = 2_000_000
    """Weights of the network beyond which the request is refused."""
    largest_hessian: Annotated[int, Field(ge=1, le=1_000_000_000)] = 100_000_000
    """Entries, of 8 bytes, of the Hessians of one layer's chosen units, likewise."""

    def needs(self, kind: Kind) -> frozenset[Need]:  # noqa: ARG002 - the same for every kind it serves
        """D_f and D_r."""
        return frozenset({Need.FORGET, Need.RETAIN})

    def misfit(self, deployed: Deployed) -> str | None:
        """The network must not be too large, and its inputs must be numbers, to which noise can be added."""
        if deployed.reads_text:
            return "it adds noise to inputs, and the model reads text"
        return self.too_large(deployed.architecture.weight_count)

    def too_large(self, weights: int) -> str | None:
        """Why a network of so many weights is not taken; None if it is."""
        if weights <= self.largest_network:
            return None
        return f"the network has {weights:,} weights, and {self.largest_network:,} are allowed (largest_network)"
