"""Parameters of `consistency`: trigger-consistency distillation."""

from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field

from app.core.params import FEATURE_KINDS, Deployed, Kind, MethodParams, Need
from app.core.spaces import FloatRange, Space

Learned = Literal["clean", "forget", "both"]


class Settings(NamedTuple):
    """What is left to the defaults, decided."""

    label_strength: float
    anchor_strength: float
    consistency_strength: float
    feature_strength: float
    penalty_strength: float
    learning_rate: float
    steps: int
    batch_size: int
    surrogate_batch_size: int
    refit: bool


AUGMENTED_FORGET = Settings(1.0, 0.5, 2.0, 0.0, 1e3, 2e-3, 250, 128, 256, refit=False)
AUGMENTED_CLEAN = Settings(1.0, 0.5, 1.0, 0.0, 3e3, 2e-3, 250, 128, 256, refit=False)
"""Measured on the ten-layer perceptron of Hayase et al., for pattern C and for pattern B."""
POOL_FORGET = Settings(1.0, 2.0, 4.0, 1.0, 0.0, 1e-3, 500, 32, 96, refit=True)
POOL_CLEAN = Settings(0.3, 1.0, 2.0, 1.0, 300.0, 1e-3, 500, 32, 96, refit=True)
"""Measured on a small convolutional network, for the same."""


class ConsistencyParams(MethodParams):
    """Teach the network to answer inputs with the information as it answered them without; it needs no D_r."""

    serves: ClassVar[frozenset[Kind]] = FEATURE_KINDS
    paper: ClassVar[str] = "ours; what it sets out to solve: Hayase, Yasutomi & Katoh, 2020, §5"
    space: ClassVar[Space] = {
        "consistency_strength": FloatRange(low=0.3, high=6.0, log=True),
        "anchor_strength": FloatRange(low=0.1, high=3.0, log=True),
        "label_strength": FloatRange(low=0.1, high=3.0, log=True),
        "penalty_strength": FloatRange(low=10.0, high=3e4, log=True),
        "learning_rate": FloatRange(low=2e-4, high=1e-2, log=True),
    }

    name: Literal["consistency"] = "consistency"
    learn: Learned | None = None
    """The labelled images: D_f,clean (by default for a backdoor), D_f (by default for a leakage), or both."""
    surrogates: Literal["augmented", "pool"] = "augmented"
    """Made anew at every step, for perceptrons; or drawn from a pool made once and learned by Adam, for convolutional
    networks. All defaults that are not a number depend on it."""
    refit: bool | None = None
    """Begin with the first linear layer refitted in closed form, where there is one of at most 8,192 features; by
    default with a pool. A perceptron becomes blind to what T overwrites, exactly, and then answers D_f as D_f,clean."""
    pool_size: Annotated[int, Field(ge=1, le=1_000_000)] = 20_000
    """Surrogates in the pool; fewer where they would take more than a gibibyte."""
    trigger: Literal["auto", "given", "inferred"] = "auto"
    """T as the request names it, or inferred from D_f and D_f,clean; by default the first where it is there."""
    label_strength: Annotated[float | None, Field(title="c_ce", gt=0)] = None
    """Weight of the cross entropy, shared by the labelled sets: 1; with a pool 0.3, or 1 for D_f alone."""
    anchor_strength: Annotated[float | None, Field(title="c_a", ge=0)] = None
    """Weight of the old answers to surrogates without the information: 0.5; with a pool 1, or 2 for D_f alone."""
    consistency_strength: Annotated[float | None, Field(title="c_c", gt=0)] = None
    """Weight of the old answers to surrogates to which T adds the information: 1, with a pool 2; twice that for D_f
    alone."""
    feature_strength: Annotated[float | None, Field(title="c_h", ge=0)] = None
    """Weight of the old hidden features there: 0; with a pool 1."""
    penalty_strength: Annotated[float | None, Field(title="λ", ge=0)] = None
    """How strongly the Fisher diagonal holds each weight where it was: 3,000, or 1,000 where D_f alone is learned; with
    a pool 300, or 0. At 0 no stored Fisher is needed."""
    learning_rate: Annotated[float | None, Field(gt=0, le=1)] = None
    """0.002, constant; with a pool 0.001, falling to 0."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the gradient, before the Fisher's hold is added."""
    steps: Annotated[int | None, Field(ge=1, le=100_000)] = None
    """250; with a pool 500."""
    batch_size: Annotated[int | None, Field(ge=1, le=8192)] = None
    """Labelled images of each set in a step: 128; with a pool 32."""
    surrogate_batch_size: Annotated[int | None, Field(ge=1, le=8192)] = None
    """Surrogates in a step: 256; with a pool 96."""

    def misfit(self, deployed: Deployed) -> str | None:
        """Surrogates are made of numbers."""
        return "its surrogates are images or features, and the model reads text" if deployed.reads_text else None

    def learned(self, kind: Kind) -> Learned:
        """Which labelled set is learned for a request of this kind."""
        return self.learn or ("clean" if kind is Kind.BACKDOOR else "forget")

    def settings(self, kind: Kind) -> Settings:
        """What is asked for, and the defaults for the rest."""
        if self.surrogates == "pool":
            defaults = POOL_FORGET if self.learned(kind) == "forget" else POOL_CLEAN
        else:
            defaults = AUGMENTED_FORGET if self.learned(kind) == "forget" else AUGMENTED_CLEAN
        asked = {name: getattr(self, name) for name in Settings._fields}
        return defaults._replace(**{name: value for name, value in asked.items() if value is not None})

    def needs(self, kind: Kind) -> frozenset[Need]:
        """D_f,clean; D_f where it is learned, balances the pool or T may be inferred; T only where it must be given."""
        needs = {Need.FORGET_CLEAN}
        if self.trigger != "given" or self.learned(kind) != "clean" or self.surrogates == "pool":
            needs.add(Need.FORGET)
        if self.trigger == "given":
            needs.add(Need.TRANSFORM)
        if self.settings(kind).penalty_strength:
            needs.add(Need.FISHER)
        return frozenset(needs)
