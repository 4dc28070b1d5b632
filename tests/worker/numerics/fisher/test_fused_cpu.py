"""The fused squares on a CPU: the same sums as by torch, in any shape; used where asked, and only if they are right."""

from collections.abc import Callable, Iterator
from shutil import which

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.worker.numerics.fisher.test_estimate import the_mlp, the_resnet, the_vit
from tests.worker.numerics.fisher.test_fused_cuda import CONVOLUTIONS, convolved, drawn, off, products
from tests.worker.numerics.fisher.zoo import Through, examples, obvious
from tests.worker.numerics.fisher.zoo import off as off_by
from tests.worker.numerics.recorder import Recorder
from worker.numerics.examples import TensorExamples
from worker.numerics.fisher import Accumulator, estimate, fisher_diagonal, fused_cpu
from worker.numerics.fisher.compiler import Uncompiled
from worker.numerics.fisher.estimate import fusing_pays
from worker.numerics.fisher.fused_cpu import Kernel

compiler = pytest.mark.skipif(which("g++") is None, reason="no C++ compiler")


@pytest.fixture
def kernel() -> Kernel:
    return fused_cpu.kernel()


@pytest.fixture
def uncompiled() -> Iterator[None]:
    """As if nothing had been compiled before."""
    fused_cpu.kernel.cache_clear()
    yield
    fused_cpu.kernel.cache_clear()


@compiler
@pytest.mark.parametrize(
    ("samples", "positions", "outputs", "inputs"),
    [(3, 5, 7, 11), (1, 1, 1, 1), (4, 1, 17, 33), (2, 16, 64, 32), (2, 17, 33, 65), (5, 40, 3, 50), (2, 2, 2500, 2100)],
)
def test_products_of_any_size(kernel: Kernel, samples: int, positions: int, outputs: int, inputs: int) -> None:
    g, a = drawn(samples, positions, outputs, seed=1), drawn(samples, positions, inputs, seed=2)
    out = torch.ones(outputs, inputs)
    kernel.squared_products(g, a, out)
    assert off(out, 1 + products(g, a)) < 1e-6


@compiler
def test_strides_are_free(kernel: Kernel) -> None:
    g, a = drawn(9, 4, 6, seed=1).permute(1, 0, 2)[:, ::2], drawn(5, 12, 4, seed=2).permute(2, 0, 1)[..., 1::3]
    expanded = drawn(1, 5, 6, seed=3).expand(4, 5, 6)
    for ours in (g, expanded):
        for one, other in ((ours, a), (a, ours)):
            out = torch.zeros(one.shape[2], other.shape[2])
            kernel.squared_products(one, other, out)
            assert off(out, products(one, other)) < 1e-6


@compiler
def test_nothing_beside_them_is_read_or_written(kernel: Kernel) -> None:
    g, a = torch.full((4, 40, 40), torch.nan), torch.full((4, 40, 40), torch.nan)
    g[:2, :5, :7], a[:2, :5, :11] = drawn(2, 5, 7, seed=1), drawn(2, 5, 11, seed=2)
    memory = torch.full((40 * 11,), -0.0)  # adding 0 to it would turn its sign
    for one, other in ((g[:2, :5, :7], a[:2, :5, :11]), (a[:2, :5, :11], g[:2, :5, :7])):
        own = memory[11:88].view(one.shape[2], other.shape[2]).zero_()
        kernel.squared_products(one, other, own)
        assert off(own, products(one, other)) < 1e-6
        assert memory[:11].signbit().all()
        assert memory[88:].signbit().all()


@compiler
@pytest.mark.parametrize(
    ("shape", "outputs", "size", "stride", "padding", "dilation"), [c[:-1] for c in CONVOLUTIONS if c[-1] == 1]
)
def test_convolutions_of_any_kind(
    kernel: Kernel,
    shape: tuple[int, ...],
    outputs: int,
    size: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> None:
    g, a, truth = convolved(shape, outputs, size, stride, padding, dilation, 1)
    for layout in (torch.contiguous_format, torch.channels_last):
        out = torch.zeros(truth.shape)
        kernel.squared_convolution(
            g.contiguous(memory_format=layout),
            a.contiguous(memory_format=layout),
            out,
            stride=stride,
            padding=padding,
            dilation=dilation,
        )
        assert off(out, truth) < 1e-6


@compiler
def test_the_number_of_threads_does_not_matter(kernel: Kernel) -> None:
    g, a, found = drawn(3, 9, 70, seed=1), drawn(3, 9, 4200, seed=2), []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(torch.zeros(70, 4200))
            kernel.squared_products(g, a, found[-1])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@compiler
def test_what_does_not_belong_together_is_refused_before_memory_is_touched(kernel: Kernel) -> None:
    g, a, out = torch.ones(2, 3, 4), torch.ones(2, 3, 5), torch.ones(4, 5)
    for tensors in ((g[:1], a, out), (g, a[:, :2], out), (g, a, out[:3])):
        with pytest.raises(ValueError, match="belong together"):
            kernel.squared_products(*tensors)
    with pytest.raises(TypeError, match="float32"):
        kernel.squared_products(g.double(), a, out)
    image = torch.ones(2, 5, 3, 3)
    with pytest.raises(ValueError, match="belong together"):
        kernel.squared_convolution(image, image, torch.ones(5, 5, 3, 3), stride=(1, 1), padding=(0, 0), dilation=(1, 1))


@compiler
@pytest.mark.parametrize(("build", "shape"), [(the_resnet, (3, 16, 16)), (the_vit, (3, 8, 8))])
def test_a_fused_pass_is_the_definition(
    build: Callable[[], nn.Module], shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("squared_products", "squared_convolution"):
        counted(name, calls, monkeypatch)
    monkeypatch.setattr(estimate, "FUSED_FLOATS", 0)
    network, data, run = build().eval(), examples(11, shape, dtype=torch.float32), Recorder()
    fisher = fisher_diagonal(network, data, run=run, batch_size=4)
    assert run.notes["fisher_by"] == "interception, fused"
    assert len(calls) >= 12  # one batch to compare, and three
    assert off_by(dict(fisher.sums), obvious(network.double(), doubled(data))) <= 1e-5


def doubled(data: TensorExamples) -> TensorExamples:
    return TensorExamples(data.raw.double(), data.labels, data.positions)


def counted(name: str, calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    method = getattr(Kernel, name)

    def called(self: Kernel, *args: Tensor, **geometry: tuple[int, int]) -> None:
        calls.append(name)
        method(self, *args, **geometry)

    monkeypatch.setattr(Kernel, name, called)


@compiler
def test_a_kernel_that_is_wrong_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Kernel, "squared_products", lambda *_: None)
    network, data, run = the_vit().eval(), examples(8, (3, 8, 8), dtype=torch.float32), Recorder()
    monkeypatch.setattr(estimate, "FUSED_FLOATS", 0)
    fisher = fisher_diagonal(network, data, run=run, batch_size=4)
    assert str(run.notes["fisher_by"]).startswith("interception, not fused (differs for ")
    assert off_by(dict(fisher.sums), obvious(network.double(), doubled(data))) <= 1e-5


@compiler
def test_float64_is_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch._inductor.compile", lambda written, _: written)  # which takes half a minute
    network, data, run = the_mlp().double().eval(), examples(8, (1, 6, 6)), Recorder()
    fisher_diagonal(network, data, run=run, compiled=True)
    assert run.notes["fisher_by"] == "interception, compiled"


@compiler
def test_what_is_left_to_the_slow_way_is_not_tried_with_it() -> None:
    def either(self: Through, x: Tensor) -> Tensor:
        return functional.linear(x, self.own["w"]) if len(x) == 5 else x @ self.own["w"].T @ self.own["v"]

    network, data = Through(either, w=(4, 4), v=(4, 4)).eval(), examples(8, (4,), dtype=torch.float32)
    accumulator = Accumulator(network, data.raw, data.labels)
    accumulator.fuse(data.raw, data.labels)
    assert "interception, but " in accumulator.how
    assert not accumulator.fused


@compiler
@pytest.mark.usefixtures("uncompiled")
def test_what_does_not_compile_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_cpu, "FLAGS", ("-fno-such-flag",))
    with pytest.raises(Uncompiled, match="CppCompileError"):
        fused_cpu.kernel()
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(Uncompiled, match="no C\\+\\+ compiler no-such-compiler"):
        fused_cpu.kernel()


@compiler
def test_it_is_used_only_where_that_is_said(kernel: Kernel) -> None:
    assert fused_cpu.used_for(torch.ones(1)) is None
    with fused_cpu.used(kernel):
        assert fused_cpu.used_for(torch.ones(1)) is kernel
        assert fused_cpu.used_for(torch.ones(1).double()) is None
        with fused_cpu.used(None):
            assert fused_cpu.used_for(torch.ones(1)) is None
    assert fused_cpu.used_for(torch.ones(1)) is None


def test_it_is_compiled_where_there_is_much_to_do() -> None:
    vit, image = the_vit().eval(), torch.ones(1, 3, 8, 8)  # its operations give back 13,000 numbers or so
    assert fusing_pays(vit, image, 10**6)
    assert not fusing_pays(vit, image, 10**5)
