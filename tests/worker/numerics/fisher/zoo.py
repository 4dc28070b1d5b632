"""Networks with every kind of layer, each small, and the definition that they are compared with."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from worker.numerics.examples import TensorExamples
from worker.numerics.randomness import drawn_from

CLASSES = 5


class Case(NamedTuple):
    """A network by its builder, and the shape of one input; an integer shape means tokens below it."""

    name: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    tokens: int = 0


def examples(n: int, shape: tuple[int, ...], *, tokens: int = 0, dtype: torch.dtype = torch.float64) -> TensorExamples:
    """Random inputs in [-1, 1], or tokens, with random labels."""
    with drawn_from(7):
        raw = torch.randint(tokens, (n, *shape)) if tokens else 2 * torch.rand(n, *shape, dtype=dtype) - 1
        return TensorExamples(raw, torch.randint(CLASSES, (n,)), torch.arange(n))


def obvious(network: nn.Module, data: TensorExamples) -> dict[str, Tensor]:
    """The slow loop: gradient of one sample's loss, squared, summed; by torch's own cross entropy."""
    sums = {name: torch.zeros_like(p, dtype=torch.float64) for name, p in network.named_parameters()}
    for n in range(len(data)):
        loss = functional.cross_entropy(network(data.raw[n : n + 1]), data.labels[n : n + 1])
        gradients = torch.autograd.grad(loss, list(network.parameters()), materialize_grads=True, allow_unused=True)
        for name, g in zip(sums, gradients, strict=True):
            sums[name] += g.double().square()
    return sums


def off(found: dict[str, Tensor], truth: dict[str, Tensor]) -> float:
    """The largest normwise relative error over the parameters."""
    assert list(found) == list(truth)
    return max(float((found[k] - truth[k]).norm() / truth[k].norm().clamp(min=1e-300)) for k in truth)


class Pool(nn.Module):
    """Mean over everything between channels (dimension 1) and the end."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).mean(2)


class Alone(nn.Module):
    """One position for every feature."""

    def forward(self, x: Tensor) -> Tensor:
        return x.unsqueeze(2)


class Last(nn.Module):
    """Mean over positions; features are last."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1, -2).mean(1)


def headed(*layers: nn.Module, features: int, pool: type[nn.Module] = Pool) -> nn.Module:
    return nn.Sequential(*layers, nn.Tanh(), pool(), nn.Linear(features, CLASSES))


class Through(nn.Module):
    """A function of the inputs with parameters of its own."""

    def __init__(self, function: Callable[["Through", Tensor], Tensor], **parameters: tuple[int, ...]) -> None:
        super().__init__()
        self.function = function
        self.own = nn.ParameterDict({name: torch.randn(shape) / 2 for name, shape in parameters.items()})
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.function(self, x)))  # type: ignore[no-any-return]


class Attention(nn.Module):
    """torch's packed attention, with samples first or positions first."""

    def __init__(self, *, batch_first: bool, **settings: bool) -> None:
        super().__init__()
        self.batch_first = batch_first
        self.attention = nn.MultiheadAttention(8, 2, batch_first=batch_first, **settings)
        nn.init.normal_(self.attention.in_proj_bias)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.batch_first else x.transpose(0, 1)
        y, _ = self.attention(x, x, x, need_weights=False)
        return self.head((y if self.batch_first else y.transpose(0, 1)).mean(1))  # type: ignore[no-any-return]


class Tied(nn.Module):
    """Embedding and output layer share one table."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(CLASSES, 6)
        self.inner = nn.Linear(6, 6)
        self.head = nn.Linear(6, CLASSES, bias=False)
        self.head.weight = self.table.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.inner(self.table(x))).mean(1))  # type: ignore[no-any-return]


class LowRank(nn.Module):
    """W + B A, all three trained."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(6, CLASSES)
        self.a = nn.Parameter(torch.randn(2, 6))
        self.b = nn.Parameter(torch.randn(CLASSES, 2))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.base.weight + self.b @ self.a, self.base.bias)


def calibrated(network: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """With statistics of the data: random ones make half of the entries zero and hide errors."""
    with torch.no_grad():
        for _ in range(20):
            network(2 * torch.rand(32, *shape, generator=torch.Generator().manual_seed(3)) - 1)
    return network


def _encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True, norm_first=True)
    return nn.Sequential(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), Last(), nn.Linear(8, CLASSES))


def _windows(self: Through, x: Tensor) -> Tensor:
    y = functional.linear(x.flatten(0, 1), self.own["w"])  # (B·T, 4): samples and positions in one dimension
    return y.view(-1, 7, 4).mean(1)


def _positions_first(self: Through, x: Tensor) -> Tensor:
    y = functional.linear(x.transpose(0, 1).flatten(0, 1), self.own["w"])  # (T·B, 4)
    return y.view(7, -1, 4).mean(0)


def _class_token(self: Through, x: Tensor) -> Tensor:
    token = self.own["token"].expand(len(x), -1, -1)
    y = torch.cat([token, x], 1) + self.own["positions"]
    return (y * self.own["scale"]).square().mean(1)  # type: ignore[no-any-return]


def _repeated(self: Through, x: Tensor) -> Tensor:
    return torch.cat([self.own["token"].repeat(x.shape[0], 1, 1), x], 1).square().mean(1)


def _sliced(self: Through, x: Tensor) -> Tensor:
    w = self.own["w"]
    first, second = w.chunk(2)
    return functional.linear(torch.tanh(functional.linear(x, first)), second) + functional.linear(
        x, w[4:8]
    )  # the second half is used twice


def _disjoint(self: Through, x: Tensor) -> Tensor:
    q, k = self.own["w"].chunk(2)
    return torch.sigmoid(functional.linear(x, q)) * functional.linear(x, k)


def _twice(self: Through, x: Tensor) -> Tensor:
    w, b = self.own["w"], self.own["b"]
    return functional.linear(torch.tanh(functional.linear(torch.tanh(functional.linear(x, w, b)), w, b)), w)


def _operators(self: Through, x: Tensor) -> Tensor:
    v = self.own["v"]
    return 1 - (x @ v) / (2 + v.mean(0).abs()) + x @ v.T + torch.addmm(self.own["b"], x, v.t())  # type: ignore[no-any-return]


def _in_place(self: Through, x: Tensor) -> Tensor:
    y = functional.linear(x, self.own["w"])
    y += self.own["b"]
    y.mul_(2).relu_()
    return y


def _written(self: Through, x: Tensor) -> Tensor:
    sheet = torch.zeros(len(x), 6, dtype=x.dtype)  # no data yet
    sheet[:, 1:5] = x
    return functional.linear(sheet, self.own["w"])


def _constants(self: Through, x: Tensor) -> Tensor:
    w = self.own["w"]
    with torch.no_grad():
        aside = functional.linear(x, w)
    return functional.linear(x, w) + aside + functional.linear(x, w.detach()) + x * w.data[0]  # type: ignore[no-any-return]


def _relative(self: Through, x: Tensor) -> Tensor:
    index = torch.arange(7)[:, None] - torch.arange(7)[None] + 6
    bias = self.own["table"][index]  # (7, 7): an entry stands in many places
    return (torch.softmax(x @ x.mT + bias, -1) @ x).mean(1)


def _queries(self: Through, x: Tensor) -> Tensor:
    asked = functional.linear(self.own["q"], self.own["w"])  # both parameters: no data yet
    return (torch.softmax(x @ asked.T, -1) @ asked).mean(1)


def _bilinear(self: Through, x: Tensor) -> Tensor:
    return functional.bilinear(x, x, self.own["w"])


def _branching(self: Through, x: Tensor) -> Tensor:
    """For every sample another function, by control flow that vmap cannot follow."""
    rows = [functional.linear(row, self.own["w"]) if float(row.detach().sum()) > 0 else 2 * row for row in x]
    return torch.stack(rows)


def _einsum(self: Through, x: Tensor) -> Tensor:
    return torch.einsum("bti,oi->bo", x, self.own["w"])


def _images(name: str, features: int, *layers: Callable[[], nn.Module], shape: tuple[int, ...] = (3, 9, 8)) -> Case:
    return Case(name, lambda: calibrated(headed(*(layer() for layer in layers), features=features), shape), shape)


def _positions(name: str, features: int, *layers: Callable[[], nn.Module], shape: tuple[int, ...] = (7, 6)) -> Case:
    return Case(name, lambda: headed(*(layer() for layer in layers), features=features, pool=Last), shape)


def _tokens(name: str, build: Callable[[], nn.Module], tokens: int) -> Case:
    return Case(name, build, (7,), tokens)


def _own(
    name: str, function: Callable[[Through, Tensor], Tensor], shape: tuple[int, ...], **parameters: tuple[int, ...]
) -> Case:
    return Case(name, lambda: Through(function, **parameters), shape)


CONV, CONV4, IN_PLACE = partial(nn.Conv2d, 3, 4, 3), partial(nn.Conv2d, 4, 4, 3), partial(nn.ReLU, inplace=True)

CASES = [
    Case("linear", lambda: nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, CLASSES, bias=False)), (6,)),
    _positions("linear with positions", 4, lambda: nn.Linear(6, 4)),
    _positions("linear with two dimensions of positions", 4, lambda: nn.Linear(6, 4), shape=(3, 2, 6)),
    _images("conv1d", 4, lambda: nn.Conv1d(3, 4, 3, stride=2, padding=2, dilation=2), shape=(3, 9)),
    _images("conv2d", 4, lambda: nn.Conv2d(3, 4, 3, padding=1)),
    _images("conv2d, stride, dilation, groups", 6, lambda: nn.Conv2d(4, 6, (3, 2), 2, 2, 2, 2), shape=(4, 9, 8)),
    _images("conv2d, same", 4, lambda: nn.Conv2d(3, 4, (5, 3), padding="same", dilation=(1, 2))),
    _images("conv2d, reflect", 4, lambda: nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")),
    _images("conv2d, depthwise", 6, lambda: nn.Conv2d(3, 6, 3, groups=3, bias=False)),
    _images("conv2d, many weights", 96, partial(nn.Conv2d, 3, 96, 3), nn.ReLU, partial(nn.Conv2d, 96, 96, 3, 2, 1)),
    _images("conv3d", 3, lambda: nn.Conv3d(2, 3, 2, padding=1), shape=(2, 3, 4, 3)),
    _images("conv_transpose1d", 4, lambda: nn.ConvTranspose1d(3, 4, 3, 2), shape=(3, 5)),
    _images("conv_transpose2d", 6, lambda: nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, 2), shape=(4, 5, 4)),
    _tokens("embedding", lambda: headed(nn.Embedding(9, 6), features=6, pool=Last), 9),
    _tokens("embedding with padding", lambda: headed(nn.Embedding(9, 6, padding_idx=2), features=6, pool=Last), 9),
    _tokens("tied embedding", Tied, CLASSES),
    _positions("layer_norm", 4, lambda: nn.Linear(6, 4), lambda: nn.LayerNorm(4)),
    _positions("layer_norm of two dimensions", 3, lambda: nn.LayerNorm((5, 4)), lambda: nn.Linear(4, 3), shape=(5, 4)),
    _positions("rms_norm", 4, lambda: nn.Linear(6, 4), lambda: nn.RMSNorm(4)),
    _images("group_norm", 4, CONV, lambda: nn.GroupNorm(2, 4)),
    _images("instance_norm", 4, partial(CONV, bias=False), lambda: nn.InstanceNorm2d(4, affine=True), nn.Tanh, CONV4),
    _images(
        "instance_norm with statistics", 4, CONV, lambda: nn.InstanceNorm2d(4, affine=True, track_running_stats=True)
    ),
    _images("batch_norm1d", 4, lambda: nn.Linear(6, 4), lambda: nn.BatchNorm1d(4), IN_PLACE, Alone, shape=(6,)),
    _images("batch_norm2d", 4, partial(CONV, bias=False), lambda: nn.BatchNorm2d(4), IN_PLACE),
    _images("batch_norm with little variance", 4, CONV, lambda: nn.BatchNorm2d(4, eps=1e-12)),
    _images("prelu", 4, CONV, lambda: nn.PReLU(4), CONV4, nn.PReLU),
    Case("attention, samples first", lambda: Attention(batch_first=True), (7, 8)),
    Case("attention, positions first", lambda: Attention(batch_first=False), (7, 8)),
    Case("attention with a learned key", lambda: Attention(batch_first=True, add_bias_kv=True), (7, 8)),
    Case("transformer encoder", _encoder, (7, 8)),
    _own("samples and positions folded", _windows, (7, 6), w=(4, 6)),
    _own("positions and samples folded", _positions_first, (7, 6), w=(4, 6)),
    _own("class token and positions", _class_token, (7, 4), token=(1, 1, 4), positions=(1, 8, 4), scale=(4,)),
    _own("repeated token", _repeated, (7, 4), token=(1, 1, 4)),
    _own("overlapping slices", _sliced, (4,), w=(8, 4)),
    _own("disjoint slices", _disjoint, (6,), w=(8, 6)),
    _own("a layer called three times", _twice, (4,), w=(4, 4), b=(4,)),
    _own("operators", _operators, (4,), v=(4, 4), b=(4,)),
    _own("in place", _in_place, (6,), w=(4, 6), b=(4,)),
    _own("written into zeros", _written, (4,), w=(4, 6)),
    _own("no gradient on purpose", _constants, (4,), w=(4, 4)),
    _own("relative positions", _relative, (7, 4), table=(13,)),
    _own("learned queries", _queries, (7, 4), q=(3, 4), w=(4, 4)),
    Case("low rank", LowRank, (6,)),
    Case("weight norm", lambda: nn.Sequential(weight_norm(nn.Linear(6, 4)), nn.Linear(4, CLASSES)), (6,)),
    _own("bilinear, no formula", _bilinear, (3,), w=(4, 3, 3)),
    _own("einsum, no formula", _einsum, (7, 6), w=(4, 6)),
    _own("branching on the data", _branching, (4,), w=(4, 4)),
]
FALLBACKS = {
    "bilinear, no formula": "by_vmap for own.w: no formula for torch's bilinear",
    "einsum, no formula": "by_vmap for own.w: no formula for torch's einsum",
    "branching on the data": "one_by_one for own.w and 2 more: the network takes another way for another batch size",
}
