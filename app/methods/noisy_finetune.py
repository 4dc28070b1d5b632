"""Parameters of `noisy_finetune`: clipped noisy descent on D_r, with a proof."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import FEATURE_KINDS, Kind, MethodParams, Need


class NoisyFinetuneParams(MethodParams):
    """Drown what is left of D_f in noise, as much as (ε, δ) asks for, and go on training on what is kept.

    The noise for a small ε leaves next to nothing of a large network: then it costs what retraining does.
    """

    serves: ClassVar[frozenset[Kind]] = frozenset(Kind)
    paper: ClassVar[str] = "Koloskova et al., Certified Unlearning for Neural Networks, 2025 (gradient clipping)"
    guarantee: ClassVar[str] = (
        "(ε, δ)-unlearning at the ε and δ of the parameters: the new weights are as probable, up to the factor e^ε and"
        " δ, as if the same procedure had started from any other weights, those of a model that never saw D_f among"
        " them. It holds for the weights alone, against whoever does not know the request's seed nor the deployed"
        " weights, up to rounding, if the recipe and the parameters were chosen without D_f"
    )

    name: Literal["noisy_finetune"] = "noisy_finetune"
    epsilon: Annotated[float, Field(title="ε", gt=0, le=1e6)] = 1.0
    delta: Annotated[float, Field(title="δ", gt=0, lt=1)] = 1e-5
    """Should be well below one in the number of samples."""
    steps: Annotated[int, Field(title="T", ge=1, le=100_000)] = 10
    """Steps with noise."""
    radius: Annotated[float | None, Field(title="C₀", gt=0)] = None
    """The deployed weights are first scaled down to this norm; by default so that the noise is as large as a fresh
    network's weights."""
    clip: Annotated[float | None, Field(title="C₁", gt=0)] = None
    """Largest norm of a gradient in the steps with noise; by default likewise."""
    decay: Annotated[float, Field(title="λ", ge=0)] = 0.0
    """Weight decay in the steps with noise, in which it forgets the start; times the learning rate, below 1."""
    rate_factor: Annotated[float, Field(gt=0, le=100)] = 1.0
    """The learning rate, in peak rates of the recipe: constant under noise, afterwards falling to 0 by a cosine."""
    epochs: Annotated[int, Field(ge=0, le=1000)] = 5
    """Passes over what is kept, without noise and clipping: they cannot undo what is proven."""

    def needs(self, kind: Kind) -> frozenset[Need]:
        """D_r and the recipe, and never D_f; D_f,clean too where only a feature of the samples is forgotten."""
        clean = {Need.FORGET_CLEAN} if kind in FEATURE_KINDS else set()
        return frozenset({Need.RETAIN, Need.RECIPE} | clean)
