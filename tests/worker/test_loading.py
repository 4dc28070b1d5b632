"""What a job reads is what was registered, and lies where the operator allows it."""

import shutil
from pathlib import Path

import pytest

from app.core.digests import sha256_of
from app.core.errors import Invalid
from app.tables import Dataset, Model
from tests.conftest import Home
from tests.journeys import material
from worker.loading import Data, manifest_of


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
