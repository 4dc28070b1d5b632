"""Parameters of `ntk_scrub`: scrubbing by the neural tangent kernel, for small models."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import Deployed, Kind, MethodParams, Need
from app.core.spaces import Choices, FloatRange, Space


class NtkScrubParams(MethodParams):
    """Take from the weights what, in a linearised network, only D_f has put there; in closed form, without training.

    For small models and small data: it holds a number for every weight and every class of every sample. And for more
    weights than samples × classes: else what D_f has put there is, to first order, in reach of D_r too, and stays.
    """

    serves: ClassVar[frozenset[Kind]] = frozenset({Kind.SAMPLES, Kind.SUBJECTS, Kind.CLASS})
    paper: ClassVar[str] = (
        "Golatkar, Achille & Soatto, Forgetting Outside the Box: Scrubbing Deep Networks of Information Accessible from"
        " Input-Output Observations, 2020"
    )
    guarantee: ClassVar[str] = (
        "none for a network: it would be exact if the network were linear in its weights, and fitted to the targets by"
        " least squares from the initial weights"
    )
    random: ClassVar[bool] = False
    space: ClassVar[Space] = {
        "around": Choices(values=("deployed", "initial")),
        "ridge": FloatRange(low=1e-6, high=1.0, log=True),
    }

    name: Literal["ntk_scrub"] = "ntk_scrub"
    around: Literal["initial", "deployed"] = "deployed"
    """The weights at which the network is made linear: those before training, as in the paper, or after."""
    targets: Literal["answers", "labels"] = "answers"
    """What the linear model is taken to have been fitted to: the deployed network's own logits, which cross entropy has
    led to; or 1 for the label and 0 else, as in the paper, for networks trained by squared error."""
    ridge: Annotated[float, Field(gt=0, le=1e3)] = 1e-3
    """Weight of staying at the initial weights, in units of a logit's mean squared gradient."""
    largest_kernel: Annotated[int, Field(ge=1, le=10_000_000_000)] = 100_000_000
    """Entries, of 8 bytes, of the kernel, (samples × classes)², beyond which the request is refused."""
    largest_jacobian: Annotated[int, Field(ge=1, le=10_000_000_000)] = 200_000_000
    """Entries, of 8 bytes, of the Jacobian, samples × classes × weights, likewise."""

    def needs(self, kind: Kind) -> frozenset[Need]:  # noqa: ARG002 - the same for every kind it serves
        """D_f, D_r and the weights before training."""
        return frozenset({Need.FORGET, Need.RETAIN, Need.INITIAL_WEIGHTS})

    def misfit(self, deployed: Deployed) -> str | None:
        """The matrices must not be too large."""
        network = deployed.architecture
        return self.too_large(deployed.samples, network.classes, network.weight_count)

    def too_large(self, samples: int, classes: int, weights: int) -> str | None:
        """Which matrix would exceed what is allowed; None if none would."""
        rows = samples * classes
        for name, entries, allowed in (
            ("kernel", rows**2, self.largest_kernel),
            ("jacobian", rows * weights, self.largest_jacobian),
        ):
            if entries > allowed:
                return (
                    f"the {name} over {samples:,} samples, {classes:,} classes and {weights:,} weights would have"
                    f" {entries:,} entries of 8 bytes, and {allowed:,} are allowed (largest_{name})"
                )
        return None
