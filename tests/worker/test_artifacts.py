"""Artifacts are used only if they are what they were."""

import json
from collections.abc import Mapping
from itertools import permutations
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from app.core.digests import sha256_of
from app.core.errors import Invalid
from worker import artifacts
from worker.numerics.fisher import Fisher
from worker.numerics.weights import network_with, weights_of


def saved(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    save_file(tensors, path)
    return path


def read(path: Path, skeleton: nn.Module) -> None:
    artifacts.read_weights(path, sha256=sha256_of(path), skeleton=skeleton)


def test_weights_come_back_bit_for_bit(tmp_path: Path) -> None:
    net = nn.Linear(3, 2)
    sha256 = artifacts.write(tmp_path / "w.safetensors", net.state_dict())
    weights = artifacts.read_weights(tmp_path / "w.safetensors", sha256=sha256, skeleton=nn.Linear(3, 2))
    assert all(torch.equal(weights[name], tensor) for name, tensor in net.state_dict().items())
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.parametrize(
    ("code", "tensors"),
    [
        ("wrong_names", {"weight": torch.zeros(2, 3)}),
        ("wrong_names", {"weight": torch.zeros(2, 3), "bias": torch.zeros(2), "extra": torch.zeros(1)}),
        ("wrong_shapes", {"weight": torch.zeros(3, 2), "bias": torch.zeros(2)}),
        ("wrong_dtype", {"weight": torch.zeros(2, 3, dtype=torch.float64), "bias": torch.zeros(2)}),
        ("non_finite", {"weight": torch.full((2, 3), torch.nan), "bias": torch.zeros(2)}),
        ("non_finite", {"weight": torch.zeros(2, 3), "bias": torch.tensor([0.0, torch.inf])}),
    ],
)
def test_weights_that_do_not_fit_the_architecture_are_refused(
    tmp_path: Path, code: str, tensors: dict[str, torch.Tensor]
) -> None:
    with pytest.raises(Invalid) as refused:
        read(saved(tmp_path / "w.safetensors", tensors), nn.Linear(3, 2))
    assert refused.value.code == code


def in_order(path: Path, tensors: Mapping[str, Tensor]) -> Path:
    """A file whose header and content are in the order of the dictionary, where `save_file` has one of its own."""
    header, content = dict[str, object](), b""
    for name, tensor in tensors.items():
        part = tensor.numpy().tobytes()
        where = [len(content), len(content) + len(part)]
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": where}
        content += part
    head = json.dumps(header).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + content)
    return path


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_the_order_of_the_tensors_in_a_file_does_not_matter(tmp_path: Path, order: tuple[int, ...]) -> None:
    """Both layers have the same shapes: by order, each could get the other's weights."""

    def build(_seed: int) -> nn.Module:
        return nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2))

    net = build(0)
    found = list(weights_of(net).items())
    path = in_order(tmp_path / "w.safetensors", dict(found[place] for place in order))

    weights = artifacts.read_weights(path, sha256=sha256_of(path), skeleton=build(1))

    assert torch.equal(network_with(build, weights)(torch.eye(2)), net(torch.eye(2)))


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.safetensors", nn.Linear(3, 2).state_dict())
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(Invalid) as refused:
        read(path, nn.Linear(3, 2))
    assert refused.value.code == "not_safetensors"


def test_one_changed_byte_is_noticed(tmp_path: Path) -> None:
    sha256 = artifacts.write(tmp_path / "w.safetensors", nn.Linear(3, 2).state_dict())
    content = bytearray((tmp_path / "w.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(Invalid) as refused:
        artifacts.read_weights(tmp_path / "w.safetensors", sha256=sha256, skeleton=nn.Linear(3, 2))
    assert refused.value.code == "digest_mismatch"


def test_a_fisher_comes_back_with_its_bindings_and_what_it_left_out(tmp_path: Path) -> None:
    fisher = Fisher({"weight": torch.rand(2, 3, dtype=torch.float64)}, 7, weights_sha256="w", data_sha256="d")
    sha256 = artifacts.write_fisher(tmp_path / "f.safetensors", fisher, excluded=torch.tensor([4, 2]))
    again, excluded = artifacts.read_fisher(tmp_path / "f.safetensors", sha256=sha256)
    assert torch.equal(again.sums["weight"], fisher.sums["weight"])
    assert (again.count, again.weights_sha256, again.data_sha256) == (7, "w", "d")
    assert excluded.tolist() == [4, 2]


def test_equal_fishers_are_equal_files(tmp_path: Path) -> None:
    fisher = Fisher({"weight": torch.ones(2, dtype=torch.float64)}, 7, weights_sha256="w", data_sha256="d")
    digests = {
        artifacts.write_fisher(tmp_path / f"{n}.safetensors", fisher, excluded=torch.tensor([4])) for n in range(20)
    }
    assert len(digests) == 1


def test_a_fisher_with_an_entry_for_each_fact_is_read_too(tmp_path: Path) -> None:
    sums = {"weight": torch.ones(2, dtype=torch.float64)}
    facts = {"count": "7", "weights_sha256": "w", "data_sha256": "d"}
    sha256 = artifacts.write(tmp_path / "f.safetensors", {**sums, artifacts.EXCLUDED: torch.tensor([4])}, facts)
    again, _ = artifacts.read_fisher(tmp_path / "f.safetensors", sha256=sha256)
    assert (again.count, again.weights_sha256, again.data_sha256) == (7, "w", "d")
