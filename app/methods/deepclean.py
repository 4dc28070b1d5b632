"""Parameters of `deepclean`: reset and fine-tune only the weights that matter to D_f."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from app.core.params import Kind, MethodParams, Need
from app.core.spaces import FloatRange, IntRange, Space


class DeepCleanParams(MethodParams):
    """Reset the weights whose Fisher ratio F_Df / F_Dr is largest; fine-tune only those on D_r."""

    serves: ClassVar[frozenset[Kind]] = frozenset({Kind.SAMPLES, Kind.SUBJECTS, Kind.CLASS})
    paper: ClassVar[str] = (
        "Shi et al., DeepClean: Machine Unlearning on the Cheap by Resetting Privacy Sensitive Weights, 2023"
    )
    space: ClassVar[Space] = {
        "fraction": FloatRange(low=0.05, high=0.6),
        "epochs": IntRange(low=1, high=5),
        "learning_rate": FloatRange(low=1e-3, high=0.2, log=True),
    }

    name: Literal["deepclean"] = "deepclean"
    fraction: Annotated[float | None, Field(gt=0, lt=1)] = None
    """Share of all weights to select, those with the largest ratio; 0.2 unless `gamma` is given."""
    gamma: Annotated[float | None, Field(title="γ", gt=0)] = None
    """Select by threshold on the ratio instead. It does not transfer between requests; `fraction` does."""
    reset: Literal["initial", "zero", "none"] = "initial"
    """What the selected weights are set to before fine-tuning."""
    epochs: Annotated[int | None, Field(ge=1, le=1000)] = None
    """Epochs of fine-tuning on D_r; by default 1 for a class and 3 for samples and subjects."""
    learning_rate: Annotated[float | None, Field(gt=0, le=10)] = None
    """By default the peak learning rate of the registered recipe."""

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if self.fraction is not None and self.gamma is not None:
            raise ValueError("give fraction or gamma, not both")
        return self

    def needs(self, kind: Kind) -> frozenset[Need]:  # noqa: ARG002 - the same for every kind it serves
        """D_f, D_r, the stored Fisher, the recipe; the initial weights where they are reset to."""
        initial = {Need.INITIAL_WEIGHTS} if self.reset == "initial" else set()
        return frozenset({Need.FORGET, Need.RETAIN, Need.FISHER, Need.RECIPE} | initial)
