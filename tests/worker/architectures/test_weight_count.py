"""The API knows how large a network is without building it."""

import pytest

from app.architectures.mlp import MlpParams
from app.architectures.resnet18 import Resnet18Params
from app.architectures.sisa import SisaNetworkParams
from app.architectures.small_cnn import SmallCnnParams
from app.architectures.text_bag import TextBagParams
from app.architectures.vgg16 import Vgg16Params
from app.architectures.vit import VitParams
from app.catalogue.unions import ARCHITECTURES
from app.core.params import ArchitectureParams
from worker import registry

NETWORKS: list[ArchitectureParams] = [
    MlpParams(input_shape=(1, 4, 4), classes=3, layers=4),
    MlpParams(input_shape=(7,), classes=3, layers=1),
    MlpParams(input_shape=(7,), classes=3, layers=2, width=5),
    SmallCnnParams(input_shape=(3, 9, 13), classes=4, width=5, hidden=6),
    Resnet18Params(input_shape=(3, 32, 32), classes=10, width=4),
    SisaNetworkParams(
        input_shape=(7,), classes=3, shards=3, member=MlpParams(input_shape=(7,), classes=3, layers=2, width=5)
    ),
    TextBagParams(input_shape=(9,), classes=3, vocabulary=20, width=4, hidden=5),
    Vgg16Params(input_shape=(3, 32, 33), classes=5, width=2),
    VitParams(input_shape=(3, 8, 12), classes=5, patch=4, depth=2, width=6, heads=3, mlp_ratio=2),
]


@pytest.mark.parametrize("params", NETWORKS, ids=lambda p: p.name)
def test_the_count_is_that_of_the_network(params: ArchitectureParams) -> None:
    assert params.weight_count == sum(p.numel() for p in registry.builder(params)(0).parameters())


def test_every_architecture_is_counted() -> None:
    assert {type(p) for p in NETWORKS} == set(ARCHITECTURES)


def test_a_network_that_would_take_all_memory_does_not_fit() -> None:
    huge = MlpParams(input_shape=(784,), classes=10, layers=64, width=65_536)
    assert "more than" in (huge.misfit((784,), 10) or "")
