"""What every architecture promises: parameters and a seed determine the network."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

from app.architectures.mlp import MlpParams
from app.architectures.resnet18 import Resnet18Params
from app.architectures.small_cnn import SmallCnnParams
from app.architectures.vgg16 import Vgg16Params
from app.architectures.vit import VitParams
from worker.architectures import mlp, resnet18, small_cnn, vgg16, vit
from worker.numerics.weights import Build

BUILDERS = {
    "mlp": (partial(mlp.build, MlpParams(input_shape=(1, 6, 5), classes=4, layers=4)), (1, 6, 5)),
    "mlp on features": (partial(mlp.build, MlpParams(input_shape=(7,), classes=4, layers=1, width=9)), (7,)),
    "small_cnn": (partial(small_cnn.build, SmallCnnParams(input_shape=(2, 7, 4), classes=4, width=3)), (2, 7, 4)),
    "resnet18": (partial(resnet18.build, Resnet18Params(input_shape=(3, 8, 8), classes=4, width=2)), (3, 8, 8)),
    "vgg16": (partial(vgg16.build, Vgg16Params(input_shape=(3, 32, 32), classes=4, width=2)), (3, 32, 32)),
    "vit": (
        partial(vit.build, VitParams(input_shape=(3, 8, 4), classes=4, patch=2, depth=2, width=6, heads=2)),
        (3, 8, 4),
    ),
}
every_builder = pytest.mark.parametrize(("build", "shape"), BUILDERS.values(), ids=BUILDERS)


@every_builder
def test_inputs_become_one_logit_for_each_class(build: Build, shape: tuple[int, ...]) -> None:
    logits = build(0).eval()(torch.rand(3, *shape))
    assert logits.shape == (3, 4)
    assert logits.isfinite().all()


@every_builder
def test_a_seed_gives_the_same_weights_whatever_was_drawn_before(build: Build, shape: tuple[int, ...]) -> None:
    torch.rand(shape)
    first = build(5).state_dict()
    torch.rand(11)
    again = build(5).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())


@every_builder
def test_building_leaves_the_global_generator_where_it_was(build: Build, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    expected = torch.rand(shape)
    torch.manual_seed(0)
    build(5)
    assert torch.equal(torch.rand(shape), expected)


@every_builder
def test_another_seed_gives_other_weights(build: Build, shape: tuple[int, ...]) -> None:
    del shape
    first, other = build(5).state_dict(), build(6).state_dict()
    weights = [name for name, tensor in first.items() if tensor.dim() > 1]
    assert weights
    assert not any(torch.equal(first[name], other[name]) for name in weights)


@every_builder
def test_two_networks_share_no_memory(build: Build, shape: tuple[int, ...]) -> None:
    del shape
    alive = [build(5).state_dict(), build(5).state_dict()]
    first, again = ({t.untyped_storage().data_ptr() for t in state.values()} for state in alive)
    assert not first & again


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("build", "count"),
    [
        (partial(mlp.build, MlpParams(input_shape=(1, 28, 28), classes=10)), 9 * (784 * 784 + 784) + 7850),
        (partial(small_cnn.build, SmallCnnParams(input_shape=(1, 28, 28), classes=10)), 421_642),
        (partial(resnet18.build, Resnet18Params(input_shape=(3, 32, 32), classes=10)), 11_173_962),  # as published
        (partial(vgg16.build, Vgg16Params(input_shape=(3, 32, 32), classes=10)), 14_728_266),  # as published, one head
        (
            partial(  # ViT-B/16, as published
                vit.build,
                VitParams(input_shape=(3, 224, 224), classes=1000, patch=16, depth=12, width=768, heads=12),
            ),
            86_567_656,
        ),
    ],
)
def test_the_default_has_as_many_parameters_as_its_formula_says(build: Callable[[int], nn.Module], count: int) -> None:
    assert parameters(build(0)) == count


def test_the_perceptron_is_orthogonal_with_zero_biases() -> None:
    weights = mlp.build(MlpParams(input_shape=(12,), classes=4), 3).state_dict()
    for name, tensor in weights.items():
        if name.endswith("bias"):
            assert not tensor.any()
        else:
            torch.testing.assert_close(tensor @ tensor.T, torch.eye(len(tensor)), rtol=0, atol=1e-5)


def test_the_activation_is_continuous_with_gain_and_limit() -> None:
    """1/s = √8 ≈ 2.828, reached at √8/1.0013."""
    phi, edge = mlp.HardTanh(), 8**0.5 / 1.0013
    x = torch.tensor([-9.0, -edge, -1.0, 0.0, 1.0, edge, 9.0])
    torch.testing.assert_close(phi(x), torch.tensor([-(8**0.5), -(8**0.5), -1.0013, 0.0, 1.0013, 8**0.5, 8**0.5]))


def test_the_residual_network_halves_the_image_three_times_and_not_in_the_stem() -> None:
    network = resnet18.build(Resnet18Params(input_shape=(3, 32, 32), classes=10, width=4), 0).eval()
    sizes: list[int] = []
    for name in ("conv1", "layer1", "layer2", "layer3", "layer4"):
        network.get_submodule(name).register_forward_hook(lambda _m, _a, out: sizes.append(out.shape[-1]))
    network(torch.rand(1, 3, 32, 32))
    assert sizes == [32, 32, 16, 8, 4]


def test_the_plain_network_halves_the_image_after_every_stage() -> None:
    network = vgg16.build(Vgg16Params(input_shape=(3, 32, 64), classes=10, width=1), 0).eval()
    sizes: list[tuple[int, ...]] = []
    for stage in range(1, 6):
        network.get_submodule(f"pool{stage}").register_forward_hook(lambda _m, _a, out: sizes.append(out.shape[1:]))
    assert network(torch.rand(2, 3, 32, 64)).shape == (2, 10)
    assert sizes == [(1, 16, 32), (2, 8, 16), (4, 4, 8), (8, 2, 4), (8, 1, 2)]


def test_the_plain_network_has_sixteen_layers_less_two_of_the_head() -> None:
    network = vgg16.build(Vgg16Params(input_shape=(3, 32, 32), classes=10, width=1), 0)
    assert sum(isinstance(module, nn.Conv2d | nn.Linear) for module in network.modules()) == 16 - 2


def test_the_transformer_computes_what_its_equations_say() -> None:
    """Against torch's own pre-norm encoder layer, given the same weights."""
    network = vit.build(VitParams(input_shape=(1, 4, 4), classes=3, patch=2, depth=1, width=8, heads=2), 0).double()
    for parameter in network.parameters():
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(parameter.numel()))
    own = network.get_submodule("blocks.0").state_dict()
    block = nn.TransformerEncoderLayer(
        8, 2, 32, dropout=0, activation="gelu", batch_first=True, norm_first=True, dtype=torch.float64
    )
    names = {
        "attention.qkv.weight": "self_attn.in_proj_weight",
        "attention.qkv.bias": "self_attn.in_proj_bias",
        "attention.projection": "self_attn.out_proj",
        "mlp.0": "linear1",
        "mlp.2": "linear2",
    }
    block.load_state_dict(
        {next((name.replace(a, b) for a, b in names.items() if name.startswith(a)), name): t for name, t in own.items()}
    )
    tokens = torch.rand(3, 5, 8, dtype=torch.float64)
    torch.testing.assert_close(network.get_submodule("blocks.0")(tokens), block(tokens))


def test_the_transformer_sees_where_a_patch_is() -> None:
    network = vit.build(VitParams(input_shape=(1, 4, 4), classes=3, patch=2, depth=1, width=8, heads=2), 0)
    image = torch.rand(1, 1, 4, 4)
    assert not torch.equal(network(image), network(image.roll(2, 2)))
