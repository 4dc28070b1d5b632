"""The tables of what is offered: one line for each method, metric, architecture and transform."""

from typing import Annotated

from pydantic import Field

from app.architectures.mlp import MlpParams
from app.architectures.resnet18 import Resnet18Params
from app.architectures.sisa import SisaNetworkParams
from app.architectures.small_cnn import SmallCnnParams
from app.architectures.text_bag import TextBagParams
from app.architectures.vgg16 import Vgg16Params
from app.architectures.vit import VitParams
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

METHODS = (
    AmnesiacParams,
    AmunParams,
    BadTeacherParams,
    CertifiedRemovalParams,
    ConsistencyParams,
    DeepCleanParams,
    EuKParams,
    FinetuneParams,
    FisherForgettingParams,
    FisherMaskingParams,
    GradientAscentParams,
    LcodecParams,
    NeggradPlusParams,
    NegmergeParams,
    NoisyFinetuneParams,
    NtkScrubParams,
    PotionParams,
    RandomLabelParams,
    RetrainParams,
    RldParams,
    RndParams,
    SalunParams,
    ScrubParams,
    SfrOnParams,
    SingleGradientParams,
    SisaParams,
    SparseParams,
    SsdParams,
    TruncationParams,
)
METRICS = (
    AccuracyParams,
    MiaParams,
    MiaConfidenceParams,
    MiaReferenceParams,
    LinearProbeParams,
    RelearnParams,
    BackdoorSuccessParams,
    LiraParams,
    RmiaParams,
    DivergenceParams,
    WeightDistanceParams,
    TowParams,
    UnlearningErrorParams,
    Neurips2023Params,
)
DEFAULT_METRICS = METRICS[:7]
"""What an audit measures unless it is asked for something else: all that the verdict and its sentences are made of."""
ARCHITECTURES = (MlpParams, Resnet18Params, SisaNetworkParams, SmallCnnParams, TextBagParams, Vgg16Params, VitParams)
TRANSFORMS = (BlendParams, ColorParams, LineParams, MaskParams, PatchParams, PhraseParams, TileParams)

AnyMethod = Annotated[
    AmnesiacParams
    | AmunParams
    | BadTeacherParams
    | CertifiedRemovalParams
    | ConsistencyParams
    | DeepCleanParams
    | EuKParams
    | FinetuneParams
    | FisherForgettingParams
    | FisherMaskingParams
    | GradientAscentParams
    | LcodecParams
    | NeggradPlusParams
    | NegmergeParams
    | NoisyFinetuneParams
    | NtkScrubParams
    | PotionParams
    | RandomLabelParams
    | RetrainParams
    | RldParams
    | RndParams
    | SalunParams
    | ScrubParams
    | SfrOnParams
    | SingleGradientParams
    | SisaParams
    | SparseParams
    | SsdParams
    | TruncationParams,
    Field(discriminator="name"),
]
AnyMetric = Annotated[
    AccuracyParams
    | MiaParams
    | MiaConfidenceParams
    | MiaReferenceParams
    | LinearProbeParams
    | RelearnParams
    | BackdoorSuccessParams
    | LiraParams
    | RmiaParams
    | DivergenceParams
    | WeightDistanceParams
    | TowParams
    | UnlearningErrorParams
    | Neurips2023Params,
    Field(discriminator="name"),
]
AnyArchitecture = Annotated[
    MlpParams | Resnet18Params | SisaNetworkParams | SmallCnnParams | TextBagParams | Vgg16Params | VitParams,
    Field(discriminator="name"),
]
AnyTransform = Annotated[
    BlendParams | ColorParams | LineParams | MaskParams | PatchParams | PhraseParams | TileParams,
    Field(discriminator="name"),
]
