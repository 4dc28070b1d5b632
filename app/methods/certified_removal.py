"""Parameters of `certified_removal`: a Newton step of the head, with a proof for the head."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import Deployed, Kind, MethodParams, Need


class CertifiedRemovalParams(MethodParams):
    """Fit the last layer anew on all of D, under noise, then take D_f out of it by a Newton step.

    The layers below stay as they are, and with them all that they have learned from D_f. Only of a network that is one
    linear layer the proof is about everything.
    """

    serves: ClassVar[frozenset[Kind]] = frozenset({Kind.SAMPLES, Kind.SUBJECTS, Kind.CLASS})
    paper: ClassVar[str] = "Guo et al., Certified Data Removal from Machine Learning Models, 2020"
    guarantee: ClassVar[str] = (
        "with noise, (ε, δ)-certified removal from the last layer, and from that alone, at the ε and δ of the"
        " parameters: given the features, its weights are as probable, up to the factor e^ε and δ, as if it had been"
        " fitted under the same noise to D_r only. The features were learned with D_f: about them nothing is proven. It"
        " holds against whoever does not know the request's seed nor earlier heads, up to rounding, if the parameters"
        " were chosen without D_f. Without noise, none: the norm of the gradient on D_r is reported, which is 0 for"
        " the optimum on D_r"
    )

    name: Literal["certified_removal"] = "certified_removal"
    loss: Literal["one_vs_rest", "multinomial"] = "one_vs_rest"
    """A logistic regression for each class, as in the paper; or one for all, whose Hessian is larger by the number of
    classes."""
    strength: Annotated[float, Field(title="λ", gt=0, le=1e6)] = 1e-3
    """Of the regularisation λ/2·‖W‖² of every sample's loss, the bias included."""
    noise: Annotated[float, Field(title="σ", ge=0, le=1e6)] = 1.0
    """Deviation of the random linear term under which the head is fitted; 0: no noise, no ε."""
    epsilon: Annotated[float, Field(title="ε", gt=0, le=1e6)] = 1.0
    delta: Annotated[float, Field(title="δ", gt=0, lt=1)] = 1e-5
    """Should be well below one in the number of samples."""
    steps: Annotated[int, Field(ge=1, le=100)] = 10
    """Newton steps at most. The first is the paper's; more are taken only while the gradient exceeds what ε allows."""
    largest_hessian: Annotated[int, Field(ge=1, le=10_000_000_000)] = 100_000_000
    """Entries of the Hessian, of 8 bytes, beyond which the job is refused."""

    def needs(self, kind: Kind) -> frozenset[Need]:  # noqa: ARG002 - the same for every kind it serves
        """D_f and D_r, and nothing that was stored."""
        return frozenset({Need.FORGET, Need.RETAIN})

    def misfit(self, deployed: Deployed) -> str | None:
        """There must be one head."""
        return None if deployed.architecture.isolated == 1 else "the model has a last layer for every shard"
