"""From what the caller names to positions in the data set, and everything that can be wrong with it."""

from collections.abc import Sequence
from pathlib import Path

from app.core.errors import Invalid, invalid_field
from app.core.params import InputKind, Kind, TransformParams
from app.datasets import index
from app.datasets.service import unknown
from app.forget_requests.schemas import (
    AnyTarget,
    BackdoorTarget,
    ClassTarget,
    Filter,
    LeakageTarget,
    SamplesTarget,
    StoredTarget,
    SubjectsTarget,
)
from app.tables import Dataset


def resolve(target: AnyTarget, dataset: Dataset) -> list[int]:
    """The positions of the training samples that the target covers; at least one.

    Raises:
        Invalid: ids that are unknown, double or not trained on; an empty selection.
    """
    match target:
        case SamplesTarget():
            return _of_samples(target.sample_ids, dataset)
        case SubjectsTarget():
            return _of_subjects(target.subject_ids, dataset, pointer="/target/subject_ids")
        case ClassTarget():
            return _of_class(target.label, dataset)
        case BackdoorTarget() | LeakageTarget():
            if target.sample_ids is not None:
                return _of_samples(target.sample_ids, dataset)
            return _of_filter(target.filter or Filter(), dataset)


def check_transforms(target: AnyTarget, dataset: Dataset, shape: tuple[int, ...]) -> None:
    """T and the mask fit the inputs, of which the model is given this shape."""
    for name in ("transform", "mask"):
        params: TransformParams | None = getattr(target, name, None)
        misfit = None if params is None else _misfit(params, dataset.input_kind, shape)
        if misfit is not None:
            raise invalid_field(f"/target/{name}", misfit, code=f"{name}_misfit")


def _misfit(params: TransformParams, kind: InputKind | None, shape: tuple[int, ...]) -> str | None:
    if kind is not None and params.takes is not kind:
        return f"it is of {params.takes}, and the inputs of this data set are {kind}"
    return params.misfit(shape)


def check_pairs(pairs: Dataset, dataset: Dataset, positions: Sequence[int]) -> None:
    """Every sample of the target has a clean counterpart of the same shape, with a label that the model has."""
    pointer = "/target/pairs"
    alike = pairs.input_kind == dataset.input_kind and (
        dataset.input_kind is InputKind.TEXT or pairs.input_shape == dataset.input_shape  # texts have any length
    )
    if not alike or pairs.classes > dataset.classes:
        raise invalid_field(pointer, "The pairs have another input shape, or more classes.", code="pairs_misfit")
    ids = index.ids_at(_index_of(dataset), positions)
    missing = index.positions_of(_index_of(pairs), ids).count(None)
    if missing:
        message = f"{missing} of {len(positions)} samples have no counterpart of the same sample id in the pairs."
        raise invalid_field(pointer, message, code="unknown_samples", count=missing)


def stored(target: AnyTarget, dataset: Dataset, pairs: Dataset | None) -> StoredTarget:
    """What may be kept of it."""
    selection = getattr(target, "filter", None)
    return StoredTarget(
        kind=Kind(target.kind),
        dataset=dataset.name,
        label=getattr(target, "label", selection.label if selection else None),
        transform=getattr(target, "transform", None),
        mask=getattr(target, "mask", None),
        pairs=pairs.name if pairs else None,
    )


def _index_of(dataset: Dataset) -> Path:
    return Path(dataset.index_path or "")  # there is one: the data set is ready


def _of_samples(sample_ids: Sequence[str], dataset: Dataset) -> list[int]:
    pointer = "/target/sample_ids"
    _check_unique(sample_ids, pointer)
    found = index.positions_of(_index_of(dataset), sample_ids)
    missing = [place for place, where in enumerate(found) if where is None]
    if missing:
        raise unknown(pointer, "ids are not in the data set", missing, code="unknown_samples")
    located = [where for where in found if where is not None]
    elsewhere = [place for place, where in enumerate(located) if where.split != "train"]
    if elsewhere:
        raise unknown(pointer, "samples are not in the training split", elsewhere, code="not_training_samples")
    return [where.position for where in located]


def subjects_of(target: AnyTarget) -> Sequence[str]:
    """The persons that a target names."""
    if isinstance(target, SubjectsTarget):
        return target.subject_ids
    selection: Filter | None = getattr(target, "filter", None)
    return [] if selection is None else selection.subject_ids or []


def _of_subjects(subject_ids: Sequence[str], dataset: Dataset, *, pointer: str, label: int | None = None) -> list[int]:
    if dataset.columns.get("subject_id") is None:
        raise invalid_field(pointer, "The data set has no column of subjects.", code="no_subjects")
    _check_unique(subject_ids, pointer)
    missing = index.without_samples(_index_of(dataset), subject_ids)
    if missing:
        raise unknown(pointer, "subjects have no training sample", missing, code="unknown_subjects")
    return index.positions_where(_index_of(dataset), label=label, subject_ids=subject_ids)


def _of_class(label: int, dataset: Dataset, *, pointer: str = "/target/label") -> list[int]:
    _check_label(label, dataset, pointer)
    positions = index.positions_where(_index_of(dataset), label=label)
    if not positions:
        raise invalid_field(pointer, "The class has no training sample.", code="empty_target")
    return positions


def _of_filter(selection: Filter, dataset: Dataset) -> list[int]:
    if selection.subject_ids is None:
        return _of_class(selection.label or 0, dataset, pointer="/target/filter/label")
    if selection.label is not None:
        _check_label(selection.label, dataset, "/target/filter/label")
    pointer = "/target/filter/subject_ids"
    positions = _of_subjects(selection.subject_ids, dataset, pointer=pointer, label=selection.label)
    if not positions:
        raise _empty()
    return positions


def _check_label(label: int, dataset: Dataset, pointer: str) -> None:
    if label >= dataset.classes:
        raise invalid_field(pointer, f"Labels are 0 … {dataset.classes - 1}.", code="label_out_of_range")


def _check_unique(ids: Sequence[str], pointer: str) -> None:
    first = {text: place for place, text in reversed(list(enumerate(ids)))}
    double = [place for place, text in enumerate(ids) if first[text] != place]
    if double:
        raise unknown(pointer, "ids stand there for a second time", double, code="duplicate_ids")


def _empty() -> Invalid:
    return invalid_field("/target/filter", "No training sample passes the filter.", code="empty_target")
