"""Parameters of `sisa`: networks on disjoint shards of the data, answering together."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from app.architectures.mlp import MlpParams
from app.architectures.resnet18 import Resnet18Params
from app.architectures.small_cnn import SmallCnnParams
from app.architectures.text_bag import TextBagParams
from app.architectures.vgg16 import Vgg16Params
from app.architectures.vit import VitParams
from app.core.params import ArchitectureParams


class SisaNetworkParams(ArchitectureParams):
    """`shards` networks of one family, each trained on its own share of the samples; the mean of their probabilities.

    A sample belongs to shard h mod `shards`, where h is what is left of the first 8 bytes, big-endian, of the SHA-256
    of the text "0/shard/{position}" after a shift to the right by one bit, and the position is the sample's row in the
    data set's manifest, from 0. Who trains elsewhere must split the same way.
    """

    paper: ClassVar[str] = "Bourtoule et al., Machine Unlearning, 2021 (sharded, isolated, aggregated; without slices)"

    name: Literal["sisa"] = "sisa"
    input_shape: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, max_length=3)]
    """That of the member."""
    classes: Annotated[int, Field(ge=2, le=100_000)]
    """Those of the member."""
    member: Annotated[
        MlpParams | Resnet18Params | SmallCnnParams | TextBagParams | Vgg16Params | VitParams,
        Field(discriminator="name"),
    ]
    """The family of the networks."""
    shards: Annotated[int, Field(ge=2, le=1024)] = 5
    """The more, the less is trained again for a sample, and the less each network knows."""

    @model_validator(mode="after")
    def _members_fit(self) -> Self:
        if (self.member.input_shape, self.member.classes) != (self.input_shape, self.classes):
            raise ValueError("the member must have the same input_shape and classes as the whole")
        return self

    @property
    def weight_count(self) -> int:
        """Those of a member, for each shard."""
        return self.shards * self.member.weight_count

    @property
    def known_words(self) -> int | None:
        """Those of a member."""
        return self.member.known_words

    @property
    def isolated(self) -> int:
        """One for each shard."""
        return self.shards
