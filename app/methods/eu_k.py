"""Parameters of `eu_k`: the last layers again from the start."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import FEATURE_KINDS, Kind, MethodParams, Need
from app.core.spaces import FloatRange, IntRange, Space


class EuKParams(MethodParams):
    """Train the last k layers again from a fresh initialisation, on what is kept; the layers below stay as they are.

    The layers below have seen D_f. Where much of what is remembered lies in the last layers, as in networks that end
    in linear ones, random samples come nearer to retraining than by fine-tuning.
    """

    serves: ClassVar[frozenset[Kind]] = frozenset(Kind)
    paper: ClassVar[str] = (
        "Goel, Prabhu, Sanyal, Lim, Torr & Kumaraguru, Towards Adversarial Evaluations for Inexact Machine Unlearning,"
        " 2022 (EU-k)"
    )
    guarantee: ClassVar[str] = "none: only the last layers were trained anew, those below have learned from D_f"
    space: ClassVar[Space] = {
        "layers": IntRange(low=1, high=3),
        "rate_factor": FloatRange(low=0.1, high=3.0, log=True),
        "epochs": IntRange(low=2, high=30, log=True),
    }

    name: Literal["eu_k"] = "eu_k"
    layers: Annotated[int, Field(title="k", ge=1, le=1000)] = 2
    """How many layers with weights, from the answer backwards; with all of them it is retraining."""
    rate_factor: Annotated[float, Field(gt=0, le=100)] = 1.0
    """The first learning rate, in peak rates of the registered recipe; it falls to 0 by a cosine."""
    epochs: Annotated[int | None, Field(ge=1, le=1000)] = None
    """Passes over what is kept; by default as many as the recipe has."""

    def needs(self, kind: Kind) -> frozenset[Need]:
        """D_r and the recipe, and never D_f; D_f,clean too where only a feature of the samples is forgotten."""
        clean = {Need.FORGET_CLEAN} if kind in FEATURE_KINDS else set()
        return frozenset({Need.RETAIN, Need.RECIPE} | clean)
