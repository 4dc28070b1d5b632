"""From rows to what the numerics take: networks, examples by their part in a request, the stored Fisher."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.orm import Session
from torch import Tensor

from app.catalogue.unions import AnyArchitecture, AnyMethod, AnyMetric, AnyTransform
from app.core.errors import Invalid
from app.core.params import (
    FEATURE_KINDS,
    ArchitectureParams,
    Kind,
    MethodParams,
    MetricParams,
    Need,
    TransformParams,
)
from app.core.settings import get_settings
from app.datasets import index
from app.datasets.paths import parquet_files, permitted
from app.domain.lifecycle import VersionStatus
from app.forget_requests import service as forget_requests
from app.jobs import service as jobs
from app.models.schemas import Augmentation, Preprocessing, RandomCrop, TrainingRecipe
from app.models.service import seen_shape
from app.tables import Dataset, ForgetRequest, Job, Model, ModelVersion
from app.transforms.mask import MaskParams
from worker import artifacts, registry
from worker.datasets import Manifest, examples_at, read_index
from worker.numerics import augmentation
from worker.numerics.deltas import Deltas
from worker.numerics.errors import EmptyExamples
from worker.numerics.examples import Change, Examples, Normalisation
from worker.numerics.fisher import Fisher, fisher_diagonal
from worker.numerics.outcome import Model as Answering
from worker.numerics.problem import Pattern, Problem
from worker.numerics.recipe import Recipe
from worker.numerics.run import Part, Run
from worker.numerics.thrift import at_once
from worker.numerics.weights import Build, Weights, network_with

_ARCHITECTURE: TypeAdapter[ArchitectureParams] = TypeAdapter(AnyArchitecture)
_METHOD: TypeAdapter[MethodParams] = TypeAdapter(AnyMethod)
_METRIC: TypeAdapter[MetricParams] = TypeAdapter(AnyMetric)
_TRANSFORM: TypeAdapter[TransformParams] = TypeAdapter(AnyTransform)


def manifest_of(dataset: Dataset) -> Manifest:
    """The files of a data set, if they still lie below the operator's folders, every link followed.

    Raises:
        Invalid: one does not, or the path is gone.
    """
    try:
        path = permitted(dataset.path, pointer="/path")
    except Invalid as error:
        raise _missing(dataset) if error.code == "path_not_found" else error from None
    if dataset.sha256 is not None and not parquet_files(path):
        raise _missing(dataset)  # a storage that is not mounted leaves an empty folder
    for file in parquet_files(path):
        permitted(str(file), pointer="/path")
    return Manifest(path, dataset.columns)


def _missing(dataset: Dataset) -> Invalid:
    again = "register it again" if dataset.sha256 is None else "submit anew what needs it"
    message = (
        f"the files of data set {dataset.name} are no longer where they were registered: put them back and {again}"
    )
    return Invalid(message, code="dataset_missing")


@dataclass(frozen=True)
class Data:
    """A registered data set, seen through one model's preprocessing."""

    dataset: Dataset
    model: Model

    @cached_property
    def index(self) -> dict[str, Tensor]:
        """`positions`, `labels` `(N,)` int64 and `train`, `test`, `validation` `(N,)` bool, ordered by position."""
        return read_index(self._index_path)

    @property
    def _index_path(self) -> Path:
        return Path(self.dataset.index_path or "")

    @cached_property
    def manifest(self) -> Manifest:
        """Where the inputs are."""
        return manifest_of(self.dataset)

    @property
    def digest(self) -> str:
        """What a Fisher diagonal over this data is bound to: the manifest's content and the preprocessing."""
        return artifacts.digest_of({"dataset": self.dataset.sha256, "preprocessing": self.model.preprocessing})

    def check(self) -> None:
        """The files are still those that were registered: positions mean what they meant.

        Raises:
            Invalid: their content has changed.
        """
        if self.manifest.sha256() != self.dataset.sha256:
            message = (
                f"the files of data set {self.dataset.name} have changed since it was registered: register them anew"
            )
            raise Invalid(message, code="digest_mismatch")

    def select(self, chosen: Tensor) -> Examples | None:
        """The examples of a mask `(N,)`; None if there are none."""
        if not chosen.any():
            return None
        preprocessing = Preprocessing.model_validate(self.model.preprocessing)
        return examples_at(
            self.manifest,
            self.index["positions"][chosen],
            self.index["labels"][chosen],
            input_shape=seen_shape(preprocessing, tuple(self.dataset.input_shape or ())),
            normalisation=normalisation_of(preprocessing),
            budget_bytes=at_once(get_settings().memory_budget_bytes),
        )

    def ids(self, positions: Tensor) -> list[str]:
        """Sample ids of these positions, in this order."""
        return index.ids_at(self._index_path, positions.tolist())

    def shard(self, number: int, of: int) -> Tensor:
        """The mask `(N,)` of one of `of` ranges of positions with as many training samples each, give or take one.

        Args:
            number: which one, from 1.
            of: how many there are; may exceed the number of samples, then some hold none.
        """
        train = self.index["train"].long()
        before = train.cumsum(0) - train
        return (before * of // max(int(train.sum()), 1)).clamp(max=of - 1) == number - 1

    def of_ids(self, ids: list[str]) -> Examples:
        """The examples of these sample ids, in this order.

        Raises:
            Invalid: some are not there.
        """
        found = [where.position for where in index.positions_of(self._index_path, ids) if where is not None]
        if missing := len(ids) - len(found):
            raise Invalid(f"{missing} of {len(ids)} samples have no counterpart in the pairs", code="unknown_samples")
        order = torch.tensor(found, dtype=torch.int64)
        chosen = self.select(self.among(order.tolist()))
        if chosen is None:
            raise EmptyExamples("no pairs were asked for")
        return chosen.at(order.argsort().argsort())  # from the manifest's order to that of the ids

    def among(self, positions: list[int]) -> Tensor:
        """The mask `(N,)` of these positions; positions count from 0 without gaps."""
        mask = torch.zeros(len(self.index["positions"]), dtype=torch.bool)
        mask[torch.tensor(positions, dtype=torch.int64)] = True
        return mask


def build_of(model: Model) -> Build:
    """Seed to a fresh network of the model's architecture."""
    return registry.builder(_ARCHITECTURE.validate_python(model.architecture))


def weights_of(version: ModelVersion, build: Build) -> Weights:
    """The version's weights, checked.

    Raises:
        Invalid: they are purged, or not what was registered.
    """
    if version.status is VersionStatus.PURGED:
        raise Invalid(f"version {version.id} is purged: its weights are destroyed", code="version_purged")
    return artifacts.read_weights(Path(version.weights_path), sha256=version.weights_sha256, skeleton=build(0))


@dataclass(frozen=True)
class Case:
    """The rows of one forget request and what it names, read in one go.

    Of several that are carried out as one, `request` is the first, and `forget` the union of what each is about.
    """

    request: ForgetRequest
    model: Model
    base: ModelVersion
    golds: tuple[ModelVersion, ...]
    data: Data
    pairs: Data | None  # clean counterparts of D_f, where the request names them
    forget: list[int]  # positions of D_f
    gone: list[int]  # positions that earlier requests have forgotten: never D_r again
    gone_classes: list[int]  # classes that the base version has forgotten
    shares: Mapping[str, list[int]] = field(default_factory=dict)  # of several requests: positions of each, by its id

    @cached_property
    def digest(self) -> str:
        """What every result of the case depends on: what an earlier attempt finished under another one is not used."""
        base = self.base
        return artifacts.digest_of(
            {
                "weights": [base.weights_sha256, base.initial_weights_sha256, base.fisher_sha256],
                "deltas": [base.deltas_sha256, base.deltas_taken],
                "silenced": list(base.silenced_classes),
                "golds": [gold.weights_sha256 for gold in self.golds],
                "data": self.data.digest,
                "pairs": None if self.pairs is None else self.pairs.digest,
                "forget": sorted(self.forget),
                "gone": sorted(self.gone),
                "gone_classes": sorted(self.gone_classes),
                "model": [self.model.architecture, self.model.recipe],
                "request": [self.request.target, self.request.ladder, self.request.audit, self.request.seed],
            }
        )

    @property
    def kind(self) -> Kind:
        """What the request names."""
        return Kind(self.request.kind)

    @property
    def ladder(self) -> list[MethodParams]:
        """The methods that carry it out, in the order in which they are tried until one passes."""
        rungs = [rung["method"] for rung in self.request.ladder if rung["left_out"] is None]
        return [_METHOD.validate_python(method) for method in rungs or [self.request.method]]

    @property
    def metrics(self) -> list[MetricParams]:
        """What the audit measures."""
        return [_METRIC.validate_python(metric) for metric in self.request.audit["metrics"]]

    @property
    def pattern(self) -> Pattern:
        """Hayase et al.'s name for the kind."""
        return {Kind.BACKDOOR: "B", Kind.LEAKAGE: "C"}.get(self.kind, "A")  # type: ignore[return-value]

    @property
    def label(self) -> int | None:
        """The forgotten class of a class request."""
        return self.request.target["label"] if self.kind is Kind.CLASS else None

    @property
    def trigger(self) -> Change | None:
        """T, where the request names it."""
        transform = self.request.target.get("transform")
        return registry.transform(_TRANSFORM.validate_python(transform)) if transform else None

    @property
    def cleaning(self) -> Change | None:
        """What takes the information out of D_f: the mask of a leakage, the removal of a backdoor's T."""
        if mask := self.request.target.get("mask"):
            return registry.transform(MaskParams.model_validate(mask))
        transform = self.request.target.get("transform")
        return registry.removal(_TRANSFORM.validate_python(transform)) if transform else None


def case_of(session: Session, job: Job) -> Case:
    """Everything that the job's forget requests refer to: they are to be carried out as one.

    Raises:
        Problem: on the version that they build on it cannot be done any more.
    """
    requests = forget_requests.batch(session, job.id, lock=False)
    if not requests:
        raise jobs.FenceLost(f"{job.id}: nobody wants it any more")
    forget_requests.check(session, requests[0])
    found = forget_requests.positions_by_request(session, job.id)
    shares = {request.id: found.get(request.id, []) for request in requests}
    case = case_for(session, requests[0], sorted({position for share in shares.values() for position in share}))
    return replace(case, shares=shares) if len(requests) > 1 else case


def case_for(session: Session, request: ForgetRequest, forget: list[int]) -> Case:
    """Everything that a request for these positions refers to; nobody need have made it (see `worker.search`)."""
    model = session.get_one(Model, request.model_id)
    base = session.get_one(ModelVersion, request.base_version_id)
    dataset = session.get_one(Dataset, request.dataset_id)
    return Case(
        request=request,
        model=model,
        base=base,
        golds=tuple(session.get_one(ModelVersion, v) for v in request.audit.get("gold_versions", [])),
        data=Data(dataset, model),
        pairs=_pairs_of(session, request, model),
        forget=forget,
        gone=forget_requests.excluded_positions(session, dataset.id),
        gone_classes=forget_requests.forgotten_classes(session, base),
    )


def _pairs_of(session: Session, request: ForgetRequest, model: Model) -> Data | None:
    name = request.target.get("pairs")
    if name is None:
        return None
    query = select(Dataset).where(Dataset.name == name, Dataset.tenant_id == request.tenant_id)
    return Data(session.scalars(query).one(), model)


def problem_of(case: Case, run: Run) -> Problem:
    """The problem that each of the case's methods is given."""
    data, build = case.data, build_of(case.model)
    for used in filter(None, (data, case.pairs)):
        used.check()
    forget, gone = data.among(case.forget), data.among(case.gone)
    d_f = data.select(forget)
    if d_f is None:
        raise EmptyExamples("no sample is left to forget: earlier requests have forgotten all of them")
    old = weights_of(case.base, build)
    keep = data.index["train"] & ~forget & ~gone
    if case.label is not None:
        keep &= data.index["labels"] != case.label  # whoever else was to forget some of the class
    return Problem(
        build=build,
        old=old,
        classes=int(case.model.architecture["classes"]),
        pattern=case.pattern,
        seed=case.request.seed,
        forget=d_f,
        forget_clean=_clean(case, d_f),
        retain=data.select(keep),
        held_out=_held_out(case),
        transform=case.trigger,
        fisher=_fisher_without(case, build, old, gone, run),
        initial=initial_of(case.model, case.base, build),
        deltas=_deltas(case),
        recipe=_recipe(case.model),
        forgotten_class=case.label,
        run=run,
    )


def sets_of(case: Case, problem: Problem) -> dict[str, Examples]:
    """What the audit measures on, by the names of `worker.numerics.outcome.Bench`; only what exists for the kind."""
    index, label, trigger = case.data.index, case.label, case.trigger
    known = _known(case)
    if label is not None:
        known &= index["labels"] != label
    test = case.data.select(index["test"] & known)
    sets: dict[str, Examples | None] = {
        "retain": problem.retain,
        "forget": problem.forget,
        "forget_clean": problem.forget_clean,
        "test": test,
        "test_forget": None if label is None else case.data.select(index["test"] & (index["labels"] == label)),
    }
    if trigger is not None and problem.pattern != "A":
        sets["retain_extra"] = problem.retain.through(trigger) if problem.retain else None
        sets["test_extra"] = test.through(trigger) if test else None
    return {name: examples for name, examples in sets.items() if examples is not None}


def answering(version: ModelVersion, build: Build) -> Answering:
    """A version as audits ask it."""
    return Answering(build, weights_of(version, build), frozenset(version.silenced_classes))


def _clean(case: Case, d_f: Examples) -> Examples | None:
    if case.pairs is not None:
        return case.pairs.of_ids(case.data.ids(d_f.positions))
    cleaning = case.cleaning
    if case.kind not in FEATURE_KINDS or cleaning is None:
        return None
    return d_f.through(cleaning)


def _held_out(case: Case) -> Examples | None:
    """What a method may compare with: never the split `test`, which the audit measures on."""
    if not any(Need.HELD_OUT in method.needs(case.kind) for method in case.ladder):
        return None
    return case.data.select(case.data.index["validation"] & _known(case))


def _known(case: Case) -> Tensor:
    """The mask `(N,)` of what is not of a class that the base version has forgotten."""
    return ~torch.isin(case.data.index["labels"], torch.tensor(case.gone_classes, dtype=torch.int64))


def initial_of(model: Model, version: ModelVersion, build: Build) -> Weights | None:
    """The weights before training: the stored ones, checked, or those of the recipe's seed."""
    if version.initial_weights_path:
        return artifacts.read_weights(
            Path(version.initial_weights_path), sha256=version.initial_weights_sha256 or "", skeleton=build(0)
        )
    seed = (model.recipe or {}).get("initial_seed")
    return None if seed is None else build(seed).state_dict()


def deltas_of(version: ModelVersion, data: Data) -> Deltas | None:
    """What each step of the training did, and which of the steps the version still contains.

    Raises:
        Invalid: another digest, or they were recorded on other data.
    """
    if version.deltas_path is None:
        return None
    deltas, data_sha256 = artifacts.read_deltas(Path(version.deltas_path), sha256=version.deltas_sha256 or "")
    if data_sha256 != data.dataset.sha256:
        raise Invalid("the deltas were recorded on other data than the model's data set", code="deltas_differ")
    return replace(deltas, taken=frozenset(version.deltas_taken or []))


def _deltas(case: Case) -> Deltas | None:
    needed = any(Need.DELTAS in method.needs(case.kind) for method in case.ladder)
    return deltas_of(case.base, case.data) if needed else None


def _recipe(model: Model) -> Recipe | None:
    if model.recipe is None:
        return None
    return recipe_of(TrainingRecipe.model_validate(model.recipe))


def recipe_of(recipe: TrainingRecipe) -> Recipe:
    """What is registered, as the numerics take it: the gold of every audit is trained by exactly this."""
    facts = recipe.model_dump(exclude={"initial_seed", "augmentation"})
    return Recipe(**facts, augmentation=tuple(_augmentation(step) for step in recipe.augmentation))


def normalisation_of(preprocessing: Preprocessing) -> Normalisation:
    """What is registered, as the numerics take it."""
    words = preprocessing.words
    if words is not None:
        return Normalisation(vocabulary=words.vocabulary)
    return Normalisation(tuple(preprocessing.mean), tuple(preprocessing.std))


def _augmentation(step: Augmentation) -> augmentation.Augmentation:
    if isinstance(step, RandomCrop):
        return augmentation.RandomCrop(step.padding)
    return augmentation.HorizontalFlip()


def _fisher_without(case: Case, build: Build, old: Weights, gone: Tensor, run: Run) -> Fisher | None:
    """The stored Fisher over D_f and D_r: less what other requests have forgotten since it was computed."""
    base, data = case.base, case.data
    if base.fisher_path is None or not any(Need.FISHER in method.needs(case.kind) for method in case.ladder):
        return None
    stored, excluded = artifacts.read_fisher(Path(base.fisher_path), sha256=base.fisher_sha256 or "")
    stored.check(weights_sha256=base.weights_sha256, data_sha256=data.digest)
    forget, left_out = data.among(case.forget), data.among(excluded.tolist())
    network = network_with(build, old)
    if (again := data.select(forget & left_out)) is not None:  # forgotten by another line of versions, not by this one
        stored = stored.plus(fisher_diagonal(network, again, run=Part(run, "forgotten_elsewhere")))
    if (newly := data.select(gone & ~left_out & ~forget)) is not None:
        run.note("fisher_downdated_samples", len(newly))
        stored = stored.minus(fisher_diagonal(network, newly, run=Part(run, "forgotten_since")))
    return stored
