"""What a job reads is what was registered, and lies where the operator allows it."""

import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from app.core.digests import sha256_of
from app.core.errors import Invalid
from app.datasets import index
from app.models.schemas import TrainingRecipe
from app.tables import Dataset, ForgetRequest, Model, ModelVersion
from app.transforms.tile import TileParams
from tests.conftest import Home
from tests.journeys import material
from worker import registry
from worker.artifacts import write_fisher
from worker.datasets import Manifest, validate
from worker.loading import Case, Data, build_of, manifest_of, problem_of, recipe_of, sets_of, weights_of
from worker.numerics.augmentation import HorizontalFlip, RandomCrop
from worker.numerics.fisher import Fisher, fisher_diagonal
from worker.numerics.recipe import Recipe
from worker.numerics.run import Quiet
from worker.numerics.weights import network_with

RECTANGLE = {"top": 0, "left": 0, "height": 2, "width": 2}


def dataset(path: Path, **facts: object) -> Dataset:
    return Dataset(name="digits", path=str(path), columns=material.COLUMNS, classes=10, **facts)


def test_a_file_that_a_link_takes_out_of_the_allowed_folder_is_not_read(home: Home, tmp_path: Path) -> None:
    outside = material.write_parquet(tmp_path / "outside.parquet")
    folder = home.data / "folder"
    folder.mkdir()
    shutil.copy(outside, folder / "a.parquet")
    assert len(manifest_of(dataset(folder)).files) == 1
    (folder / "b.parquet").symlink_to(outside)
    with pytest.raises(Invalid) as refused:
        manifest_of(dataset(folder))
    assert refused.value.code == "path_not_allowed"


def test_a_file_that_has_changed_since_it_was_registered_is_not_used(home: Home) -> None:
    path = material.write_parquet(home.data / "d.parquet")
    data = Data(dataset(path, sha256=sha256_of(path)), Model(preprocessing={}))
    data.check()
    material.write_parquet(path, clean=True)
    with pytest.raises(Invalid) as refused:
        data.check()
    assert refused.value.code == "digest_mismatch"


@pytest.mark.parametrize(("number", "of"), [(10, 1), (10, 3), (10, 10), (3, 64), (0, 4)])
def test_shards_split_the_positions_without_gap_or_overlap(home: Home, number: int, of: int) -> None:
    splits = ["test", *["train", "test"] * number, "test"]
    n = len(splits)
    index.write(home.path / "i.sqlite", [(i, f"s{i}", 0, split, None) for i, split in enumerate(splits)])
    data = Data(dataset(home.data, index_path=str(home.path / "i.sqlite")), Model(preprocessing={}))
    shards = [data.shard(k, of) for k in range(1, of + 1)]
    assert torch.stack(shards).sum(0).tolist() == [1] * n
    assert torch.cat([s.nonzero().flatten() for s in shards]).tolist() == list(range(n))
    trained = [int((s & data.index["train"]).sum()) for s in shards]
    assert max(trained) - min(trained) <= 1


@dataclass
class Registered:
    """A version with a stored Fisher diagonal that leaves some positions out."""

    data: Data
    version: ModelVersion
    network: nn.Module

    def case(
        self, *, forget: list[int], gone: list[int], kind: str = "samples", target: dict[str, Any] | None = None
    ) -> Case:
        request = ForgetRequest(
            kind=kind,
            target=target or {},
            method={"name": "deepclean"},
            ladder=[],
            audit={},
            seed=0,
            base_version_id=self.version.id,
        )
        return Case(request, self.data.model, self.version, (), self.data, None, forget, gone, [])

    def fisher_of(self, positions: list[int]) -> Fisher:
        examples = self.data.select(self.data.among(positions))
        assert examples is not None
        return fisher_diagonal(self.network, examples)


@pytest.fixture
def registered(home: Home) -> Registered:
    """Trained on all but the positions 0..9."""
    path = material.write_parquet(home.data / "d.parquet")
    index_path = home.path / "index.sqlite"
    facts = validate(Manifest(path, material.COLUMNS), classes=10, index_path=index_path, run=Quiet())
    row = dataset(path, sha256=facts.sha256, input_shape=list(facts.input_shape), index_path=str(index_path))
    document = material.model_in("reader")
    model = Model(
        architecture=document["architecture"], preprocessing=document["preprocessing"], recipe=document["recipe"]
    )
    data = Data(row, model)
    weights = home.path / "w.safetensors"
    weights.write_bytes(material.weights())
    version = ModelVersion(
        id="mv_1", weights_path=str(weights), weights_sha256=sha256_of(weights), initial_weights_path=None
    )
    build = build_of(model)
    made = Registered(data, version, network_with(build, weights_of(version, build)))
    stored = replace(
        made.fisher_of(list(range(10, material.TRAIN))),
        weights_sha256=version.weights_sha256,
        data_sha256=data.digest,
    )
    version.fisher_path = str(home.path / "f.safetensors")
    version.fisher_sha256 = write_fisher(home.path / "f.safetensors", stored, excluded=torch.arange(10))
    return made


def test_a_method_is_given_exactly_the_samples_that_were_asked_for(registered: Registered) -> None:
    """700 of 1,200, by id and in no order: they are neither cut at some number nor taken for the places in a list."""
    asked = torch.randperm(material.TRAIN, generator=torch.Generator().manual_seed(4))[:700]
    ids = [registered.data.ids(asked.sort().values)[place] for place in asked.argsort().argsort()]
    found = index.positions_of(Path(registered.data.dataset.index_path or ""), ids)
    assert [where.position for where in found if where] == asked.tolist()

    problem = problem_of(registered.case(forget=asked.tolist(), gone=[]), Quiet())

    assert problem.forget is not None
    assert problem.retain is not None
    assert problem.forget.positions.tolist() == sorted(asked.tolist())
    assert problem.retain.positions.tolist() == sorted(set(range(material.TRAIN)) - set(asked.tolist()))


def test_held_out_samples_are_given_to_who_needs_them_and_measured_on_by_nobody(registered: Registered) -> None:
    index, held_out = registered.data.index, slice(1300, 1310)
    index["validation"][held_out], index["test"][held_out] = True, False
    case = registered.case(forget=[20], gone=[])
    assert problem_of(case, Quiet()).held_out is None

    case.request.method = {"name": "scrub", "rewind": True}
    problem = problem_of(case, Quiet())

    assert problem.held_out is not None
    assert problem.held_out.positions.tolist() == list(range(1300, 1310))
    for examples in sets_of(case, problem).values():
        assert not set(examples.positions.tolist()) & set(range(1300, 1310))


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        ("samples", {}),
        ("class", {"label": 3}),
        ("backdoor", {"transform": {"name": "tile"}}),
        ("leakage", {"mask": {"rectangles": [RECTANGLE]}, "transform": {"name": "tile"}}),
    ],
)
def test_what_is_forgotten_kept_held_out_and_measured_on_have_no_sample_in_common(
    registered: Registered, kind: str, target: dict[str, Any]
) -> None:
    index, held_out = registered.data.index, slice(1300, 1340)
    index["validation"][held_out], index["test"][held_out] = True, False
    asked = (index["train"] & (index["labels"] == 3)).nonzero().flatten()
    forget = asked[: len(asked) if kind == "class" else 20].tolist()
    gone = [p for p in range(40) if p not in forget]
    case = registered.case(forget=forget, gone=gone, kind=kind, target=target)
    case.request.method = {"name": "scrub", "rewind": True}

    problem = problem_of(case, Quiet())
    sets = {name: set(examples.positions.tolist()) for name, examples in sets_of(case, problem).items()}

    assert problem.held_out is not None
    apart = [sets[name] for name in ("forget", "retain", "test", "test_forget") if name in sets]
    apart += [set(gone), set(problem.held_out.positions.tolist())]
    assert all(apart)
    assert sum(map(len, apart)) == len(set.union(*apart))
    assert ("test_forget" in sets) is (kind == "class")
    for derived, of in {"forget_clean": "forget", "retain_extra": "retain", "test_extra": "test"}.items():
        assert sets.get(derived, sets[of]) == sets[of]


def test_a_request_for_every_sample_of_a_class_is_none_for_the_class(registered: Registered) -> None:
    """How much is forgotten says nothing about what was asked."""
    index = registered.data.index
    every = (index["train"] & (index["labels"] == 3)).nonzero().flatten().tolist()

    by_sample = problem_of(registered.case(forget=every, gone=[]), Quiet())
    by_class = problem_of(registered.case(forget=every, gone=[], kind="class", target={"label": 3}), Quiet())

    assert (by_sample.forgotten_class, by_class.forgotten_class) == (None, 3)


@pytest.mark.parametrize(
    ("forget", "gone"),
    [
        ([20, 21], list(range(10))),  # nothing new
        ([20, 21], list(range(16))),  # 10..15 were forgotten since the diagonal was computed
        ([20, 21], [*range(10), 20]),  # another model has forgotten one of D_f
        ([4, 5, 20], list(range(10))),  # this version never forgot 4 and 5, although its diagonal leaves them out
    ],
)
def test_the_fisher_that_a_method_is_given_rests_on_d_f_and_d_r(
    registered: Registered, forget: list[int], gone: list[int]
) -> None:
    problem = problem_of(registered.case(forget=forget, gone=gone), Quiet())
    assert problem.fisher is not None
    assert problem.retain is not None
    kept = [p for p in range(material.TRAIN) if p not in {*forget, *gone}]
    assert problem.retain.positions.tolist() == kept
    downdated, direct = problem.fisher.minus(registered.fisher_of(forget)), registered.fisher_of(kept)
    assert downdated.count == direct.count == len(kept)
    for name, total in direct.sums.items():
        assert torch.allclose(downdated.sums[name], total, rtol=1e-4, atol=1e-5 * float(total.max()))


def test_the_gold_is_given_the_registered_recipe_whole() -> None:
    registered = TrainingRecipe.model_validate(
        {
            "optimizer": "adam",
            "learning_rate": 0.1,
            "momentum": 0.5,
            "weight_decay": 0.01,
            "epochs": 3,
            "batch_size": 32,
            "schedule": "constant",
            "clip": 2.0,
            "loss": "sd",
            "sd_strength": 4.0,
            "augmentation": [{"name": "random_crop", "padding": 2}, {"name": "horizontal_flip"}],
            "initial_seed": 1,
        }
    )
    steps = (RandomCrop(2), HorizontalFlip())
    expected = Recipe(0.1, 3, 32, 0.5, 0.01, "constant", 2.0, "adam", "sd", 4.0, steps)
    assert recipe_of(registered) == expected
    assert TrainingRecipe.model_validate({**asdict(expected), "initial_seed": 1}) == registered


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        ("backdoor", {"transform": {"name": "tile"}}),
        ("leakage", {"mask": {"rectangles": [RECTANGLE]}}),
        ("leakage", {"mask": {"rectangles": [RECTANGLE]}, "transform": {"name": "tile"}}),
        ("samples", {}),
    ],
)
def test_a_method_is_given_the_transform_if_the_request_names_one(
    registered: Registered, kind: str, target: dict[str, Any]
) -> None:
    problem = problem_of(registered.case(forget=[20, 21], gone=[], kind=kind, target=target), Quiet())
    assert (problem.transform is None) is ("transform" not in target)
    if problem.transform is not None:
        black = torch.zeros(1, *(registered.data.dataset.input_shape or ()))
        assert torch.equal(problem.transform(black), registry.transform(TileParams())(black))
