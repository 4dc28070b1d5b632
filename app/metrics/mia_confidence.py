"""Parameters of `mia_confidence`: membership inference by thresholds on a single number of the answer."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from app.core.params import AuditNeed, MetricParams

ThresholdAttack = Literal["confidence", "correctness", "entropy", "modified_entropy"]


class MiaConfidenceParams(MetricParams):
    """Train threshold attacks on D_r against held-out data; report the fraction of D_f *predicted member*."""

    paper: ClassVar[str] = "Shi et al., DeepClean, 2023; Golatkar et al., 2020; Song & Mittal, 2021"

    name: Literal["mia_confidence"] = "mia_confidence"
    attacks: Annotated[
        tuple[ThresholdAttack, ...], Field(min_length=1, max_length=4, json_schema_extra={"uniqueItems": True})
    ] = ("confidence",)
    """What the attacker goes by: each gives two findings of its own, told apart by `attack_feature`.

    `confidence` that of the true class; `correctness` whether the answer is right, without a threshold; `entropy` that
    of the answer; `modified_entropy` with the true class taken into account. No verdict rests on any of them.
    """

    @field_validator("attacks")
    @classmethod
    def _each_once(cls, attacks: tuple[ThresholdAttack, ...]) -> tuple[ThresholdAttack, ...]:
        if twice := [attack for attack in dict.fromkeys(attacks) if attacks.count(attack) > 1]:
            raise ValueError(f"an attack stands twice: {', '.join(twice)}")
        return attacks

    def needs(self) -> frozenset[AuditNeed]:
        """Samples that no model was trained on."""
        return frozenset({AuditNeed.HELD_OUT})
