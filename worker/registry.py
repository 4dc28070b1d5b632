"""The tables that marry what may be asked (parameter types) to what is done about it (functions)."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from app.architectures.mlp import MlpParams
from app.architectures.resnet18 import Resnet18Params
from app.architectures.sisa import SisaNetworkParams
from app.architectures.small_cnn import SmallCnnParams
from app.architectures.text_bag import TextBagParams
from app.architectures.vgg16 import Vgg16Params
from app.architectures.vit import VitParams
from app.core.params import ArchitectureParams, MethodParams, MetricParams, TransformParams
from app.methods.amnesiac import AmnesiacParams
from app.methods.amun import AmunParams
from app.methods.bad_teacher import BadTeacherParams
from app.methods.certified_removal import CertifiedRemovalParams
from app.methods.consistency import ConsistencyParams
from app.methods.deepclean import DeepCleanParams
from app.methods.eu_k import EuKParams
from app.methods.finetune import FinetuneParams
from app.methods.fisher_forgetting import FisherForgettingParams
from app.methods.fisher_masking import FisherMaskingParams
from app.methods.gradient_ascent import GradientAscentParams
from app.methods.lcodec import LcodecParams
from app.methods.neggrad_plus import NeggradPlusParams
from app.methods.negmerge import NegmergeParams
from app.methods.noisy_finetune import NoisyFinetuneParams
from app.methods.ntk_scrub import NtkScrubParams
from app.methods.potion import PotionParams
from app.methods.random_label import RandomLabelParams
from app.methods.retrain import RetrainParams
from app.methods.rld import RldParams
from app.methods.rnd import RndParams
from app.methods.salun import SalunParams
from app.methods.scrub import ScrubParams
from app.methods.sfr_on import SfrOnParams
from app.methods.single_gradient import SingleGradientParams
from app.methods.sisa import SisaParams
from app.methods.sparse import SparseParams
from app.methods.ssd import SsdParams
from app.methods.truncation import TruncationParams
from app.metrics.accuracy import AccuracyParams
from app.metrics.backdoor_success import BackdoorSuccessParams
from app.metrics.divergence import DivergenceParams
from app.metrics.linear_probe import LinearProbeParams
from app.metrics.lira import LiraParams
from app.metrics.mia import MiaParams
from app.metrics.mia_confidence import MiaConfidenceParams
from app.metrics.mia_reference import MiaReferenceParams
from app.metrics.neurips_2023 import Neurips2023Params
from app.metrics.relearn import RelearnParams
from app.metrics.rmia import RmiaParams
from app.metrics.tow import TowParams
from app.metrics.unlearning_error import UnlearningErrorParams
from app.metrics.weight_distance import WeightDistanceParams
from app.transforms.blend import BlendParams
from app.transforms.color import ColorParams
from app.transforms.line import LineParams
from app.transforms.mask import MaskParams
from app.transforms.patch import PatchParams
from app.transforms.phrase import PhraseParams
from app.transforms.tile import TileParams
from worker.architectures import mlp, resnet18, small_cnn, text_bag, vgg16, vit
from worker.architectures.sisa import build as build_shards
from worker.methods.amnesiac import amnesiac
from worker.methods.amun import amun
from worker.methods.bad_teacher import bad_teacher
from worker.methods.certified_removal import certified_removal
from worker.methods.consistency import consistency
from worker.methods.deepclean import deepclean
from worker.methods.eu_k import eu_k
from worker.methods.finetune import finetune
from worker.methods.fisher_forgetting import fisher_forgetting
from worker.methods.fisher_masking import fisher_masking
from worker.methods.gradient_ascent import gradient_ascent
from worker.methods.lcodec import lcodec
from worker.methods.neggrad_plus import neggrad_plus
from worker.methods.negmerge import negmerge
from worker.methods.noisy_finetune import noisy_finetune
from worker.methods.ntk_scrub import ntk_scrub
from worker.methods.potion import potion
from worker.methods.random_label import random_label
from worker.methods.retrain import retrain
from worker.methods.rld import rld
from worker.methods.rnd import rnd
from worker.methods.salun import salun
from worker.methods.scrub import scrub
from worker.methods.sfr_on import sfr_on
from worker.methods.single_gradient import single_gradient
from worker.methods.sisa import sisa
from worker.methods.sparse import sparse
from worker.methods.ssd import ssd
from worker.methods.truncation import truncation
from worker.metrics.accuracy import accuracy
from worker.metrics.backdoor_success import backdoor_success
from worker.metrics.divergence import divergence
from worker.metrics.linear_probe import linear_probe
from worker.metrics.lira import lira
from worker.metrics.mia import mia
from worker.metrics.mia_confidence import mia_confidence
from worker.metrics.mia_reference import mia_reference
from worker.metrics.neurips_2023 import neurips_2023
from worker.metrics.relearn import relearn
from worker.metrics.rmia import rmia
from worker.metrics.tow import tow
from worker.metrics.unlearning_error import unlearning_error
from worker.metrics.weight_distance import weight_distance
from worker.numerics.examples import Change
from worker.numerics.outcome import Bench, Finding, Outcome
from worker.numerics.problem import Problem
from worker.numerics.weights import Build
from worker.transforms import blend, color, line, mask, patch, phrase, tile


class Pair(NamedTuple):
    """A transform T, and the best guess at its removal."""

    apply: Callable[[Any, Any], Any]
    remove: Callable[[Any, Any], Any]


# The values take the parameters of their key; the type system cannot say so of a dictionary.
METHODS: Mapping[type[MethodParams], Callable[[Problem, Any], Outcome]] = {
    AmnesiacParams: amnesiac,
    AmunParams: amun,
    BadTeacherParams: bad_teacher,
    CertifiedRemovalParams: certified_removal,
    ConsistencyParams: consistency,
    DeepCleanParams: deepclean,
    EuKParams: eu_k,
    FinetuneParams: finetune,
    FisherForgettingParams: fisher_forgetting,
    FisherMaskingParams: fisher_masking,
    GradientAscentParams: gradient_ascent,
    LcodecParams: lcodec,
    NeggradPlusParams: neggrad_plus,
    NegmergeParams: negmerge,
    NoisyFinetuneParams: noisy_finetune,
    NtkScrubParams: ntk_scrub,
    PotionParams: potion,
    RandomLabelParams: random_label,
    RetrainParams: retrain,
    RldParams: rld,
    RndParams: rnd,
    SalunParams: salun,
    ScrubParams: scrub,
    SfrOnParams: sfr_on,
    SingleGradientParams: single_gradient,
    SisaParams: sisa,
    SparseParams: sparse,
    SsdParams: ssd,
    TruncationParams: truncation,
}
METRICS: Mapping[type[MetricParams], Callable[[Bench, Any], list[Finding]]] = {
    AccuracyParams: accuracy,
    MiaParams: mia,
    MiaConfidenceParams: mia_confidence,
    MiaReferenceParams: mia_reference,
    LinearProbeParams: linear_probe,
    RelearnParams: relearn,
    LiraParams: lira,
    RmiaParams: rmia,
    BackdoorSuccessParams: backdoor_success,
    DivergenceParams: divergence,
    WeightDistanceParams: weight_distance,
    TowParams: tow,
    UnlearningErrorParams: unlearning_error,
    Neurips2023Params: neurips_2023,
}
ARCHITECTURES: Mapping[type[ArchitectureParams], Callable[[Any, int], Any]] = {
    MlpParams: mlp.build,
    Resnet18Params: resnet18.build,
    SisaNetworkParams: lambda params, seed: build_shards(params, seed, builder(params.member)),
    SmallCnnParams: small_cnn.build,
    TextBagParams: text_bag.build,
    Vgg16Params: vgg16.build,
    VitParams: vit.build,
}
TRANSFORMS: Mapping[type[TransformParams], Pair] = {
    BlendParams: Pair(blend.apply, blend.remove),
    ColorParams: Pair(color.apply, color.remove),
    LineParams: Pair(line.apply, line.remove),
    MaskParams: Pair(mask.apply, mask.remove),
    PatchParams: Pair(patch.apply, patch.remove),
    PhraseParams: Pair(phrase.apply, phrase.remove),
    TileParams: Pair(tile.apply, tile.remove),
}


def unlearn(problem: Problem, params: MethodParams) -> Outcome:
    """Carry out the method of these parameters."""
    return METHODS[type(params)](problem, params)


def measure(bench: Bench, params: MetricParams) -> list[Finding]:
    """Measure by the metric of these parameters; empty where its sets do not exist."""
    return METRICS[type(params)](bench, params)


def builder(params: ArchitectureParams) -> Build:
    """Seed to a fresh network of this family."""
    return partial(ARCHITECTURES[type(params)], params)


def transform(params: TransformParams) -> Change:
    """T, which adds the information to raw inputs."""
    return partial(TRANSFORMS[type(params)].apply, params)


def removal(params: TransformParams) -> Change:
    """The best guess at raw inputs without the information."""
    return partial(TRANSFORMS[type(params)].remove, params)
