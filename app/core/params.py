"""The base of everything a caller may parametrise: methods, metrics, architectures and transforms."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from app.core.spaces import Space


class Kind(StrEnum):
    """What a forget request names; `target.kind` on the wire."""

    SAMPLES = "samples"
    SUBJECTS = "subjects"
    CLASS = "class"
    BACKDOOR = "backdoor"
    LEAKAGE = "leakage"


FEATURE_KINDS = frozenset({Kind.BACKDOOR, Kind.LEAKAGE})
"""Kinds that forget something *in* the samples (patterns B and C of Hayase et al.), not the samples (pattern A)."""


class InputKind(StrEnum):
    """What the inputs of a data set are; `input_kind` on the wire."""

    IMAGES = "images"
    FEATURES = "features"
    TEXT = "text"


WEIGHT_LIMIT = 2_000_000_000
"""Weights of the largest network that may be registered: a document of a few bytes must not ask for all memory."""


class Need(StrEnum):
    """What a method must be given beyond the deployed weights."""

    FORGET = "forget"  # D_f
    FORGET_CLEAN = "forget_clean"  # D_f without the information
    RETAIN = "retain"  # D_r
    HELD_OUT = "held_out"  # data like D, neither trained on nor audited on: split "validation"
    FISHER = "fisher"  # the stored Fisher diagonal of the version
    INITIAL_WEIGHTS = "initial_weights"  # the weights before training, or the seed that builds them
    DELTAS = "deltas"  # what each step of the training did, and the samples of its batch
    RECIPE = "recipe"  # how the model was trained
    TRANSFORM = "transform"  # T, which adds the information that must be forgotten


class AuditNeed(StrEnum):
    """What a metric must be given beyond the two models and what is forgotten."""

    HELD_OUT = "held_out"  # rows of split `test`
    GOLD = "gold"  # models retrained without what is forgotten
    RECIPE = "recipe"  # how the model was trained
    SGD = "sgd"  # that it was trained by SGD
    INITIAL_WEIGHTS = "initial_weights"  # the weights before training, or the seed that builds them
    METHOD = "method"  # what made the model after, to be carried out again: a forget request, no stand-alone audit


class Params(BaseModel):
    """Frozen, closed, finite: an unknown key, a NaN or an infinity is an error that names the field."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, validate_default=True
    )


class MethodParams(Params):
    """Parameters of one unlearning method."""

    serves: ClassVar[frozenset[Kind]]
    """The kinds of request it can carry out."""
    paper: ClassVar[str]
    """Where the method comes from."""
    guarantee: ClassVar[str] = "none: the effect is measured, not proven"
    """What is proven about the result, if anything."""
    changes_weights: ClassVar[bool] = True
    """False only for output filters, which are never reported as unlearning."""
    random: ClassVar[bool] = True
    """Whether another seed gives other weights."""
    space: ClassVar[Space] = {}
    """Where a search looks for better values; empty: there is nothing to search for."""

    def needs(self, kind: Kind) -> frozenset[Need]:
        """What must be there to carry out a request of this kind with these parameters."""
        raise NotImplementedError

    def misfit(self, deployed: "Deployed") -> str | None:  # noqa: ARG002 - most fit everything
        """Why it cannot work on this model, whatever is stored beside it; None if it can."""
        return None


class MetricParams(Params):
    """Parameters of one audit metric."""

    serves: ClassVar[frozenset[Kind]] = frozenset(Kind)
    paper: ClassVar[str]

    def needs(self) -> frozenset[AuditNeed]:
        """What must be there to measure it with these parameters."""
        return frozenset()


class ArchitectureParams(Params):
    """Parameters of one network family; with them and a seed the initial weights are determined."""

    paper: ClassVar[str]
    input_shape: tuple[int, ...]
    classes: int

    @property
    def weight_count(self) -> int:
        """How many weights a network of these parameters has, so that nobody need build it to find out."""
        raise NotImplementedError

    @property
    def known_words(self) -> int | None:
        """How many words it tells apart, where it reads text; None: it takes numbers."""
        return None

    @property
    def isolated(self) -> int:
        """Of how many networks it is made that were each trained on samples of their own; 1: it is one network."""
        return 1

    def misfit(self, shape: tuple[int, ...], classes: int) -> str | None:
        """Why inputs of this shape (C, H, W; D; or L words) cannot be classified by it; None if they can."""
        if shape != self.input_shape:
            return f"the data has inputs of shape {shape}, the network takes {self.input_shape}"
        if classes > self.classes:
            return f"the data has {classes} classes, the network {self.classes}"
        if self.weight_count > WEIGHT_LIMIT:
            return f"the network would have {self.weight_count:,} weights, more than {WEIGHT_LIMIT:,}"
        return None


@dataclass(frozen=True)
class Deployed:
    """What is known, before anything is loaded, about the version that shall forget."""

    architecture: ArchitectureParams
    samples: int
    """In the training split."""
    methods: frozenset[str] = frozenset()
    """Names of the methods that it and the versions it descends from came out of."""
    optimizer: str | None = None
    """That of the recipe; None without one."""

    @property
    def reads_text(self) -> bool:
        """Whether its inputs are words: names, between which there is nothing."""
        return self.architecture.known_words is not None


class TransformParams(Params):
    """Parameters of one transform T that adds the information to be forgotten to an input."""

    paper: ClassVar[str]

    @property
    def takes(self) -> InputKind:
        """Of what it is a transform."""
        return InputKind.IMAGES

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """Why T cannot be applied to inputs of this shape (C, H, W; D; or L words); None if it can."""
        raise NotImplementedError
