"""The fused squares against the same sums in float64, by torch: on CUDA, or else in Triton's interpreter."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import unfold

from worker.numerics.fisher import fused_cuda
from worker.numerics.fisher.fused_cuda import available, squared_convolution, squared_products

NO_TRITON = "Triton is not installed, so the fused kernel can be neither interpreted nor compiled"
triton = pytest.mark.skipif(find_spec("triton") is None, reason=NO_TRITON)


if not torch.cuda.is_available():
    # Here, when tests are collected: torch imports Triton in the middle of others, and Triton reads this on its import.
    os.environ["TRITON_INTERPRET"] = "1"


@pytest.fixture(scope="module")
def device() -> str:
    """Where the kernel runs: on CUDA compiled, on the CPU interpreted."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several tiles in tensors that the interpreter can manage."""
    monkeypatch.setattr(fused_cuda, "BLOCK", 16)


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def off(found: Tensor, truth: Tensor) -> float:
    """The normwise relative error."""
    return float((found.cpu().double() - truth).norm() / truth.norm())


def products(g: Tensor, a: Tensor) -> Tensor:
    return torch.bmm(g.double().mT, a.double()).square().sum(0)


@triton
@pytest.mark.parametrize(
    ("samples", "positions", "outputs", "inputs"),
    [(3, 5, 7, 11), (1, 1, 1, 1), (4, 1, 17, 33), (2, 16, 16, 16), (2, 17, 33, 15), (5, 40, 3, 50), (20, 2, 4, 6)],
)
def test_products_of_any_size(device: str, samples: int, positions: int, outputs: int, inputs: int) -> None:
    g, a = drawn(samples, positions, outputs, seed=1), drawn(samples, positions, inputs, seed=2)
    out = torch.zeros(outputs, inputs, device=device)
    squared_products(g.to(device), a.to(device), out)
    assert off(out, products(g, a)) < 1e-5


@triton
def test_the_tile_that_is_compiled_for(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert fused_cuda.BLOCK == 64
    g, a = drawn(3, 70, 65, seed=1), drawn(3, 70, 130, seed=2)
    out = torch.zeros(65, 130, device=device)
    squared_products(g.to(device), a.to(device), out)
    assert off(out, products(g, a)) < 1e-5


@triton
def test_what_is_there_is_added_to(device: str) -> None:
    out = torch.full((1, 2), 0.5, device=device)
    squared_products(torch.ones(2, 3, 1, device=device), torch.ones(2, 3, 2, device=device), out)
    assert out.tolist() == [[18.5, 18.5]]  # two samples, (1 + 1 + 1)² each
    squared_products(torch.ones(0, 3, 1, device=device), torch.ones(0, 3, 2, device=device), out)
    assert out.tolist() == [[18.5, 18.5]]


@triton
def test_strides_are_free(device: str) -> None:
    g, a = drawn(9, 4, 6, seed=1).permute(1, 0, 2)[:, ::2], drawn(5, 12, 4, seed=2).permute(2, 0, 1)[..., 1::3]
    expanded = drawn(1, 5, 6, seed=3).expand(4, 5, 6)
    assert not g.is_contiguous()
    assert not a.is_contiguous()
    for ours in (g, expanded):
        out = torch.zeros(6, 4, device=device)
        squared_products(ours.to(device), a.to(device), out)
        assert off(out, products(ours, a)) < 1e-5


@triton
def test_nothing_beside_them_is_read_or_written(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_cuda, "PROGRAMS", 1)  # into out itself
    g, a = torch.full((4, 40, 40), torch.nan, device=device), torch.full((4, 40, 40), torch.nan, device=device)
    g[:2, :5, :7], a[:2, :5, :11] = drawn(2, 5, 7, seed=1), drawn(2, 5, 11, seed=2)
    memory = torch.full((40 * 11,), -0.0, device=device)  # adding 0 to it would turn its sign
    squared_products(g[:2, :5, :7], a[:2, :5, :11], memory[11:88].view(7, 11))
    truth = products(drawn(2, 5, 7, seed=1), drawn(2, 5, 11, seed=2))
    assert off(memory[11:88].view(7, 11), truth) < 1e-5
    assert memory[:11].signbit().all()
    assert memory[88:].signbit().all()


@triton
@pytest.mark.parametrize("programs", [1, 2, 3, 7, 8, 1000])
def test_how_the_samples_are_shared_out_does_not_matter(
    device: str, programs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused_cuda, "PROGRAMS", programs)
    g, a = drawn(7, 3, 2, seed=1), drawn(7, 3, 20, seed=2)  # two tiles
    out = torch.ones(2, 20, device=device)
    squared_products(g.to(device), a.to(device), out)
    assert off(out, 1 + products(g, a)) < 1e-5


CONVOLUTIONS = [
    ((2, 3, 6, 5), 4, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((3, 2, 7, 7), 5, (3, 2), (1, 1), (0, 0), (1, 1), 1),
    ((2, 3, 8, 9), 2, (1, 1), (2, 2), (0, 0), (1, 1), 1),  # leaves rows over
    ((2, 2, 9, 8), 3, (3, 3), (2, 3), (1, 2), (1, 1), 1),
    ((2, 2, 9, 11), 3, (3, 2), (1, 2), (2, 0), (2, 3), 1),
    ((2, 6, 5, 4), 4, (3, 3), (1, 1), (1, 1), (1, 1), 2),
    ((3, 5, 6, 6), 10, (3, 3), (2, 1), (1, 0), (1, 2), 5),  # one input each
    ((2, 4, 3, 3), 36, (2, 2), (1, 1), (1, 1), (1, 1), 2),  # two tiles of outputs in a group
    ((2, 3, 2, 2), 2, (5, 5), (1, 1), (2, 2), (1, 1), 1),  # more kernel than image
]
"""Shape of the images, outputs, kernel, stride, padding, dilation, groups."""


def convolved(
    shape: tuple[int, ...],
    outputs: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """g, a, and the squares of the weight in float64."""
    a = drawn(*shape, seed=1)
    weight = torch.zeros(outputs, shape[1] // groups, *kernel)
    g = torch.randn_like(torch.conv2d(a, weight, None, stride, padding, dilation, groups))
    patches = unfold(a.double(), kernel, dilation, padding, stride).chunk(groups, 1)
    ours = g.double().flatten(2).chunk(groups, 1)
    return g, a, torch.cat([products(o.mT, p.mT) for o, p in zip(ours, patches, strict=True)]).view_as(weight)


@triton
@pytest.mark.parametrize(("shape", "outputs", "kernel", "stride", "padding", "dilation", "groups"), CONVOLUTIONS)
def test_convolutions_of_any_kind(
    device: str,
    shape: tuple[int, ...],
    outputs: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> None:
    g, a, truth = convolved(shape, outputs, kernel, stride, padding, dilation, groups)
    for layout in (torch.contiguous_format, torch.channels_last):
        out = torch.zeros(truth.shape, device=device)
        squared_convolution(
            g.to(device).contiguous(memory_format=layout),
            a.to(device).contiguous(memory_format=layout),
            out,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
        )
        assert off(out, truth) < 1e-5


def test_float64_is_refused() -> None:
    g, a, out = torch.ones(2, 3, 4), torch.ones(2, 3, 5), torch.ones(4, 5)
    for tensors in ((g.double(), a, out), (g, a.double(), out), (g, a, out.double())):
        with pytest.raises(TypeError, match="float32"):
            squared_products(*tensors)


def test_what_does_not_belong_together_is_refused() -> None:
    g, a, out = torch.ones(2, 3, 4), torch.ones(2, 3, 5), torch.ones(4, 5)
    for tensors in ((g[:1], a, out), (g, a[:, :2], out), (g, a, out[:3]), (g[0], a[0], out), (g, a, out.T)):
        with pytest.raises(ValueError, match="belong together"):
            squared_products(*tensors)
    with pytest.raises(ValueError, match="contiguous"):
        squared_products(g, a, torch.ones(5, 4).T)


def test_a_convolution_of_other_sizes_is_refused() -> None:
    g, a, out = torch.ones(2, 4, 3, 3), torch.ones(2, 6, 3, 3), torch.ones(4, 6, 3, 3)
    for shapes, padding, groups in (((g, a, out), 0, 1), ((g, a, out), 1, 2), ((g, a, out[:, :2]), 1, 3)):
        with pytest.raises(ValueError, match="belong together"):
            squared_convolution(*shapes, stride=(1, 1), padding=(padding, padding), dilation=(1, 1), groups=groups)
    with pytest.raises(ValueError, match="four dimensions"):
        squared_convolution(g[0], a[0], out, stride=(1, 1), padding=(1, 1), dilation=(1, 1), groups=1)


def test_only_float32_on_cuda_can_be_taken() -> None:
    assert not available(torch.ones(1))
    if torch.cuda.is_available():
        assert not available(torch.ones(1, device="cuda", dtype=torch.float64))
        assert available(torch.ones(1, device="cuda")) == (find_spec("triton") is not None)


def test_triton_is_neither_needed_nor_imported_before_the_first_product() -> None:
    lines = """
        import sys
        from worker.numerics.fisher import fused_cuda
        assert "triton" not in sys.modules
        sys.modules["triton"] = None  # as if it were not installed
        assert not fused_cuda._importable()
    """
    _run(lines)


@triton
def test_it_compiles_to_float32_products_without_a_gpu(tmp_path: Path) -> None:
    """What the interpreter cannot see: that it compiles, that no product is rounded to tf32, that nothing spills."""
    lines = """
        import subprocess
        from pathlib import Path
        import triton
        from triton.backends.compiler import GPUTarget
        from triton.compiler import ASTSource
        from worker.numerics.fisher import fused_cuda
        kernel = fused_cuda._kernel()
        strides, sizes = ("i32",) * 4, ("i32",) * 9
        signature = dict(zip(kernel.arg_names, ("*fp32",) * 3 + (strides, strides, sizes, "constexpr", "constexpr")))
        blocks = (fused_cuda.BLOCK, fused_cuda.BLOCK, fused_cuda.POSITIONS, fused_cuda.PRECISION)
        constants = {"geometry": (3, 3, 1, 1, 1, 1, 1, 1), "blocks": blocks}
        for capability in (75, 80, 90):
            source, target = ASTSource(kernel, signature, constants), GPUTarget("cuda", capability, 32)
            options = {"num_warps": fused_cuda._warps(fused_cuda.BLOCK, fused_cuda.BLOCK)}
            code = triton.compile(source, target=target, options=options).asm
            assert "fma.rn.f32" in code["ptx"] and "tf32" not in code["ptx"] and "mma." not in code["ptx"], "precision"
            Path("cubin").write_bytes(code["cubin"])
            tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
            use = subprocess.run([tool, "-res-usage", "cubin"], capture_output=True, text=True, check=True).stdout
            assert "STACK:0 " in use and "LOCAL:0 " in use, use
    """
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])}
    _run(lines, cwd=tmp_path, env=environment)


def _run(lines: str, **options: Any) -> None:
    command = [sys.executable, "-c", dedent(lines)]
    said = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert said.returncode == 0, said.stderr
