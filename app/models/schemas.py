"""Models, versions and aliases on the wire."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from app.catalogue.unions import AnyArchitecture
from app.datasets.schemas import FilePath
from app.domain.drift import Drift, DriftBudget
from app.domain.lifecycle import VersionStatus
from app.jobs.schemas import ProgressOut
from app.web.text import Name, Ref, id_pattern

VersionId = Annotated[str, Field(pattern=id_pattern("mv"))]
Role = Literal["candidate", "gold"]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class Words(_Closed):
    """A text is the sequence of its words: letters and digits in a row, in lower case, and every other sign by itself.

    A word is the number 1 + h mod (vocabulary - 1), where h is what is left of the first 8 bytes, big-endian, of its
    BLAKE2b (of 8 bytes, without a key, of the word in UTF-8 after NFKC) after a shift to the right by one bit, at
    least 1. Texts that are longer are cut, shorter ones padded with 0; of a text a million characters are read.
    """

    length: Annotated[int, Field(ge=1, le=16_384)]
    """Words that the network sees."""
    vocabulary: Annotated[int, Field(ge=2, le=2_000_000)]
    """Numbers for words: the more, the fewer words share one."""


class Preprocessing(_Closed):
    """Images are scaled to [0, 1]; then (x - mean) / std: one number, or one for each channel. Texts become words."""

    mean: Annotated[list[Annotated[float, Field(ge=-1e6, le=1e6)]], Field(min_length=1, max_length=65_536)] = [0.0]
    std: Annotated[list[Annotated[float, Field(gt=0, le=1e6)]], Field(min_length=1, max_length=65_536)] = [1.0]
    words: Words | None = None
    """Of texts, and only of them."""

    @model_validator(mode="after")
    def _of_numbers_or_of_words(self) -> Self:
        if self.words is not None and (self.mean, self.std) != ([0.0], [1.0]):
            raise ValueError("words have no mean and no std: leave them out")
        if self.words is None and not {"mean", "std"} <= self.model_fields_set:
            raise ValueError("give mean and std, or for texts words")
        return self


class HorizontalFlip(_Closed):
    """Left becomes right, for every image with probability ½."""

    name: Literal["horizontal_flip"] = "horizontal_flip"


class RandomCrop(_Closed):
    """A window of the image's own size, anywhere in the image with a margin of black around it."""

    name: Literal["random_crop"] = "random_crop"
    padding: Annotated[int, Field(ge=1, le=1024)] = 4
    """Pixels of the margin on each side; less than the image's shorter side has."""


Augmentation = Annotated[HorizontalFlip | RandomCrop, Field(discriminator="name")]


class TrainingRecipe(_Closed):
    """How the model was trained: what a gold retraining needs, which does exactly this."""

    optimizer: Literal["sgd", "adam"] = "sgd"
    learning_rate: Annotated[float, Field(gt=0, le=100)]
    """At its peak."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """β₁, where the optimizer is Adam; its β₂ is 0.999."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Added to the gradient, by Adam too."""
    epochs: Annotated[int, Field(ge=1, le=100_000)]
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 256
    schedule: Literal["cosine", "constant"] = "cosine"
    clip: Annotated[float | None, Field(gt=0, le=1e9)] = None
    """Largest norm of the gradient."""
    loss: Literal["cross_entropy", "sd"] = "cross_entropy"
    """`sd`: cross entropy plus γ times the mean over the batch of the standard deviation of a sample's logits."""
    sd_strength: Annotated[float | None, Field(title="γ", gt=0, le=1e6, validate_default=True)] = None
    """Of the loss `sd`, which must have it; no other has."""
    augmentation: Annotated[list[Augmentation], Field(max_length=2)] = []
    """What is done to the images of every batch, in this order; each at most once."""
    initial_seed: Annotated[int | None, Field(ge=0, lt=2**63)] = None
    """The seed from which this service's factory built the initial weights; leave it out if trained elsewhere."""

    @field_validator("sd_strength")
    @classmethod
    def _belongs_to_its_loss(cls, strength: float | None, info: ValidationInfo) -> float | None:
        if strength is None and info.data.get("loss") == "sd":
            raise PydanticCustomError("missing", "The loss sd has a strength")
        if strength is not None and info.data.get("loss") == "cross_entropy":
            raise ValueError("only the loss sd has a strength")
        return strength

    @field_validator("augmentation")
    @classmethod
    def _once_each(cls, steps: list[Augmentation]) -> list[Augmentation]:
        if len({step.name for step in steps}) < len(steps):
            raise ValueError("each at most once")
        return steps


class ModelIn(_Closed):
    """A model to be registered."""

    name: Name
    task: Literal["classification"] = "classification"
    architecture: AnyArchitecture
    preprocessing: Preprocessing
    recipe: TrainingRecipe | None = None
    """Without it nothing can be retrained."""
    dataset: Ref
    """The data set that it was trained on."""
    drift_budget: DriftBudget | None = None
    """When unlearning has spent it, `auto` retrains."""


class ModelOut(BaseModel):
    """A registered model."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    id: str
    name: str
    task: str
    architecture: dict[str, Any]
    preprocessing: Preprocessing
    recipe: TrainingRecipe | None
    dataset_id: str
    drift_budget: DriftBudget | None
    queue_paused_at: datetime | None
    """Since then, forget requests for it wait."""
    created_at: datetime


class VersionIn(_Closed):
    """Weights that lie on the service's machine."""

    path: FilePath
    """A safetensors file; it is copied."""
    initial_weights_path: FilePath | None = None
    """The weights before training, with the same names, types and shapes."""
    deltas_path: FilePath | None = None
    """What each step of the training did, as `unlearn train --record-deltas` writes it; the weights before training
    must be known too, so that it can be checked."""
    role: Role = "candidate"
    """`candidate`: may be deployed. `gold`: a retrained reference for audits."""
    parent: VersionId | None = None
    sha256: Sha256 | None = None
    """If given, the file at `path` must have it."""


class FisherIn(_Closed):
    """How a Fisher diagonal shall be computed."""

    shards: Annotated[int, Field(ge=1, le=64, strict=True)] = 1
    """Jobs that share the pass over the training data, on as many workers as are free."""


class FisherOut(BaseModel):
    """The stored Fisher diagonal: `pending` while jobs compute it."""

    status: Literal["ready", "pending", "none"]
    count: int | None
    """Samples that it is a mean over."""
    progress: ProgressOut | None
    """Of the job of the version, while it is pending: samples, or shards that are done."""


class PurgeDecision(BaseModel):
    """Somebody's word that a version shall be destroyed."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    by: str
    """The id of the API key."""
    at: datetime
    reason: str


class VersionOut(BaseModel):
    """One version of a model."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    model_id: str
    number: int
    role: Role
    parent_id: str | None
    made_by_job_id: str | None
    status: VersionStatus
    status_reason: str | None
    status_detail: str | None
    weights_sha256: str
    weights_bytes: int
    initial_weights_sha256: str | None
    deltas_sha256: str | None
    silenced_classes: list[int]
    drift: Drift
    """What unlearning has added up to since the newest ancestor that was trained from scratch."""
    job_id: str | None
    fisher: FisherOut
    purge_decisions: list[PurgeDecision]
    """Who wants it destroyed; as many different keys as the model's policy asks for make it `purged`."""
    destroyed_at: datetime | None
    """Of a purged version: since then its files are gone."""
    created_at: datetime


class AliasIn(_Closed):
    """Where an alias shall point."""

    version: VersionId


class AliasOut(BaseModel):
    """A name that points to a version; `revision` is its ETag."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    model_id: str
    version_id: str
    revision: int


class AliasChangeOut(BaseModel):
    """One change of an alias."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    version_id: str
    revision: int
    changed_by: str
    changed_at: datetime
